"""What a canonicalizer is: a network that says which group element happened to the input."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..constants import constant
from ..groups import Group, Planar


class Canonicalizer(nn.Module):
    """Maps a batch of inputs to logits over the group: `canonicalizer(x)[i, g]` is how likely `g` happened to `x[i]`.

    For a finite group the logits are `(batch, group.order)`; for a continuous one they are `(batch, bins)` over
    parameters spread evenly over the group, and `element` finds the parameter between the bins.
    """

    name: str
    """Its key in the table of canonicalizers, and in a saved configuration."""
    group: Group
    settings: dict[str, Any]
    """The keyword arguments that build it again."""

    resolution: int
    """Side in pixels at which the pose is decided."""

    scale: tuple[float, ...] = (1.0,)
    shift: tuple[float, ...] = (0.0,)
    """For each channel: what turns the inputs into those of the checkpoint that it was trained with."""

    def forward(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def thumbnail(self, x: Tensor) -> Tensor:
        """The input at the size at which the pose is decided, normalized as in training, in the weights' precision."""
        small = thumbnail(x, self.resolution)
        if (self.scale, self.shift) != (Canonicalizer.scale, Canonicalizer.shift):
            scale, shift = per_channel(self.scale, x.device), per_channel(self.shift, x.device)
            small = small * scale + shift * inscribed_disc(self.resolution, x.device)
        return small.to(next(self.parameters()).dtype)

    def element(self, logits: Tensor) -> Tensor:
        """The most likely element, `(batch,)`: an index, or the parameter of a continuous group."""
        return logits.argmax(-1) if self.group.finite else angle_of_peak(logits)

    def pose_loss(self, x: Tensor, element: Tensor, offset: Tensor | None = None) -> Tensor:
        """Cross-entropy between the posterior and the elements that did happen to the inputs.

        Args:
            x: `(batch, channels, height, width)`, the moved inputs.
            element: `(batch,)`.
            offset: `(batch,)`, how much further they were moved, as `Group.random_act` returns it; a canonicalizer
                that resolves more than the elements learns from it.
        """
        return F.cross_entropy(self(x), element)


def angle_of_peak(logits: Tensor) -> Tensor:
    """Where logits over evenly spaced angles peak, between the bins: radians in (-pi, pi], `(batch,)`.

    The vertex of the parabola through the highest bin and its two neighbours.
    """
    bins = logits.shape[-1]
    peak = logits.argmax(-1, keepdim=True)
    around = (peak + torch.arange(-1, 2, device=logits.device)) % bins
    before, at, after = logits.float().gather(-1, around).unbind(-1)
    curvature = before - 2 * at + after
    offset = torch.where(curvature < 0, 0.5 * (before - after) / curvature.clamp(max=-1e-12), 0.0).clamp(-0.5, 0.5)
    angle = (peak.squeeze(-1) + offset) * (2 * math.pi / bins)
    return math.pi - (math.pi - angle) % (2 * math.pi)


def require_planar(name: str, group: Group) -> Planar:
    if not isinstance(group, Planar):
        raise ValueError(f"The {name!r} canonicalizer works on rotations and reflections; {group.name} is neither.")
    return group


def thumbnail(x: Tensor, resolution: int) -> Tensor:
    """The input at the size at which the pose is decided, with the corners masked.

    Averages over `resolution` x `resolution` cells, and sets what lies outside the inscribed disc to zero: after a
    rotation the corners hold made-up pixels, which would give away that there was one.

    Averages are taken in double precision. A turned picture adds up the same pixels in another order, and in single
    precision the last bits of its thumbnail would differ; rounded back from double, they do not.
    """
    wide = x.float() if x.device.type == "mps" else x.double()  # MPS has no double
    small = F.adaptive_avg_pool2d(wide, resolution).float()
    return small * inscribed_disc(resolution, x.device)


@constant
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """`(channels, 1, 1)`."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@constant
def inscribed_disc(resolution: int, device: torch.device) -> Tensor:
    """1 inside the disc that touches the borders, 0 outside: `(resolution, resolution)`."""
    offset = torch.arange(resolution, device=device) - (resolution - 1) / 2
    return (offset.square()[:, None] + offset.square() <= (resolution / 2) ** 2).float()
