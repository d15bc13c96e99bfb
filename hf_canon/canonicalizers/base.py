"""What a canonicalizer is: a network that says which group element happened to the input."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..constants import constant
from ..groups import Group, OneParameter, Planar


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

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits over the group.

        Args:
            x: `(batch, ...)`, of the group's kind.
            lengths: `(batch,)`, how much of each is sound, where sounds are padded to one length; pictures have none.
        """
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
        return peak(logits, self.group) if isinstance(self.group, OneParameter) else logits.argmax(-1)

    def pose_loss(
        self, x: Tensor, element: Tensor, offset: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy between the posterior and the elements that did happen to the inputs.

        Args:
            x: `(batch, ...)`, the moved inputs.
            element: `(batch,)`.
            offset: `(batch,)`, how much further they were moved, as `Group.random_act` returns it; a canonicalizer
                that resolves more than the elements learns from it.
            lengths: as in `forward`.
        """
        return F.cross_entropy(self(x, lengths), element)


def peak(logits: Tensor, group: OneParameter) -> Tensor:
    """Where logits over evenly spread elements peak, between the bins: an element, `(batch,)`.

    The vertex of the parabola through the highest bin and its two neighbours; the ends of a line have but one.
    """
    bins = logits.shape[-1]
    highest = logits.argmax(-1, keepdim=True)
    around = (highest + torch.arange(-1, 2, device=logits.device)) % bins
    before, at, after = logits.float().gather(-1, around).unbind(-1)
    curvature = before - 2 * at + after
    offset = (0.5 * (before - after) / curvature.clamp(max=-1e-12)).clamp(-0.5, 0.5)
    inside = curvature < 0
    parameters = group.parameters(bins).to(logits.device)
    if group.period is None:
        inside = inside & (around[:, 0] < around[:, 1]) & (around[:, 1] < around[:, 2])
    step = parameters[1] - parameters[0]
    return group.wrap(parameters[highest.squeeze(-1)] + torch.where(inside, offset, 0.0) * step)


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
