"""Which shifts an evaluation makes, and how."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..groups import FinitePlanar, Group, Planar, get_group
from ..groups.planar import permute_pixels, turn_pixels

ANGLES = "angles"
"""The name under which all transforms that are given in degrees are reported."""


@dataclass(frozen=True)
class Shift:
    """Mirror if `mirrored`, then turn counter-clockwise by `angle` degrees, in [0, 360)."""

    angle: float
    mirrored: bool = False

    @property
    def name(self) -> str:
        turn = f"{self.angle:.4g}\N{DEGREE SIGN}"
        return f"mirrored, {turn}" if self.mirrored else turn

    def __call__(self, x: Tensor) -> Tensor:
        """Move every picture of `(batch, channels, height, width)`: quarter turns by permutation, the rest bicubic.

        The model undoes what happened with bilinear interpolation. Were the shift made with the same one, an
        evaluation would flatter the model with an inverse that no real picture has.
        """
        quarters, rest = divmod(self.angle, 90)
        mirror = torch.full((len(x),), self.mirrored, device=x.device)
        if rest == 0:
            return permute_pixels(x, torch.full_like(mirror, int(quarters), dtype=torch.long), mirror)
        turned = turn_pixels(x, torch.full((len(x),), math.radians(rest), device=x.device), mirror, "bicubic")
        return Shift(90 * quarters)(turned) if quarters else turned

    def element(self, group: Planar) -> int | float:
        """What a perfect canonicalizer over `group` answers: this shift, or the rotation nearest to it.

        A mirror image that the group does not have is left mirrored; the turn came after it and can still be undone.
        """
        if not isinstance(group, FinitePlanar):
            return math.radians(self.angle)
        nearest = round(self.angle * group.n / 360) % group.n
        return nearest + group.n * (self.mirrored and group.reflections)

    def recovered(self, element: Tensor, group: Planar) -> Tensor:
        """Whether each predicted element `(batch,)` is this shift: bool `(batch,)`.

        For a finite group: the element itself, or one no farther than half a step if the shift is between two. For a
        continuous one: within 22.5 degrees.
        """
        angle, mirror = group.angle_and_mirror(element.cpu())
        distance = ((angle.double().rad2deg() - self.angle + 180) % 360 - 180).abs()
        if not isinstance(group, FinitePlanar):
            return distance <= 22.5
        steps = self.angle * group.n / 360
        # An element of the group has to be hit itself; between two, both are half a step away or less than that.
        tolerance = 0.25 if abs(steps - round(steps)) < 1e-6 else 0.5 + 1e-6
        near = distance <= tolerance * 360 / group.n
        return near & (mirror == self.mirrored) if group.reflections else near


UPRIGHT = Shift(0.0)

Transforms = str | Group | float | Sequence[str | Group | float]


def parse_transforms(transforms: Transforms) -> dict[str, list[Shift]]:
    """The sets of shifts that are reported apart: one for each group, and one for all angles in degrees.

    Raises:
        ValueError: something is neither a finite group nor an angle.

    Example:
        >>> {name: len(shifts) for name, shifts in parse_transforms(["c8", 10, 20, 30]).items()}
        {'c8': 8, 'angles': 3}
    """
    entries = [transforms] if isinstance(transforms, str | Group | int | float) else list(transforms)
    sets: dict[str, list[Shift]] = {}
    for entry in entries:
        if isinstance(entry, int | float):
            if not math.isfinite(entry):
                raise ValueError(f"An angle of {entry!r} degrees is no rotation; give finite numbers of degrees.")
            sets.setdefault(ANGLES, []).append(Shift(float(entry) % 360))
            continue
        group = entry if isinstance(entry, Group) else get_group(entry)
        if not isinstance(group, FinitePlanar):
            raise ValueError(
                f"The elements of {group.name} cannot be listed; evaluate on angles in degrees, "
                "such as transforms=[10, 55, 200], or on a finite group such as 'c8'."
            )
        sets[group.name] = [
            Shift(360 * turn / group.n, mirrored) for mirrored in (False, True)[: 1 + group.reflections]
            for turn in range(group.n)
        ]  # fmt: skip
    if not sets:
        raise ValueError(
            "There are no transforms in an empty list; name a group such as 'c8' or give angles in degrees."
        )
    return sets


def check_shape(name: str, shape: torch.Size) -> None:
    """Raise ValueError if the shifts of a set cannot be made on pictures of this shape."""
    get_group("so2" if name == ANGLES else name).check_shape(shape)
