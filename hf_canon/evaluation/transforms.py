"""Which shifts an evaluation makes, and how."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..groups import SO2, FinitePlanar, Group, OneParameter, Planar, get_group
from ..groups.color import FiniteHue, Hue
from ..groups.planar import permute_pixels, turn_pixels
from ..groups.product import Product

ANGLES = "angles"
"""The name under which all transforms that are given in degrees are reported."""

OWN = "own transforms"
"""The name under which transforms of the user's own are reported, unless they are given one."""

STEPS = 9
"""How many elements of a continuous group are tried: an odd number, so that a line has the identity in its middle."""

Step = tuple[Group, int | float]
"""What happens to places in an image: a group, and its element."""


@dataclass(frozen=True)
class Rotation:
    """Mirror if `mirrored`, then turn counter-clockwise by `angle` degrees, in [0, 360)."""

    angle: float
    mirrored: bool = False

    parameter = None

    @property
    def name(self) -> str:
        turn = f"{self.angle:.4g}\N{DEGREE SIGN}"
        return f"mirrored, {turn}" if self.mirrored else turn

    @property
    def identity(self) -> bool:
        return self.angle == 0 and not self.mirrored

    def __call__(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Move every image of `(batch, channels, height, width)`: quarter turns by permutation, the rest bicubic.

        The model undoes what happened with bilinear interpolation. Were the shift made with the same one, an
        evaluation would flatter the model with an inverse that no real image has.
        """
        if self.identity:
            return x
        quarters, rest = divmod(self.angle, 90)
        mirror = torch.full((len(x),), self.mirrored, device=x.device)
        if rest == 0:
            return permute_pixels(x, torch.full_like(mirror, int(quarters), dtype=torch.long), mirror)
        turned = turn_pixels(x, torch.full((len(x),), math.radians(rest), device=x.device), mirror, "bicubic")
        return Rotation(90 * quarters)(turned) if quarters else turned

    def lengths(self, lengths: Tensor | None, transformed: Tensor) -> Tensor | None:
        """Images have none."""
        return lengths

    def element(self, group: Group) -> int | float | None:
        """What a perfect canonicalizer over `group` answers: this shift, or the rotation nearest to it.

        A mirror image that the group does not have is left mirrored; the turn came after it and can still be undone.
        None for a group that turns nothing.
        """
        if isinstance(group, FinitePlanar):
            nearest = round(self.angle * group.n / 360) % group.n
            return nearest + group.n * (self.mirrored and group.reflections)
        if isinstance(group, Planar):
            return math.radians(self.angle)
        return group.identity if self.identity else joined(self, group)

    def recovered(self, element: Tensor, group: Group) -> Tensor | None:
        """Whether each predicted element `(batch,)` is this shift: bool `(batch,)`; None for a group that turns
        nothing.

        For a finite group: the element itself, or one no farther than half a step if the shift is between two. For a
        continuous one: within 22.5 degrees.
        """
        if not isinstance(group, Planar):
            return is_element(element, group, self.element(group))
        angle, mirror = group.angle_and_mirror(element.cpu())
        distance = ((angle.double().rad2deg() - self.angle + 180) % 360 - 180).abs()
        if not isinstance(group, FinitePlanar):
            return distance <= 22.5
        steps = self.angle * group.n / 360
        # An element of the group has to be hit itself; between two, both are half a step away or less than that.
        tolerance = 0.25 if abs(steps - round(steps)) < 1e-6 else 0.5 + 1e-6
        near = distance <= tolerance * 360 / group.n
        return near & (mirror == self.mirrored) if group.reflections else near

    @property
    def steps(self) -> list[Step]:
        """What happens to places in the image, one after the other."""
        mirror: list[Step] = [(_MIRROR, 1)] if self.mirrored else []
        return [*mirror, (_TURN, math.radians(self.angle))] if self.angle else mirror

    def check_shape(self, shape: torch.Size) -> None:
        if self.angle % 180:
            get_group("so2").check_shape(shape)


UPRIGHT = Rotation(0.0)


@dataclass(frozen=True)
class GroupTransform:
    """An element of a group that is no rotation of the image: colours, pitch, time.

    Args:
        group: acting on inputs of the kind that the model reads.
        value: the element.
    """

    group: Group
    value: int | float

    angle = None
    mirrored = False

    @property
    def name(self) -> str:
        return self.group.describe(self.value)

    @property
    def identity(self) -> bool:
        return self.value == self.group.identity

    @property
    def parameter(self) -> float | None:
        """In the unit in which users give it, where there is one."""
        return shown(self.group, self.value)

    def __call__(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.group.act(x, self._element(len(x)).to(x.device), lengths)

    def lengths(self, lengths: Tensor | None, transformed: Tensor) -> Tensor | None:
        """How long the transformed clips are, `(batch,)`."""
        if lengths is None:
            return None
        return self.group.transformed_lengths(lengths, self._element(len(lengths)).to(lengths.device), transformed)

    def element(self, group: Group) -> int | float | None:
        """The same element of the model's group, or of hues the nearest; None if that does not undo such things."""
        if self.identity:
            return group.identity
        if group == self.group or _same_line(group, self.group):
            return self.value
        if isinstance(group, Hue) and isinstance(self.group, Hue):
            angle = float(self.group.angle(torch.tensor(self.value)))
            return round(angle / group.cell) % group.n if isinstance(group, FiniteHue) else angle
        if isinstance(self.group, Product):
            parts = [part.element(group) for part in self._parts()]
            return next((part for part in parts if part is not None and part != group.identity), None)
        return joined(self, group)

    def recovered(self, element: Tensor, group: Group) -> Tensor | None:
        """Whether each predicted element is this one; for a continuous group, within its tolerance."""
        return is_element(element, group, self.element(group))

    @property
    def steps(self) -> list[Step]:
        return steps_of(self.group, self.value)

    def check_shape(self, shape: torch.Size) -> None:
        self.group.check_shape(shape)

    def _parts(self) -> "list[Rotation | GroupTransform]":
        """What each factor of a product does."""
        assert isinstance(self.group, Product)
        values = (int(part) for part in self.group.split(torch.tensor(int(self.value))))
        return [transformed_by(factor, value) for factor, value in zip(self.group.factors, values, strict=True)]

    def _element(self, batch: int) -> Tensor:
        return torch.full((batch,), self.value)


@dataclass(frozen=True)
class Transform:
    """A shift of your own, made in another way than the one in which the model undoes it.

    Args:
        name: its row in tables.
        function: from one input to the same input, transformed. It is given what the data set holds: a PIL image, a
            waveform `(samples,)`, or one of its `pixel_values`; the checkpoint's processor comes afterwards.
        element: of the model's group, that this is; None if it has none, or nobody knows.

    Example:
        >>> from hf_canon.evaluation import Transform
        >>> turned = Transform("turned by PIL", lambda image: image.rotate(90, expand=True), element=1)
    """

    name: str
    function: Callable[[Any], Any]
    element: int | float | None = None


@dataclass(frozen=True)
class CustomTransform:
    """A user's transform, among ours."""

    transform: Transform
    group: Group
    """The model's."""

    angle = None
    mirrored = False
    identity = False

    @property
    def name(self) -> str:
        return self.transform.name

    @property
    def parameter(self) -> float | None:
        return None if self.transform.element is None else shown(self.group, self.transform.element)

    def element(self, group: Group) -> int | float | None:
        return self.transform.element

    def recovered(self, element: Tensor, group: Group) -> Tensor | None:
        return is_element(element, group, self.transform.element)

    @property
    def steps(self) -> list[Step]:
        return [] if self.transform.element is None else steps_of(self.group, self.transform.element)

    def check_shape(self, shape: torch.Size) -> None:
        """Whoever wrote it knows."""


AnyTransform = Rotation | GroupTransform | CustomTransform
Entry = str | Group | float | Transform
Transforms = Entry | Sequence[Entry] | Mapping[str, Sequence[float | Transform]]


def parse_transforms(transforms: Transforms, group: Group | None = None) -> dict[str, list[AnyTransform]]:
    """The sets of shifts that are reported apart: one for each group, and one for all angles in degrees.

    Args:
        transforms: as in `evaluate_robustness`.
        group: the model's; the others act on inputs of its kind.

    Raises:
        ValueError: something is neither a group nor an angle, or the group does not act on such inputs.

    Example:
        >>> {name: len(shifts) for name, shifts in parse_transforms(["c8", 10, 20, 30]).items()}
        {'c8': 8, 'angles': 3}
    """
    group = _PLANE if group is None else group
    sets: dict[str, list[AnyTransform]] = {}
    if isinstance(transforms, Mapping):
        for title, values in transforms.items():
            sets[title] = [
                CustomTransform(value, group) if isinstance(value, Transform) else chosen(title, value, group)
                for value in values
            ]
    else:
        single = isinstance(transforms, str | Group | int | float | Transform)
        entries: list[Any] = [transforms] if single else list(transforms)  # type: ignore[arg-type]
        for entry in entries:
            if isinstance(entry, Transform):
                sets.setdefault(OWN, []).append(CustomTransform(entry, group))
            elif isinstance(entry, int | float):
                sets.setdefault(ANGLES, []).append(turn(entry))
            else:
                named = bound(entry, group)
                sets[named.name] = members(named)
    if not sets or not all(sets.values()):
        raise ValueError(
            "There are no transforms in an empty list; name a group such as 'c8' or give angles in degrees."
        )
    return sets


def turn(degrees: float) -> Rotation:
    if not math.isfinite(degrees):
        raise ValueError(f"An angle of {degrees!r} degrees is no rotation; give finite numbers of degrees.")
    return Rotation(float(degrees) % 360)


def bound(name: str | Group, like: Group) -> Group:
    """A group, acting on the inputs that another one acts on."""
    return (name if isinstance(name, Group) else get_group(name)).on(like.kind)


def members(group: Group) -> list[AnyTransform]:
    """Every element of a finite group; of a line or a circle, some that are spread evenly."""
    if isinstance(group, SO2):
        raise ValueError(
            f"The elements of {group.name} cannot be listed; evaluate on angles in degrees, "
            "such as transforms=[10, 55, 200], or on a finite group such as 'c8'."
        )
    return [transformed_by(group, element) for element in tried(group).tolist()]


def tried(group: Group) -> Tensor:
    """The elements over which a group is measured."""
    return group.grid(STEPS)


def chosen(name: str, value: float, like: Group) -> AnyTransform:
    """One element of a group, as a user gives it: its number in a finite group; else in the unit of the group, which
    is degrees for circles."""
    if name == ANGLES:
        return turn(value)
    group = bound(name, like)
    if isinstance(group, SO2):
        return turn(value)
    if group.order is not None:
        if value not in range(group.order):
            raise ValueError(
                f"{value!r} is no element of {name}, which has {group.order}; give numbers from 0 to "
                f"{group.order - 1}."
            )
        return transformed_by(group, int(value))
    if not math.isfinite(value):
        raise ValueError(f"{value!r} is no element of {name}; give finite numbers.")
    assert isinstance(group, OneParameter)
    return GroupTransform(group, math.radians(value) if group.is_circle else float(value))


def transformed_by(group: Group, element: int | float) -> Rotation | GroupTransform:
    """One element of a group."""
    if isinstance(group, Planar):  # whose rotations are made by another interpolation than the one that undoes them
        return Rotation(*group.degrees(element))
    return GroupTransform(group, element)


def shown(group: Group, element: int | float) -> float | None:
    """An element of a continuous group in the unit in which users give it; None for a finite one."""
    return group.shown(element)


def is_element(found: Tensor, group: Group, element: int | float | None) -> Tensor | None:
    """Whether each predicted element `(batch,)` is that one, or for a continuous group near it; None for none."""
    if element is None:
        return None
    return group.distance(found.cpu(), torch.tensor(element, dtype=torch.double)) <= group.tolerance


def joined(transform: Rotation | GroupTransform, group: Group) -> int | None:
    """What a shift is in a product: its element in the factors that have it; None if none has."""
    if not isinstance(group, Product):
        return None
    parts = [transform.element(factor) for factor in group.factors]
    if all(part is None for part in parts):
        return None
    return int(group.join([torch.tensor(0 if part is None else part) for part in parts]))


def steps_of(group: Group, element: int | float) -> list[Step]:
    return [] if group.planar is None else [(group, element)]


def check_shape(shifts: Sequence[AnyTransform], shape: torch.Size) -> None:
    """Raise ValueError if the transforms of a set cannot be made on inputs of this shape."""
    for transform in shifts:
        transform.check_shape(shape)


def _same_line(a: Group, b: Group) -> bool:
    """Whether two continuous groups differ in their reach alone."""
    return isinstance(a, OneParameter) and type(a) is type(b)


_PLANE, _MIRROR, _TURN = FinitePlanar(1, reflections=False), FinitePlanar(1, reflections=True), SO2()
