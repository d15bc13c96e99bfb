"""An untouched checkpoint run in every pose: the passes of an audit, and what was seen in them."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...canonicalizers import build_canonicalizer, fitting
from ...canonicalizers.base import channels_of
from ...groups import Group, Images, Spectrograms, Waveforms
from ...groups.kinds import Kind
from ...modeling_canonicalized import CanonicalizedModel
from ...outputs import Inputs
from ...reports.robustness import Cost, Score
from ..cost import measure_cost, mixed, wall_clock
from ..metrics import Answer, Classes
from ..observations import Observations
from ..passes import Passes, Poses, transformed
from ..transforms import UPRIGHT, AnyTransform, members, transformed_by, tried

GROUPS: dict[type[Kind], tuple[str, ...]] = {
    Images: ("c4", "d1", "d4", "c8", "channels", "negative", "hue12", "white_balance", "gamma"),
    Waveforms: ("reverse", "polarity", "time_shift4", "gain", "speed12", "pitch12"),
    Spectrograms: ("reverse", "polarity", "time_shift4", "gain", "speed12", "pitch12"),
}
"""What is tried on each kind of input."""

OBLONG = {"c4": "c2", "d4": "d2"}
"""What is tried in place of a group that does not fit images that are not square."""

TIMED_ITEMS = 4
"""How many inputs the passes have that are timed, at least."""
TIMED_PASS = 0.2
"""Seconds that such a pass should take: shorter ones say more about whatever else the machine does."""


@dataclass(frozen=True)
class Undone:
    """An element, made and undone again: what a perfect canonicalizer leaves of it.

    Args:
        group: acting on inputs of the kind that the model reads.
        element: the first of those that differ by an exact element, which leaves nothing behind.
    """

    group: Group
    element: int | float

    @classmethod
    def of(cls, group: Group, element: int | float) -> "Undone":
        if not group.finite:
            return cls(group, element)
        alike = group.compose(group.inverse(group.exact_elements), torch.tensor(element))
        return cls(group, int(alike.min()))

    @property
    def identity(self) -> bool:
        return self.element == self.group.identity


Tried = AnyTransform | Undone


class Trial:
    """The passes over a data set, and what they gave for each input.

    Args:
        passes: of the checkpoint, wrapped.
        asked: the groups to try; None for all that fit.

    Raises:
        ValueError: a group that was asked for does not fit.
    """

    def __init__(self, passes: Passes, asked: list[Group] | None):
        assert passes.metric is not None
        self.passes, self.model, self.measure = passes, passes.model, passes.metric
        self.asked = asked
        self.left_out: dict[str, str] = {}
        self.groups: list[Group] = []
        self._sample: Inputs | None = None
        self._seen = Observations()
        self._models: dict[str, CanonicalizedModel] = {}
        for group in GROUPS[type(self.model.group.kind)] if asked is None else asked:
            self._admit(group, len(self.groups))

    # ------------------------------------------------------------------------------------------------------- passes

    def run(self) -> dict[str, Cost]:
        """Pass every batch in every pose.

        Returns:
            For each group, the cost of the canonicalizer that fits it.

        Raises:
            ValueError: no group fits these inputs, or one that was asked for does not.
        """
        with self.passes.run("audit", "passes", each=None) as (batches, bar):
            for poses in batches:
                if self._sample is None:
                    self._fit(poses.inputs.x.shape)
                    self._sample = poses.inputs
                    total = self.passes.batches.total
                    bar.total = None if total is None else total * self._passes_a_batch()
                self._pass(poses, bar.update)
            return {group.name: self.cost(group) for group in self.groups}

    def cost(self, group: Group) -> Cost:
        """Of the canonicalizer that fits a group, on a few inputs that were transformed."""
        assert self._sample is not None
        few = self._sample[:TIMED_ITEMS]

        def run() -> None:
            self.model.predict(few)

        run()
        size = max(TIMED_ITEMS, int(TIMED_ITEMS * TIMED_PASS / wall_clock(run, few.x.device)))
        return measure_cost(self._behind(group), mixed(self._sample[:size], members(group)))

    def _behind(self, group: Group) -> CanonicalizedModel:
        """The checkpoint behind the untrained canonicalizer that fits a group."""
        if group.name in self._models:
            return self._models[group.name]
        model = self.model
        seen = channels_of(group, model.checkpoint.channels)
        canonicalizer = build_canonicalizer(fitting(group), group, **seen)
        config = copy.deepcopy(model.config)
        config.group, config.canonicalizer = group.name, canonicalizer.name
        config.canonicalizer_settings = canonicalizer.settings
        behind = type(model)(config, model.checkpoint, canonicalizer.to(model.device)).eval()
        self._models[group.name] = behind
        return behind

    def _admit(self, group: str | Group, at: int) -> None:
        try:
            bound = self.model.checkpoint.bind(group)
            members(bound)
        except ValueError as error:
            self._refuse(group if isinstance(group, str) else group.name, error)
        else:
            self.groups.insert(at, bound)

    def _refuse(self, name: str, error: ValueError) -> None:
        if self.asked is not None:
            raise error
        self.left_out[name] = str(error)
        self.groups = [group for group in self.groups if group.name != name]

    def _fit(self, shape: torch.Size) -> None:
        """Leave out the groups that do not fit the shape of the inputs."""
        for group in list(self.groups):
            try:
                group.check_shape(shape)
            except ValueError as error:
                at = self.groups.index(group)
                self._refuse(group.name, error)
                if group.name in OBLONG:
                    self._admit(OBLONG[group.name], at)

    def _passes_a_batch(self) -> int:
        return len(
            {as_seen(transformed_by(group, element)) for group in self.groups for element in tried(group).tolist()}
        )

    def _pass(self, poses: Poses, done: Callable[[], Any]) -> None:
        found: dict[Tried, dict[str, Tensor]] = {UPRIGHT: self._judged(poses, poses.upright, UPRIGHT)}
        done()
        for group in list(self.groups):
            try:
                group.check_shape(poses.inputs.x.shape)
                for element in tried(group).tolist():
                    self._try(group, element, poses, found, done)
            except ValueError as error:
                self._refuse(group.name, error)
        if not self.groups:
            raise ValueError(f"No group fits these inputs: {' '.join(self.left_out.values())}")
        for tried_one, columns in found.items():
            self._seen.add(tried_one, columns)

    def _try(
        self,
        group: Group,
        element: int | float,
        poses: Poses,
        found: "dict[Tried, dict[str, Tensor]]",
        done: Callable[[], Any],
    ) -> None:
        """One element, unless another group has tried it; and what is left of it when it is undone."""
        transform, undone = as_seen(transformed_by(group, element)), Undone.of(group, element)
        if transform not in found:
            found[transform] = self._judged(poses, poses.untouched(transformed(poses.inputs, transform)), transform)
            done()
        if undone.identity or undone in found:
            return
        transform = transformed_by(group, undone.element)
        there = transformed(poses.inputs, transform)
        each = torch.full((len(poses),), undone.element, device=there.x.device)
        back = there.transformed(group, group.inverse(each))
        if alike(back, poses.inputs):
            found[undone] = found[UPRIGHT]
        else:
            found[undone] = self._judged(poses, poses.oracle(there, undone.element, self._behind(group)), transform)

    def _judged(self, poses: Poses, answer: Answer, transform: AnyTransform) -> dict[str, Tensor]:
        columns = poses.judged(answer, transform, poses.expected(transform))
        if self.classes:
            likely = answer["logits"].double().log_softmax(-1)
            columns["sure"], columns["answer"] = likely.max(-1)
            if poses.labels is not None:
                right = [one[list(classes)].logsumexp(0) for one, classes in zip(likely, poses.labels, strict=True)]
                columns["label"] = torch.stack(right)
        return columns

    # ----------------------------------------------------------------------------------------------------- answers

    @property
    def classes(self) -> bool:
        """Whether the checkpoint says one class for an input."""
        return isinstance(self.measure, Classes)

    @property
    def labelled(self) -> bool:
        return (UPRIGHT, "accuracy") in self._seen

    def get(self, one: "Tried", what: str) -> np.ndarray:
        """`(items,)`; `what` is 'agreement', 'accuracy', and for classes 'answer', and the logarithms of the
        probabilities of that ('sure') and of the right one ('label')."""
        return self._seen.get(UPRIGHT if one.identity else one, what)

    def judged(self, one: "Tried") -> np.ndarray:
        """How right each answer was; without labels, how near to the answer to the input as it came."""
        return self.get(one, "accuracy" if self.labelled else "agreement").astype(float)

    def score(self, *several: "Tried") -> Score:
        """The mean over some of what was tried."""
        agreement, accuracy = (
            float(np.mean([self.get(one, what).astype(float).mean() for one in several]))
            if what == "agreement" or self.labelled
            else None
            for what in ("agreement", "accuracy")
        )
        assert agreement is not None
        return Score(agreement, accuracy)

    def undoing(self, group: Group, what: str) -> np.ndarray:
        """Of a finite group: what was seen when each element was undone in the inputs as they came,
        `(items, order)`."""
        undo = group.inverse(group.elements).tolist()
        return np.stack([self.get(transformed_by(group, element), what) for element in undo], 1)


def as_seen(transform: AnyTransform) -> AnyTransform:
    """The identity of every group is tried once."""
    return UPRIGHT if transform.identity else transform


def alike(one: Inputs, other: Inputs) -> bool:
    """Whether two batches are the same up to rounding, so that a checkpoint need not run twice."""
    if one.x.shape != other.x.shape:
        return False
    if one.lengths is not None and other.lengths is not None and not torch.equal(one.lengths, other.lengths):
        return False
    return bool((one.x - other.x).abs().max() <= 1e-3 * other.x.float().std())
