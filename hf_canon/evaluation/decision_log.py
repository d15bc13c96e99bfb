"""What the canonicalizer said of every input of an evaluation."""

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..groups import FinitePlanar, Group
from ..groups.color import FiniteHue, Hue
from ..groups.product import Product
from ..modeling_canonicalized import CanonicalizedModel
from ..reports.diagnosis import (
    LEVEL,
    ActionTaken,
    ClassScores,
    Confusion,
    Decisions,
    Diagnosis,
    Diversity,
    Reliability,
    SetSizes,
    confusion_of,
    reliability_bins,
    risk_curve,
)
from ..reports.interval import Interval
from ..selection import Action, Ranking, rank
from .metrics import Answer
from .transforms import STEPS, UPRIGHT, AnyTransform, GroupTransform, Rotation

Judged = Callable[[AnyTransform, str], np.ndarray]
"""How right the answers of a method were after a transform, `(items,)`."""


class DecisionLog:
    """Collects, for each input in each pose, what was found and how sure the canonicalizer was.

    Args:
        model: that is evaluated.
        classes: whether its answers are classes.
    """

    def __init__(self, model: CanonicalizedModel, classes: bool):
        self.model = model
        self.group = model.group
        self.classes = classes
        self.bins = bins_of(model.group)
        self._seen: dict[tuple[AnyTransform, str], list[np.ndarray]] = defaultdict(list)
        self._true: dict[AnyTransform, int | None] = {}
        self._class: list[np.ndarray] = []
        self._labelled = False

    def add(self, transform: AnyTransform, output: Any) -> None:
        """Record what the canonicalizer said of a batch, after a transform."""
        said, group = output.canonicalization, self.group
        likeliest = self.model.canonicalizer.element(said.logits)
        ranking = rank(said.probabilities, group, likeliest)
        size = smallest_sets(ranking) if said.size is None else said.size
        columns = {
            "confidence": said.confidence,
            "found": self._bin(likeliest),
            "size": size,
            "passes": said.passes,
            "action": said.action,
        }
        if self.classes:
            columns["answer"] = output.logits.float().softmax(-1).amax(-1)
        element = transform.element(group) if is_member(transform, group) else None
        self._true[transform] = None if element is None else int(self._bin(torch.tensor([element])))
        if element is not None:
            right = transform.recovered(likeliest, group)
            if right is not None:
                columns["right"] = right
                place = int(group.nearest(torch.tensor(element), said.probabilities.shape[1]))
                columns["covered"] = ranking.place[:, place] < size
        for name, values in columns.items():
            values = values.cpu()
            self._seen[transform, name].append(
                (values.float() if values.is_floating_point() else values.to(torch.int32)).numpy()
            )

    def add_classes(self, labels: Any, untouched: Answer) -> None:
        """Record the class of each input of a batch: the first that is right, or without labels the untouched answer
        to the input as it came."""
        if not self.classes:
            return
        self._labelled = labels is not None
        found = untouched["logits"].argmax(-1).tolist() if labels is None else [label[0] for label in labels]
        self._class.append(np.array(found))

    def diagnose(self, judged: Judged, interval: Callable[[np.ndarray], list[Interval]]) -> Diagnosis:
        """From what was seen to what it means.

        Args:
            judged: how right the answers were.
            interval: of the mean of each column of `(items, columns)`.
        """
        shifts = list(self._true)
        known = [transform for transform in shifts if (transform, "right") in self._seen]
        after = np.concatenate([judged(transform, "after") for transform in shifts])
        orders = {"pose": "confidence"} | ({"answer": "answer"} if self.classes else {})
        return Diagnosis(
            answers=len(after),
            decisions=self._decisions(judged, shifts, after),
            reliability=self._reliability(known, interval) if known else None,
            risk_coverage={name: risk_curve(self._all(shifts, column), after) for name, column in orders.items()},
            confusion=self._confusion(known) if len(known) > 1 else None,
            set_sizes=self._set_sizes(shifts, known),
            diversity=self._diversity(judged, shifts),
        )

    def _get(self, transform: AnyTransform, what: str) -> np.ndarray:
        return np.concatenate(self._seen[transform, what])

    def _all(self, shifts: Sequence[AnyTransform], what: str) -> np.ndarray:
        return np.concatenate([self._get(transform, what) for transform in shifts])

    def _bin(self, element: Tensor) -> Tensor:
        """The nearest of the elements that have a name here."""
        return self.group.nearest(element.cpu(), len(self.bins))

    @property
    def names(self) -> list[str]:
        return [self.group.describe(element) for element in self.bins.tolist()]

    def _decisions(self, judged: Judged, shifts: list[AnyTransform], after: np.ndarray) -> Decisions:
        before = np.concatenate([judged(transform, "before") for transform in shifts])
        action, calibration = self._all(shifts, "action"), self.model.calibration
        taken = {}
        for one in Action:
            here = action == int(one)
            if here.any():
                taken[one.words] = ActionTaken(int(here.sum()), float(before[here].mean()), float(after[here].mean()))
        kept = ("alpha", "harm", "items", "temperature")
        return Decisions(
            rule=self.model.config.decision,
            calibration=None if calibration is None else {name: getattr(calibration, name) for name in kept},
            actions=taken,
            passes=float(self._all(shifts, "passes").mean()),
        )

    def _reliability(self, known: list[AnyTransform], interval: Callable[[np.ndarray], list[Interval]]) -> Reliability:
        confidence, right = self._all(known, "confidence"), self._all(known, "right")
        bins, error = reliability_bins(confidence, right)
        gaps = np.mean(
            [self._get(transform, "confidence") - self._get(transform, "right") for transform in known], axis=0
        )
        return Reliability(len(right), bins, error, interval(gaps[:, None])[0])

    def _confusion(self, known: list[AnyTransform]) -> Confusion:
        true = [np.full(len(self._get(transform, "found")), self._true[transform]) for transform in known]
        return confusion_of(self.names, np.concatenate(true), self._all(known, "found"))

    def _set_sizes(self, shifts: list[AnyTransform], known: list[AnyTransform]) -> SetSizes:
        calibration = self.model.calibration
        counts = np.bincount(self._all(shifts, "size"))[1:]
        return SetSizes(
            calibrated=calibration is not None,
            level=LEVEL if calibration is None else 1 - calibration.alpha,
            counts=tuple(counts.tolist()),
            covered=float(self._all(known, "covered").mean()) if known else None,
        )

    def _diversity(self, judged: Judged, shifts: list[AnyTransform]) -> Diversity:
        counts = np.bincount(self._get(UPRIGHT, "found"), minlength=len(self.bins))
        found = dict(zip(self.names, counts.tolist(), strict=True))
        identity = self.names[int(self._bin(torch.tensor([self.group.identity])))]
        if not self.classes:
            return Diversity(found, identity)
        config: Any = self.model.predictor.config
        number = np.concatenate(self._class)
        scores = {
            method: np.mean([judged(transform, method) for transform in shifts], axis=0)
            for method in ("before", "after")
        }
        classes = []
        for one in np.unique(number):
            here = number == one
            classes.append(
                ClassScores(
                    name=str((config.id2label or {}).get(int(one), int(one))),
                    items=int(here.sum()),
                    upright_before=float(judged(UPRIGHT, "before")[here].mean()),
                    upright_after=float(judged(UPRIGHT, "after")[here].mean()),
                    transformed_before=float(scores["before"][here].mean()),
                    transformed_after=float(scores["after"][here].mean()),
                )
            )
        return Diversity(
            found,
            identity,
            tuple(classes),
            by="labels" if self._labelled else "answers",
            absent=max(0, config.num_labels - len(classes)),
        )


def bins_of(group: Group) -> Tensor:
    """The elements under whose names counts are kept: all of a finite group; of a continuous one the quarter and
    eighth turns of a circle, or some that are spread evenly along a line."""
    return group.grid(8 if getattr(group, "period", None) else STEPS)


def smallest_sets(ranking: Ranking) -> Tensor:
    """How many of the likeliest elements have `LEVEL` of the posterior together, `(batch,)`."""
    enough = ranking.probability.cumsum(1) >= LEVEL - 1e-6
    last = ranking.probability.shape[1]
    return torch.where(enough.any(1), enough.int().argmax(1) + 1, last)


def is_member(transform: AnyTransform, group: Group) -> bool:
    """Whether a shift is an element of the group, and not one between two of them."""
    if transform.element(group) is None:
        return False
    if isinstance(group, Product) and not (isinstance(transform, GroupTransform) and transform.group == group):
        return all(is_member(transform, factor) for factor in group.factors if transform.element(factor) is not None)
    if isinstance(transform, Rotation) and isinstance(group, FinitePlanar):
        steps = transform.angle * group.n / 360
        return abs(steps - round(steps)) < 1e-6 and (group.reflections or not transform.mirrored)
    if isinstance(transform, Rotation) and not group.finite:
        return not transform.mirrored
    if isinstance(transform, GroupTransform) and isinstance(transform.group, Hue) and isinstance(group, FiniteHue):
        steps = float(transform.group.angle(torch.tensor(transform.value))) * group.n / (2 * math.pi)
        return abs(steps - round(steps)) < 1e-4
    return True
