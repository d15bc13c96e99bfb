"""What a comparison with reference data found: numbers, a table, a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .interval import Interval
from .record import Record
from .text import paragraph

LEVEL = 0.05
"""From which p-value on a shift counts as seen: so it does in one of twenty cases where there is none."""


@dataclass(frozen=True)
class Distance:
    """How far incoming data are from the reference, looked at in one way.

    Args:
        squared: the energy distance, squared. Without bias, and so below zero about as often as above where there is
            no shift. The unit is the mean distance between two reference items as they came.
        chance: the distance that is exceeded in 5 % of all cases where items are dealt out at random.
        p_value: how likely so large a distance would be, were there no shift.
    """

    squared: float
    chance: float
    p_value: float

    @property
    def distance(self) -> float:
        return max(0.0, self.squared) ** 0.5

    @property
    def seen(self) -> bool:
        """Whether there is a shift, as far as one can see."""
        return self.p_value <= LEVEL


@dataclass(frozen=True)
class Side:
    """The data on one side of a comparison.

    Args:
        items: how many were compared.
        of: how many there are.
        dataset: where they came from (`id`, `revision`, `split`), as far as the data set knows.
    """

    items: int
    of: int
    dataset: dict[str, Any] | None = None


@dataclass(frozen=True)
class ShiftReport(Record):
    """What `distribution_shift` found. `print(report)` shows a table and what it means.

    Attributes:
        model: the predictor's Hub id, its folder as seen from here, or the name of a folder elsewhere or of its class.
        group: modulo which the data were compared.
        reference: the data to which others were compared.
        incoming: the others.
        unit: "images" or "clips".
        features: what of the predictor they were compared by.
        members: how many members of each orbit stand for it; all of them, if the group has no more.
        permutations: how often items were dealt out at random.
        plain: the distance as they came.
        canonicalized: the distance of canonicalized incoming data to the reference as it came; None without an
            adapter.
        modulo: the distance where pose does not count. Compare it with its own chance, and not with the others: what
            the predictor makes of other poses counts too, and it may be above or below them.
        removed: by how many per cent the adapter brings incoming data nearer to the reference, with the 95 % bootstrap
            interval. None without an adapter, and where that cannot be said.

    Example:
        >>> import tempfile
        >>> report = ShiftReport("vit", "c4", Side(90, 90), Side(80, 80), "images", "logits", 4, 999,
        ...                      plain=Distance(0.25, 0.1, 0.001), canonicalized=None, modulo=Distance(0.01, 0.1, 0.4))
        >>> report.plain.distance
        0.5
        >>> print(report.verdict[0])  # doctest: +NORMALIZE_WHITESPACE
        The shift may be pose alone: it can be seen as they came (p = 0.001), and modulo c4 nothing can be told from
        chance (p = 0.4), which hides distances up to 0.100.
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report.save(f"{folder}/shift.json")
        ...     ShiftReport.load(f"{folder}/shift.json") == report
        True
    """

    model: str
    group: str
    reference: Side
    incoming: Side
    unit: str
    features: str
    members: int
    permutations: int
    plain: Distance
    canonicalized: Distance | None
    modulo: Distance
    removed: Interval | None = None

    @property
    def rows(self) -> dict[str, Distance]:
        """The distances, by what they are called."""
        rows = {"as they came": self.plain, "canonicalized": self.canonicalized, f"modulo {self.group}": self.modulo}
        return {name: row for name, row in rows.items() if row is not None}

    @property
    def verdict(self) -> list[str]:
        """What the tests say of the shift, and then what they say of the adapter, a sentence each."""
        return [self._shift(), *([] if self.canonicalized is None else [self._adapter(self.canonicalized)])]

    def _shift(self) -> str:
        plain, modulo, group = self.plain, self.modulo, f"modulo {self.group}"
        if plain.seen and modulo.seen:
            return (
                f"Not all of the shift is pose: {group} it can be seen too ({said(modulo)}), and that part stays "
                f"behind any canonicalizer over {self.group}."
            )
        if plain.seen:
            return (
                f"The shift may be pose alone: it can be seen as they came ({said(plain)}), and {group} nothing can "
                f"be told from chance ({said(modulo)}), which hides distances up to {modulo.chance:.3f}."
            )
        if modulo.seen:
            return (
                f"There is a shift that is not pose: it can be seen {group} ({said(modulo)}), and as they came not "
                f"yet ({said(plain)})."
            )
        return (
            f"No shift can be seen ({said(plain)}; {group}, {said(modulo)}). Distances up to {plain.chance:.3f} come "
            "about by chance."
        )

    def _adapter(self, found: Distance) -> str:
        left = "a shift can still be seen" if found.seen else "no shift can be seen any more"
        if not self.plain.seen:
            if found.seen:
                return (
                    f"The adapter makes one that can be seen ({said(found)}): it transforms what should stay as it is."
                )
            return "There is nothing that the adapter could remove."
        if self.removed is None:
            return f"How much of it the adapter removes cannot be said; behind it {left} ({said(found)})."
        low, high, behind = self.removed.low, self.removed.high, f"; behind it {left} ({said(found)})."
        if low > 0 and not found.seen:
            return f"The adapter brings them at least {low:.0f} % nearer{behind}"
        if low > 0:
            return (
                f"The adapter brings them {self.removed.value:.0f} % nearer (between {low:.0f} and {high:.0f}){behind}"
            )
        if high < 0:
            away = f"{-self.removed.value:.0f} % farther away (between {-high:.0f} and {-low:.0f})"
            return f"The adapter takes them {away}{behind}"
        return (
            "Whether the adapter brings them nearer cannot be said (it is between "
            f"{-low:.0f} % farther away and {high:.0f} % nearer){behind}"
        )

    def table(self) -> str:
        """The report as text, at most 100 columns wide."""
        return "\n".join([f"{self.model}: incoming {self.unit} against reference", *self.lines()])

    def lines(self) -> Iterator[str]:
        """The table without its title."""
        for name, side in (("incoming", self.incoming), ("reference", self.reference)):
            all_of = "" if side.of == side.items else f" drawn from {side.of:,}"
            source = " ".join(str(side.dataset[key]) for key in ("id", "split") if key in (side.dataset or {}))  # type: ignore[index]
            yield f"{name:<11}{side.items:,} {self.unit}{all_of}{source and f' ({source})'}"
        yield f"{'features':<11}{self.features}"
        yield ""
        heading = f"{'':<24}{'distance':>10}{'by chance':>12}{'p':>10}"
        yield heading
        yield "-" * len(heading)
        for name, row in self.rows.items():
            yield f"{name:<24}{row.distance:>10.3f}{row.chance:>12.3f}{row.p_value:>10.3f}"
        yield "-" * len(heading)
        yield from paragraph(self.legend)
        yield ""
        for sentence in self.verdict:
            yield from paragraph(sentence)

    @property
    def legend(self) -> str:
        """What the columns and rows are."""
        behind = (
            "" if self.canonicalized is None else "canonicalized: the incoming ones, as the adapter hands them on. "
        )
        return (
            f"distance: energy distance, in units in which two reference {self.unit} are 1 apart on average. by "
            f"chance: what 95 % of {self.permutations:,} random divisions stay below. {behind}modulo {self.group}: "
            "both sides in every pose."
        )

    def __str__(self) -> str:
        return self.table()


def said(one: Distance) -> str:
    """
    Example:
        >>> said(Distance(0.0, 0.0, 0.000999)), said(Distance(0.0, 0.0, 0.25))
        ('p = 0.001', 'p = 0.25')
    """
    return f"p = {one.p_value:.2g}"
