"""What an audit found: a page, and a file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .interval import Interval
from .record import Record
from .robustness import Cost, Score
from .text import end, paragraph, row

HARMLESS, HURTS, UNCLEAR, CHANGES, IDENTITY = "harmless", "hurts", "unclear", "changes the label", "as they came"
"""What is said of an element."""

NAMES = 18
"""Columns before what is said of something."""
TABLE = {"group": -NAMES, "mean": 6, "lost on average": 24, "": 3, "worst": -24, "told": 6, "surest": 8, "time": 9}
"""Columns of the table, and their widths."""


@dataclass(frozen=True)
class LabelChange:
    """Inputs of one class that become inputs of another one, as far as a checkpoint can tell.

    Attributes:
        label: the class of the inputs as they came.
        becomes: the class that the checkpoint sees in most of them afterwards.
        items: how many inputs of `label` it had right as they came.
        share: of those, how many become the other class.
        sure: its median probability of that class then.
        usual: its median probability of that class for inputs that are of it.
    """

    label: str
    becomes: str
    items: int
    share: float
    sure: float
    usual: float


@dataclass(frozen=True)
class AuditedElement:
    """What one element does to the untouched checkpoint.

    Attributes:
        name: in words.
        angle: in degrees; None for what is no rotation.
        mirrored: whether it is a mirror image.
        score: afterwards.
        loss: how much lower that is than as the inputs came.
        told: the score if the element is known and undone.
        verdict: "harmless" if the loss is below 2 points for sure, "hurts" if it is above 0 for sure, "unclear" if
            neither is; "changes the label"; "as they came" for the identity.
        changes: the suspicion that it turns one class into another.
    """

    name: str
    angle: float | None
    mirrored: bool
    score: Score
    loss: Interval
    oracle: Score
    verdict: str
    changes: tuple[LabelChange, ...] = ()


@dataclass(frozen=True)
class AuditedGroup:
    """What one group does to the untouched checkpoint, on average over its elements.

    Attributes:
        name: of the group.
        meaning: in words.
        elements: each by itself.
        mean: the score.
        loss: how much lower that is than as the inputs came.
        told: the mean score if the elements are known and undone: what a perfect canonicalizer would reach on inputs
            that come upright.
        surest: the score if the checkpoint is asked in every pose and its surest answer taken, without any training;
            None for continuous groups, and where there are no classes.
        won: what is won back at best: the better of those two, minus the mean.
        poses: for each element of a finite group, the share of the inputs that seem to have come so: with labels, in
            whose pose, undone, the checkpoint is likeliest to say the label; else, surest. Its own opinion. None
            for others, and where there are no classes.
        spread: whether by that opinion the inputs come in poses that matter, other than the identity.
        canonicalizer: the one that fits the group, whose cost it is.
        cost: before any training, which changes nothing about it.
    """

    name: str
    meaning: str
    elements: tuple[AuditedElement, ...]
    mean: Score
    loss: Interval
    oracle: Score
    surest: Score | None
    won: Interval
    poses: dict[str, float] | None
    spread: bool
    canonicalizer: str
    cost: Cost

    @property
    def worst(self) -> AuditedElement:
        """The element, other than the identity, under which the checkpoint answers worst."""
        return min(self.moving or self.elements, key=lambda element: element.score.value)

    @property
    def moving(self) -> tuple[AuditedElement, ...]:
        """All elements but the identity."""
        return tuple(element for element in self.elements if element.verdict != IDENTITY)

    @property
    def changes_labels(self) -> bool:
        return any(element.changes for element in self.elements)

    @property
    def thin(self) -> list[str]:
        """The elements in which less than half of an even share of the inputs seems to have come."""
        poses = self.poses or {}
        return [name for name, share in poses.items() if share < 0.5 / len(poses)]


@dataclass(frozen=True)
class Advice:
    """Which group to canonicalize.

    Attributes:
        group: None if there is none to recommend.
        reason: in a sentence or two.
        command: what to type next; None without a group.
        caveats: what else has to be known, a sentence or two each.
    """

    group: str | None
    reason: str
    command: str | None
    caveats: tuple[str, ...]


@dataclass(frozen=True)
class AuditReport(Record):
    """What `audit` found about an untouched checkpoint. Scores are fractions; differences are percentage points.

    `print(report)` shows a page, `report.groups["c4"]` has the figures of one group.

    Attributes:
        model: the checkpoint's name or path.
        items: number of images, or clips.
        dataset: where they came from, as far as the data set knows.
        labelled: whether there were labels; without them, agreement with the checkpoint's own answers to the inputs
            as they came takes the place of accuracy.
        score: of the inputs as they came.
        groups: by name.
        left_out: for each group that does not fit, why.
        classes: how many classes have enough inputs to look for label changes; None where there are no classes.
        advice: the recommendation.
        measure: what the scores are: "accuracy", or "mean IoU" and the like.
        unit: "images" or "clips".

    Example:
        >>> import tempfile, torch
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import audit
        >>> vit = ViTForImageClassification(
        ...     ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        ... )
        >>> report = audit(vit, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
        >>> report.score.agreement, report.score.accuracy  # there were no labels
        (1.0, None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report.save(f"{folder}/audit.json")
        ...     AuditReport.load(f"{folder}/audit.json") == report
        True
    """

    model: str
    items: int
    dataset: dict[str, Any] | None
    labelled: bool
    score: Score
    groups: dict[str, AuditedGroup]
    left_out: dict[str, str]
    classes: int | None
    advice: Advice
    measure: str = "accuracy"
    unit: str = "images"

    def __str__(self) -> str:
        """A page, at most 100 columns wide."""
        return "\n".join([*self._table(), *self._elements(), *self._poses(), *self._left_out(), *self._advice()])

    def _table(self) -> Iterator[str]:
        what = self.measure if self.labelled else "agreement with its own answers to them as they came"
        if not self.labelled and self.measure != "accuracy":
            what = f"{self.measure}, {what}"
        yield f"{end(self.model, 46)}, untouched: what it loses when inputs are transformed"
        yield f"{self.items:,} {self.unit}, {what} in %; as they came {100 * self.score.value:.1f}"
        yield ""
        header = row(TABLE, TABLE.values())
        yield header
        yield "-" * len(header)
        for group in self.groups.values():
            loss = f"{group.loss.value:.1f} [{group.loss.low:.1f}, {group.loss.high:.1f}]"
            worst = f"{100 * group.worst.score.value:.1f} {group.worst.name}"
            surest = "" if group.surest is None else f"{100 * group.surest.value:.1f}"
            oracle, time = f"{100 * group.oracle.value:.1f}", f"{group.cost.latency_ratio:.2f} x"
            mean = f"{100 * group.mean.value:.1f}"
            yield row([group.name, mean, loss, "", worst, oracle, surest, time], TABLE.values())
        yield "-" * len(header)
        oracle = "mean: over all elements, the identity among them. told: if what happened were known and undone. "
        surest = "surest: asked in every pose, the surest answer taken, with no training. "
        if all(group.surest is None for group in self.groups.values()):
            surest = ""
        yield from paragraph(f"{oracle}{surest}time: behind the default canonicalizer, against bare.")

    def _elements(self) -> Iterator[str]:
        """Each element once, by verdict, with the points that it costs."""
        said: dict[str, list[str]] = {HARMLESS: [], HURTS: [], UNCLEAR: []}
        known: set[Any] = set()
        for group in self.groups.values():
            new = [element for element in group.moving if _key(group, element) not in known]
            known |= {_key(group, element) for element in new}
            for verdict, entries in said.items():
                alike = [element for element in new if element.verdict == verdict]
                if alike:
                    entries.append(f"{group.name}: {_in_runs(group, alike)}")
        yield ""
        yield from paragraph("; ".join(said[HARMLESS]) or "nothing, for sure", HARMLESS, NAMES)
        yield from paragraph("; ".join(said[HURTS]) or "nothing, for sure", "hurts, points", NAMES)
        if said[UNCLEAR]:
            yield from paragraph(f"{'; '.join(said[UNCLEAR])}; more {self.unit} would tell", UNCLEAR, NAMES)
        yield from paragraph(self._changes(), "changes labels", NAMES)

    def _changes(self) -> str:
        if self.classes is None:
            return "not looked for: the checkpoint does not say one class for an input"
        found: dict[tuple[str, str, str], LabelChange] = {}
        for group in self.groups.values():
            for element in group.elements:
                for change in element.changes:
                    found.setdefault((element.name, change.label, change.becomes), change)
        if not found:
            if self.classes < 2:
                return "not looked for: no two classes have 10 inputs that the checkpoint has right"
            return f"nothing is suspected, among {self.classes} classes of 10 inputs or more"
        pairs = [
            f"{label} -> {becomes} under {name} ({100 * change.share:.0f} % of {change.items}, "
            f"{100 * change.sure:.0f} % sure; of a real {becomes}, {100 * change.usual:.0f} %)"
            for (name, label, becomes), change in found.items()
        ]
        return f"{'; '.join(pairs)}. A suspicion: look at some of them"

    def _poses(self) -> Iterator[str]:
        shown = [group for group in self.groups.values() if group.poses]
        if not shown:
            return
        way = "likeliest to say the label" if self.labelled else "surest of its answer"
        yield ""
        yield from paragraph(
            f"The poses that the data come in, in the checkpoint's own opinion (where it is {way}); thin is less than "
            "half of an even share:"
        )
        for group in shown:
            assert group.poses is not None
            thick = {name: share for name, share in group.poses.items() if name not in group.thin}
            shares = ", ".join(f"{_plain(name)} {100 * share:.0f} %" for name, share in thick.items())
            few = ", ".join(map(_plain, group.thin)) if len(group.thin) < 7 else f"the other {len(group.thin)}"
            thin = f"; thin: {few}" if group.thin else "; none is thin"
            yield from paragraph(f"{shares}{thin}", f"  {group.name}", NAMES)

    def _left_out(self) -> Iterator[str]:
        alike: dict[str, list[str]] = {}
        for name, reason in self.left_out.items():
            # What several groups cannot do for one reason is said once.
            start = reason.partition(", and ")[0].partition("(")[0].replace(name, "")
            alike.setdefault(start, []).append(name)
        if alike:
            yield ""
        for names in alike.values():
            yield from paragraph(f"{', '.join(names)}: {self.left_out[names[0]]}", "left out", NAMES)

    def _advice(self) -> Iterator[str]:
        yield ""
        yield from paragraph(self.advice.reason, "RECOMMENDED", NAMES)
        if self.advice.command is not None:
            yield f"{'next':<{NAMES}}{self.advice.command}"  # whole, to be copied
        for caveat in self.advice.caveats:
            yield from paragraph(caveat, "note", NAMES)


def _in_runs(group: AuditedGroup, elements: list[AuditedElement]) -> str:
    """Elements and the points that they cost; of four or more in a row, the first and the last."""
    runs: list[list[AuditedElement]] = []
    for element in elements:
        together = runs and group.moving.index(element) == group.moving.index(runs[-1][-1]) + 1
        if together:
            runs[-1].append(element)
        else:
            runs.append([element])
    said = []
    for run in runs:
        names = [_plain(element.name).removeprefix(f"{group.name} ") for element in run]
        points = [f"{round(element.loss.value) + 0:d}" for element in run]
        if len(run) < 4:
            said += [f"{name} {cost}" for name, cost in zip(names, points, strict=True)]
        else:
            low, high = min(points, key=int), max(points, key=int)
            _, _, unit = names[-1].partition(" ")
            start = names[0].removesuffix(f" {unit}")
            said.append(f"{start} to {names[-1]}: {low if low == high else f'{low} to {high}'}")
    return ", ".join(said)


def _plain(name: str) -> str:
    """The name of an element, for lists with commas."""
    return name.replace(", ", " ")


def _key(group: AuditedGroup, element: AuditedElement) -> Any:
    """Turns and mirror images are the same in every group; others are told apart by their group."""
    return (group.name, element.name) if element.angle is None else (element.angle, element.mirrored)
