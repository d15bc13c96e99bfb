"""What else one could do with transformed inputs, without a canonicalizer."""

import torch
from torch import Tensor

from ..groups import FinitePlanar, Group, Planar
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Inputs
from .metrics import Answer
from .passes import Poses, acted
from .transforms import AnyTransform, Rotation, tried


class Baselines:
    """What else one could do with the shifted versions of one batch, without a canonicalizer."""

    def __init__(self, poses: Poses):
        self.poses = poses
        group = poses.model.group
        self.turned = OrbitLogits(poses.model, group, poses.inputs.x) if isinstance(group, Planar) else None

    def __call__(self, transform: AnyTransform, shifted: Inputs) -> dict[str, Answer]:
        """The answers of the untouched model and of each baseline."""
        if self.poses.metric.graded:  # there is no mean of maps in different poses
            return {"before": self.poses.untouched(shifted), "oracle": self._oracle(transform, shifted)}
        if self.turned is not None and isinstance(transform, Rotation):
            found = self.turned.answers(transform, shifted.x)
        else:
            found = self._every_pose(transform, shifted)
        return {method: {"logits": logits} for method, logits in found.items()}

    def _every_pose(self, transform: AnyTransform, shifted: Inputs) -> dict[str, Tensor]:
        group, members = orbit_members(self.poses.model.group)
        undone = (acted(shifted, group, group.inverse(members[i])) for i in range(len(members)))
        orbit = torch.stack([self.poses.model.predict(one).logits.float() for one in undone], 1)
        return {
            "before": orbit[:, int((members == group.identity).nonzero()[0])],
            "orbit_mean": orbit.mean(1),
            "most_confident": most_confident(orbit),
            "oracle": self._oracle(transform, shifted)["logits"],
        }

    def _oracle(self, transform: AnyTransform, shifted: Inputs) -> Answer:
        """The answer of a model that is told what happened."""
        group = self.poses.model.group
        known = transform.element(group)
        return self.poses.oracle(shifted, group.identity if known is None else known)


def orbit_members(group: Group) -> tuple[Group, Tensor]:
    """The elements in whose poses a predictor is asked, and their group."""
    if isinstance(group, Planar) and not group.finite:
        group = FinitePlanar(8, reflections=False)
    return group, tried(group)


def most_confident(orbit: Tensor) -> Tensor:
    """Of logits `(batch, poses, classes)`, those with the highest probability: `(batch, classes)`."""
    return orbit[torch.arange(len(orbit)), orbit.softmax(-1).amax(-1).argmax(1)]


class OrbitLogits:
    """The predictor's logits for the orbit of every shifted version of one batch.

    A turn that the group does exactly permutes the orbit of an image, so that versions that differ by one share an
    orbit: the eight elements of `c8` need two.
    """

    def __init__(self, model: CanonicalizedModel, group: Planar, x: Tensor):
        self.model = model
        self.group = group
        self.x = x
        members, _ = orbit_members(group)
        assert isinstance(members, FinitePlanar)
        self.members = members
        exact_turns = [element for element in self.members.exact_elements.tolist() if element < self.members.n]
        self.exact_step = 360 / len(exact_turns)
        self.computed: dict[Rotation, Tensor] = {}

    def answers(self, transform: Rotation, shifted: Tensor) -> dict[str, Tensor]:
        """Logits (or their like) of the untouched model and of each baseline, `(batch, classes)`."""
        orbit = self.orbit(transform)
        return {
            "before": orbit[:, 0],
            "orbit_mean": orbit.mean(1),
            "most_confident": most_confident(orbit),
            "oracle": self.oracle(transform, shifted, orbit),
        }

    def orbit(self, transform: Rotation) -> Tensor:
        """The logits for every `g^-1 . shift(x)`: `(batch, order, classes)`."""
        turns, rest = divmod(transform.angle, self.exact_step)
        start = Rotation(rest, transform.mirrored)
        if start not in self.computed:
            self.computed[start] = self._compute(start(self.x))
        # With s the exact turn that is left, h^-1 s = (s^-1 h)^-1: member h is that member of the orbit of the start.
        exact = torch.tensor(Rotation(turns * self.exact_step).element(self.members))
        return self.computed[start][:, self.members.compose(self.members.inverse(exact), self.members.elements)]

    def _compute(self, x: Tensor) -> Tensor:
        # One member a pass: the batch stays as large as the user chose, and the identity's pass is the bare model's.
        undo = self.members.inverse(self.members.elements)
        return torch.stack([logits_of(self.model, self.members.act(x, g.expand(len(x)))) for g in undo], 1)

    def oracle(self, transform: Rotation, shifted: Tensor, orbit: Tensor) -> Tensor:
        element = transform.element(self.group)
        assert element is not None
        if isinstance(self.group, FinitePlanar):
            return orbit[:, int(element)]
        return logits_of(self.model, self.group.act(shifted, self.group.inverse(torch.full((len(shifted),), element))))


def logits_of(model: CanonicalizedModel, x: Tensor) -> Tensor:
    """The untouched predictor's logits `(batch, classes)`."""
    return model.predict(Inputs(x)).logits.float()
