"""What a canonicalizer is: a network that says which group element happened to the input."""

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from ..groups import Group, Images, OneParameter
from ..groups.color import Hue
from .thumbnails import inscribed_disc, per_channel, thumbnail


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
    """Side in pixels at which the pose of an image is decided."""

    scale: tuple[float, ...] = (1.0,)
    offset: tuple[float, ...] = (0.0,)
    """For each channel: what turns the inputs into those of the checkpoint that it was trained with."""

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits over the group.

        Args:
            x: `(batch, ...)`, of the group's kind.
            lengths: `(batch,)`, how much of each is audio, where clips are padded to one length; images have none.
        """
        raise NotImplementedError

    def thumbnail(self, x: Tensor) -> Tensor:
        """The image at the size at which the pose is decided, its corners masked, as the weights take it."""
        return self.as_learned(thumbnail(x, self.resolution), inscribed_disc(self.resolution, x.device))

    def as_learned(self, small: Tensor, seen: Tensor | float = 1.0) -> Tensor:
        """Thumbnails normalized as in training, in the weights' precision; `seen` is 0 where they are masked."""
        if (self.scale, self.offset) != (Canonicalizer.scale, Canonicalizer.offset):
            scale, offset = per_channel(self.scale, small.device), per_channel(self.offset, small.device)
            small = small * scale + offset * seen
        return small.to(next(self.parameters()).dtype)

    def element(self, logits: Tensor) -> Tensor:
        """The most likely element, `(batch,)`: an index, or the parameter of a continuous group."""
        return self.group.peak(logits)

    def pose_loss(
        self, x: Tensor, element: Tensor, offset: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy between the posterior and the elements that did happen to the inputs.

        Args:
            x: `(batch, ...)`, the transformed inputs.
            element: `(batch,)`.
            offset: `(batch,)`, how much further they were transformed, as `Group.random_act` returns it; a
                canonicalizer that resolves more than the elements learns from it.
            lengths: as in `forward`.
        """
        return F.cross_entropy(self(x, lengths), element)


def channels_of(group: Group, channels: int) -> dict[str, int]:
    """As a setting that builds a canonicalizer again: clips have none."""
    return {"channels": channels} if isinstance(group.kind, Images) else {}


def neuron_of(neuron: str) -> dict[str, str]:
    """As a setting that builds a canonicalizer again. Linear neurons go without saying, and adapters made of them are
    read by versions of hf_canon that know no others."""
    return {} if neuron == "linear" else {"neuron": neuron}


def fitting(group: Group) -> str:
    """The name of a canonicalizer that fits the group: the one that is taken unless another is asked for."""
    if isinstance(group, Hue):
        return "shift"
    if group.finite:
        return "orbit"
    averaged = isinstance(group, OneParameter) and group.period is None and hasattr(group, "moment")
    return "moment" if averaged else "shift"
