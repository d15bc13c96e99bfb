"""What an evaluation found about the canonicalizer's word: how good it is, and what was done upon it.

Dataclasses and the arithmetic that fills them, over numpy arrays; what is asked of a model is in `decision_log.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .interval import Interval
from .record import Record

BINS = 10
"""Of a reliability diagram: tenths of confidence."""

POINTS = 50
"""Of a risk-coverage curve, as it is kept."""

LEVEL = 0.9
"""How much of the posterior a set has to hold where no calibration says so."""

THIN = 10
"""Inputs of a class: with fewer, its figures say little."""


@dataclass(frozen=True)
class ReliabilityBin:
    """Answers whose confidence is between `low` and `high`.

    Attributes:
        low: confidence from which on, and `high` up to which.
        answers: how many there are.
        confidence: their mean confidence.
        right: the share of them whose pose was found.
    """

    low: float
    high: float
    answers: int
    confidence: float
    right: float


@dataclass(frozen=True)
class Reliability:
    """Whether the pose is right as often as the canonicalizer's confidence says. Over all inputs in every pose that
    is an element of the model's group; one between two elements has no right answer of its own.

    Attributes:
        answers: how many.
        bins: those that are not empty, by confidence.
        error: expected calibration error, from 0 to 1: the mean distance between confidence and share right, over bins
            of equal width (Guo et al., arXiv 1706.04599).
        gap: mean confidence minus share right: above 0 it is too sure of itself.
    """

    answers: int
    bins: tuple[ReliabilityBin, ...]
    error: float
    gap: Interval


@dataclass(frozen=True)
class RiskCurve:
    """What is wrong among the surest answers, as more and more are kept.

    Attributes:
        coverage: shares of the answers that are kept, rising to 1.
        risk: how much of those is wrong (for scores between right and wrong, one minus their mean).
        area: under the curve, over all answers: the mean risk as one keeps 1, 2, ..., all of them. Without any order
            it would be the risk of all; answers that are equally sure share their risk.
    """

    coverage: tuple[float, ...]
    risk: tuple[float, ...]
    area: float

    @property
    def overall(self) -> float:
        """The risk when every answer is kept."""
        return self.risk[-1]

    def at(self, share: float) -> float:
        """The risk when that share of the answers is kept.

        Example:
            >>> RiskCurve((0.5, 1.0), (0.1, 0.2), 0.1).at(0.75)  # doctest: +ELLIPSIS
            0.15...
        """
        return float(np.interp(share, self.coverage, self.risk))


@dataclass(frozen=True)
class Confusion:
    """Which element was found, for which one happened.

    Attributes:
        elements: their names; of a continuous group, of some that are spread evenly, and each counts as the nearest.
        counts: a row for each element that happened, with a column for each that was found.
    """

    elements: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]

    def mistakes(self, most: int) -> list[tuple[str, str, int, int]]:
        """The mistakes that occur most often: what happened, what was found, how often, and out of how many."""
        found = [
            (-count, row, column)
            for row, counts in enumerate(self.counts)
            for column, count in enumerate(counts)
            if row != column and count
        ]
        return [
            (self.elements[row], self.elements[column], -count, sum(self.counts[row]))
            for count, row, column in sorted(found)[:most]
        ]


@dataclass(frozen=True)
class SetSizes:
    """How many elements it takes to be sure.

    Attributes:
        calibrated: whether the sets are those of a calibration (`hf_canon.calibrate`), which promises that they hold
            the true element so often. Else they are the smallest sets with that share of the posterior, which promise
            nothing.
        level: that share.
        counts: how many answers have a set of 1, 2, ... elements (for a continuous group, modes of the posterior).
        covered: how often the true element is in the set; None where it is never known.
    """

    calibrated: bool
    level: float
    counts: tuple[int, ...]
    covered: float | None

    @property
    def mean(self) -> float:
        return float(np.average(np.arange(1, len(self.counts) + 1), weights=self.counts))


@dataclass(frozen=True)
class ActionTaken:
    """What became of the answers for which the decision rule did one thing.

    Attributes:
        answers: how many.
        before: how right the untouched checkpoint was on them, and `after` how right the model is; 0 to 1.
    """

    answers: int
    before: float
    after: float


@dataclass(frozen=True)
class Decisions:
    """What the decision rule did.

    Attributes:
        rule: its name.
        calibration: the level `alpha`, the bound `harm`, `items` and `temperature` of the calibration; None without.
        actions: by what was done: "canonicalized", "averaged", "left alone" or "abstained".
        passes: of the predictor, a mean over all inputs. What the canonicalizer itself asks comes on top.
    """

    rule: str
    calibration: dict[str, Any] | None
    actions: dict[str, ActionTaken]
    passes: float


@dataclass(frozen=True)
class ClassScores:
    """One class of inputs.

    Attributes:
        name: of the class.
        items: how many inputs there are.
        upright_before: how right the answers to them are as they came, untouched, and `upright_after` canonicalized.
        transformed_before: the same over all poses that were tried, and `transformed_after`.
    """

    name: str
    items: int
    upright_before: float
    upright_after: float
    transformed_before: float
    transformed_after: float


@dataclass(frozen=True)
class Diversity:
    """What the data hold.

    Attributes:
        found: for each element, how many inputs the canonicalizer found so as they came.
        identity: the name of the element that changes nothing.
        classes: the classes that occur, and how each fares; None for what has no classes.
        by: where the classes come from: "labels", or without them the untouched "answers".
        absent: how many classes of the checkpoint do not occur.
    """

    found: dict[str, int]
    identity: str
    classes: tuple[ClassScores, ...] | None = None
    by: str = "labels"
    absent: int = 0

    @property
    def thin(self) -> list[ClassScores]:
        """The classes with so few inputs that their figures say little."""
        return [one for one in self.classes or () if one.items < THIN]


@dataclass(frozen=True)
class Diagnosis(Record):
    """All of it. What has no meaning for a model is None.

    Attributes:
        answers: how many there are: every input in every pose that was tried.
        decisions: what the decision rule did.
        reliability: of the confidence.
        risk_coverage: by what the answers are sorted: "pose", the canonicalizer's confidence, and for classifiers
            "answer", the probability of the answer itself.
        confusion: of elements.
        set_sizes: of the sets that hold the true element.
        diversity: of the data.
    """

    answers: int
    decisions: Decisions
    reliability: Reliability | None
    risk_coverage: dict[str, RiskCurve]
    confusion: Confusion | None
    set_sizes: SetSizes
    diversity: Diversity


def reliability_bins(confidence: np.ndarray, right: np.ndarray) -> tuple[tuple[ReliabilityBin, ...], float]:
    """The bins of a reliability diagram, and the expected calibration error.

    Args:
        confidence: `(answers,)`, 0 to 1.
        right: `(answers,)`, 0 or 1.

    Example:
        >>> bins, error = reliability_bins(np.array([0.95, 0.95, 0.55]), np.array([1.0, 0.0, 1.0]))
        >>> [(one.answers, one.right) for one in bins], round(error, 3)
        ([(1, 1.0), (2, 0.5)], 0.45)
    """
    place = np.clip((confidence * BINS).astype(int), 0, BINS - 1)
    bins = []
    for one in np.unique(place):
        here = place == one
        bins.append(
            ReliabilityBin(
                low=int(one) / BINS,
                high=(int(one) + 1) / BINS,
                answers=int(here.sum()),
                confidence=float(confidence[here].mean()),
                right=float(right[here].mean()),
            )
        )
    error = sum(one.answers * abs(one.confidence - one.right) for one in bins) / len(confidence)
    return tuple(bins), float(error)


def risk_curve(confidence: np.ndarray, score: np.ndarray) -> RiskCurve:
    """The risk among the surest answers.

    Args:
        confidence: `(answers,)`.
        score: `(answers,)`, how right each is, 0 to 1.

    Example:
        >>> curve = risk_curve(np.array([0.9, 0.8, 0.7, 0.6]), np.array([1.0, 1.0, 1.0, 0.0]))
        >>> curve.coverage, curve.risk, curve.area
        ((0.25, 0.5, 0.75, 1.0), (0.0, 0.0, 0.0, 0.25), 0.0625)
    """
    _, ties = np.unique(confidence, return_inverse=True)
    shared = np.bincount(ties, 1 - score.astype(float)) / np.bincount(ties)
    n = len(score)
    running = shared[ties[np.argsort(-confidence, kind="stable")]].cumsum() / np.arange(1, n + 1)
    kept = np.unique(np.ceil(np.linspace(0, n, min(n, POINTS) + 1)[1:]).astype(int))
    return RiskCurve(
        coverage=tuple(float(k / n) for k in kept),
        risk=tuple(float(running[k - 1]) for k in kept),
        area=float(running.mean()),
    )


def confusion_of(elements: Sequence[str], true: np.ndarray, found: np.ndarray) -> Confusion:
    """Count which element was found for which, both given by their places in `elements`."""
    size = len(elements)
    counts = np.bincount(true.astype(np.int64) * size + found, minlength=size * size).reshape(size, size)
    return Confusion(tuple(elements), tuple(tuple(row) for row in counts.tolist()))
