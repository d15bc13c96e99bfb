"""What an evaluation found: numbers, a table, a file."""

from dataclasses import dataclass
from typing import Any

from .diagnosis import Diagnosis
from .distribution_shift import ShiftReport
from .interval import Interval
from .record import Record
from .text import WIDTH, cut, end, row

BASELINES = {"orbit_mean": "orbit mean", "most_confident": "most confident", "oracle": "oracle"}
"""Other ways to answer, measured on the same inputs, and how they are called in tables and plots."""

NOTABLE = 0.1
"""By how much a score between right and wrong has to change to be counted as a change."""


@dataclass(frozen=True)
class Score:
    """How right the answers were, and how near to what the untouched model says upright, on average. 0 to 1."""

    agreement: float
    accuracy: float | None = None

    @property
    def value(self) -> float:
        """The accuracy where there are labels, the agreement where there are none."""
        return self.agreement if self.accuracy is None else self.accuracy


@dataclass(frozen=True)
class TransformResult:
    """What one transform did. `scores` has 'before' (untouched), 'after' (canonicalized), and the baselines.

    `angle` is None for what is no rotation, `pose_accuracy` for what the model's group does not undo. `parameter` is
    the element of a continuous group, such as semitones (degrees for circles), and None for others.
    """

    name: str
    angle: float | None
    mirrored: bool
    scores: dict[str, Score]
    pose_accuracy: float | None
    parameter: float | None = None

    @property
    def before(self) -> Score:
        return self.scores["before"]

    @property
    def after(self) -> Score:
        return self.scores["after"]


@dataclass(frozen=True)
class TransformSet:
    """The transforms of one group, or all the angles in degrees, together."""

    name: str
    transforms: tuple[TransformResult, ...]
    mean: dict[str, Score]
    worst: dict[str, Score]
    pose_accuracy: float | None
    gain: Interval
    """After minus before, of the mean."""
    right_to_wrong: int
    wrong_to_right: int

    @property
    def before(self) -> float:
        """The mean over the transforms, untouched: accuracy, or agreement without labels."""
        return self.mean["before"].value

    @property
    def after(self) -> float:
        """The mean over the transforms, canonicalized: accuracy, or agreement without labels."""
        return self.mean["after"].value

    @property
    def title(self) -> str:
        if self.name != "angles":
            return self.name
        return "1 angle" if len(self.transforms) == 1 else f"{len(self.transforms)} angles"


@dataclass(frozen=True)
class Cost:
    """What canonicalization costs on top of the bare model.

    Wall-clock time is the median over passes taken in turns on one batch of transformed images, milliseconds a
    image. `parameter_ratio` compares the bytes of parameters and buffers; `peak_memory_ratio` those bytes and the
    most that a pass holds besides: what a CUDA device has allocated, or on a CPU what tensors hold, without what an
    operation needs inside itself. None on other devices, and for compiled models.
    """

    device: str
    batch_size: int
    bare_ms: float
    canonicalized_ms: float
    latency_ratio: float
    parameter_ratio: float
    peak_memory_ratio: float | None


@dataclass(frozen=True)
class RobustnessReport(Record):
    """What `evaluate_robustness` found. Scores are fractions; differences are percentage points.

    `print(report)` shows the table, `report.sets["c8"]` has the figures of one set of transforms.

    Attributes:
        model: the predictor's Hub id, its folder as seen from here, or the name of a folder elsewhere or of its class.
        group: the model's group.
        canonicalizer: the canonicalizer's name.
        items: number of images, or clips.
        dataset: where they came from (`id`, `revision`, `split`), as far as the data set knows.
        labelled: whether there were labels. Without them every accuracy is None, and agreement with the untouched
            model's upright answer takes its place in differences and counts.
        upright: the images as they came.
        upright_tax: what canonicalization costs upright images: before minus after.
        upright_right_to_wrong: upright images that canonicalization spoils; `upright_wrong_to_right` that it fixes.
            Where a score is not only right or wrong, those that lose or gain more than 10 points.
        sets: the sets of transforms by name: that of a group, and 'angles'.
        cost: time and memory in relation to the bare model.
        measure: what the scores are: "accuracy", or "mean IoU" and the like.
        unit: "images" or "clips".
        diagnosis: how good the canonicalizer's word is, and what was done upon it: confidence, confusion, sets,
            decisions, the diversity of the data. None in files of earlier versions.
        shift: how far the inputs as they came are from reference data; None where there were none to compare with.

    Example:
        >>> import tempfile, torch
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel, evaluate_robustness
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> report = evaluate_robustness(model, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
        >>> report.upright.before.agreement, report.upright.before.accuracy  # there were no labels
        (1.0, None)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     report.save(f"{folder}/report.json")
        ...     RobustnessReport.load(f"{folder}/report.json") == report
        True
    """

    model: str
    group: str
    canonicalizer: str
    items: int
    labelled: bool
    upright: TransformResult
    upright_tax: Interval
    upright_right_to_wrong: int
    upright_wrong_to_right: int
    sets: dict[str, TransformSet]
    cost: Cost
    dataset: dict[str, Any] | None = None
    measure: str = "accuracy"
    unit: str = "images"
    diagnosis: Diagnosis | None = None
    shift: ShiftReport | None = None

    @property
    def graded(self) -> bool:
        """Whether there is something between right and wrong."""
        return self.measure != "accuracy"

    @property
    def what(self) -> str:
        """What the scores say, in words."""
        if not self.graded:
            return "accuracy" if self.labelled else "agreement with the untouched model's upright answers"
        return self.measure if self.labelled else f"{self.measure} with the untouched model's upright answers"

    def changes(self, spoiled: int, fixed: int) -> str:
        """How many answers canonicalization has changed, in words."""
        if self.graded:
            return f"{spoiled:,} lose, {fixed:,} gain over {100 * NOTABLE:.0f} points"
        return f"{spoiled:,} right -> wrong, {fixed:,} wrong -> right"

    def table(self) -> str:
        """The report as text, at most 100 columns wide.

        Every element of a group has its row; of angles in degrees, the mean and the worst are shown.
        """
        baselines = [name for name in BASELINES if name in self.upright.scores]
        columns = ["before", "after", *(BASELINES[name] for name in baselines), "pose right"]
        if self.labelled:
            columns += ["agree before", "agree after"]

        longest = max(len(one.name) for group in self.sets.values() for one in group.transforms)
        widths = [-max(19, min(longest + 3, WIDTH - 10 * len(columns))), *(10 for _ in columns)]

        def line(name: str, scores: dict[str, Score], pose: float | None) -> str:
            values = [scores[method].value for method in ("before", "after", *baselines)] + [pose]
            if self.labelled:
                values += [scores["before"].agreement, scores["after"].agreement]
            return row([name, *("" if value is None else f"{100 * value:.1f}" for value in values)], widths)

        # Titles of two words stand on two lines.
        header = row(["", *(column.rpartition(" ")[0] for column in columns)], widths)
        subheader = row(["", *(column.rpartition(" ")[2] for column in columns)], widths)
        rule = "-" * len(subheader)
        lines = [
            f"{end(self.model, 48)}, canonicalizer {self.canonicalizer!r} over {self.group}",
            f"{self.items:,} {self.unit}, {self.what} in %",
            "",
            header,
            subheader,
            rule,
            line("upright", self.upright.scores, self.upright.pose_accuracy),
        ]
        for group in self.sets.values():
            lines += ["", f"{group.title}"]
            if group.name != "angles":
                lines += [line("  " + one.name, one.scores, one.pose_accuracy) for one in group.transforms]
            lines += [line("  mean", group.mean, group.pose_accuracy), line("  worst", group.worst, None)]
        lines += [rule, *self._summary()]
        if self.shift is not None:
            lines += ["", "The inputs as they came, beside the reference", *self.shift.lines()]
        return "\n".join(lines)

    def _summary(self) -> list[str]:
        rows = [
            (
                "upright tax",
                f"{self.upright_tax}",
                self.changes(self.upright_right_to_wrong, self.upright_wrong_to_right),
            )
        ]
        for group in self.sets.values():
            rows.append(
                (
                    f"gain, {group.title}",
                    f"{group.gain}",
                    self.changes(group.right_to_wrong, group.wrong_to_right),
                )
            )
        width = max(16, min(22, 1 + max(len(name) for name, _, _ in rows)))
        rest = max(48 - width, 28)
        lines = [f"{cut(name, width - 1):<{width}}{interval:<{rest}}{counts}" for name, interval, counts in rows]
        cost = self.cost
        time = (
            f"{cost.latency_ratio:.2f} x time ({cost.bare_ms:.2f} -> {cost.canonicalized_ms:.2f} ms "
            f"per {self.unit.removesuffix('s')}, batch {cost.batch_size}, {cost.device})"
        )
        memory = f"{cost.parameter_ratio:.3f} x parameter bytes"
        if cost.peak_memory_ratio is None:
            return [*lines, f"{'cost':<{width}}{time}, {memory}"]
        memory += f", {cost.peak_memory_ratio:.2f} x peak memory"
        return [*lines, f"{'cost':<{width}}{time}", f"{'':<{width}}{memory}"]

    def __str__(self) -> str:
        return self.table()
