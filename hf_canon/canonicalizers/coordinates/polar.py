"""Log-polar coordinates: a rotation of the image shifts the angle axis (Esteves et al., 2018, arXiv 1709.01889)."""

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ...groups import Group, Planar
from ...groups.constants import constant
from .base import Circle


class LogPolar(Circle):
    """Rings around the centre of the image; mirror images are a second view, of the mirrored angle axis.

    Args:
        group: `c<n>`, `d<n>` or `so2`.
        channels: channels of the input.
        resolution: side in pixels at which the pose is decided.
        angles: about how many angles are scored; rounded up to a multiple of the group's number of rotations.
        radii: how many circles are read, spaced geometrically between half a pixel and the inscribed circle.
    """

    def __init__(self, group: Group, channels: int = 3, resolution: int = 32, angles: int = 32, radii: int = 16):
        self.group = cast(Planar, group)
        super().__init__(self.group.n, angles, 4)  # a quarter turn is a whole number of steps
        self.settings = {"channels": channels, "resolution": resolution, "angles": angles, "radii": radii}
        self.resolution = resolution
        self.radii = radii
        self.features = channels * radii

    def read(self, group: Group, x: Tensor, lengths: Tensor | None) -> Tensor:
        """The thumbnail in log-polar coordinates, rings as channels."""
        grid = polar_grid(self.places, self.radii, self.resolution, x.device)
        rings = F.grid_sample(x.float(), grid.expand(len(x), -1, -1, -1), align_corners=False)
        polar = rings.flatten(1, 2).to(x.dtype)
        return torch.cat([polar, reverse_angles(polar)]) if self.group.reflections else polar

    def fine(self, scores: Tensor) -> Tensor:
        """A logit for every angle; with reflections, then one for every angle of an image that was mirrored."""
        if not self.group.reflections:
            return scores
        # Mirrored upside down, an image that had been mirrored and turned by a is one turned by 180 degrees - a.
        plain, upside_down = scores.chunk(2)
        return torch.cat([plain, reverse_angles(upside_down).roll(self.places // 2, -1)], -1)

    def target(self, element: Tensor, offset: Tensor | None) -> Tensor:
        angle, mirror = self.group.angle_and_mirror(element)
        if offset is not None:
            angle = angle + offset * self.group.cell
        bell = self.bell(angle)
        if not self.group.reflections:
            return bell
        return torch.cat([torch.where(mirror[:, None], 0, bell), torch.where(mirror[:, None], bell, 0)], -1)

    def pool(self, fine: Tensor) -> Tensor:
        return torch.cat([super(LogPolar, self).pool(one) for one in fine.split(self.places, -1)], -1)


def reverse_angles(signal: Tensor) -> Tensor:
    """The signal with angle a at the place of angle -a, angle 0 staying first."""
    return signal.flip(-1).roll(1, -1)


@constant
def polar_grid(angles: int, radii: int, resolution: int, device: torch.device) -> Tensor:
    """Where to read the image, `(1, radii, angles, 2)`, x to the right and y down, in units of half a side."""
    angle = torch.arange(angles, device=device) * (2 * math.pi / angles)
    outermost = 1 - 1 / resolution  # the centre of the border pixels
    radius = torch.logspace(math.log10(1 / resolution), math.log10(outermost), radii, device=device)
    return torch.stack([radius[:, None] * angle.cos(), -radius[:, None] * angle.sin()], -1).unsqueeze(0)
