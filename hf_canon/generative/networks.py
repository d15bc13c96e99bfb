"""Networks that make samples from noise and judge them: plain convolutions, or convolutions over a group.

Sizes double from layer to layer by interpolation, and halve by averages, both of which are symmetric about the centre
at every size. Strides would be too at some sizes only.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..canonicalizers.equivariant import GroupConv2d
from ..groups import FinitePlanar, Group, Images, Kind, Spectrograms, Waveforms

SQUASH: dict[type[Kind], Callable[[Tensor], Tensor]] = {
    Images: torch.sigmoid,
    Waveforms: torch.tanh,
    Spectrograms: lambda x: x,
}
SMALLEST = 7
"""Maps are halved until no side is longer."""


class Decoder(nn.Module):
    """Noise to samples. With a group, the features are functions on plane and group, and what follows the first of
    them is equivariant: move the first, and the sample is transformed.

    Args:
        latent_size: numbers of noise.
        shape: of one sample: (channels, height, width), (frames, bins) or (samples,).
        width: channels at full size; each half size has twice as many, up to four times.
        kind: what the numbers of a sample mean: images are from 0 to 1, and waveforms from -1 to 1.
        group: a finite planar group that permutes pixels, or None.
    """

    def __init__(
        self, latent_size: int, shape: Sequence[int], width: int, kind: Kind, group: FinitePlanar | None = None
    ):
        super().__init__()
        self.shape, self.group = tuple(shape), group
        self.squash = SQUASH[type(kind)]
        channels, size = as_map(shape)
        self.sizes = halved(size)[::-1]
        widths = [width * min(2**stage, 4) for stage in reversed(range(len(self.sizes)))]
        self.first_shape = (widths[0], *over(group), *self.sizes[0])
        self.project = nn.Linear(latent_size, math.prod(self.first_shape))
        inputs = [widths[0], *widths[:-1]]
        self.layers = nn.ModuleList(convolution(len(size), i, o, group) for i, o in zip(inputs, widths, strict=True))
        self.norms = nn.ModuleList(nn.GroupNorm(1, one) for one in widths)
        self.last = convolution(len(size), widths[-1], channels, group)

    def first(self, noise: Tensor) -> Tensor:
        """The first feature map, `(batch, channels, [group,] *size)`."""
        return F.leaky_relu(self.project(noise), 0.2).view(-1, *self.first_shape)

    def grow(self, hidden: Tensor) -> Tensor:
        """From the first feature map to samples `(batch, *shape)`."""
        for size, layer, norm in zip(self.sizes, self.layers, self.norms, strict=True):
            hidden = F.leaky_relu(norm(layer(resized(hidden, size))), 0.2)
        made = self.last(hidden)
        return self.squash((made if self.group is None else made.mean(2)).view(-1, *self.shape))

    def forward(self, noise: Tensor) -> Tensor:
        return self.grow(self.first(noise))


class Encoder(nn.Module):
    """Samples to scores `(batch,)`: a critic. With a group, its score is the same for all members of an orbit.

    Args:
        shape: of one sample, as in `Decoder`.
        width: as in `Decoder`.
        group: as in `Decoder`.
    """

    def __init__(self, shape: Sequence[int], width: int, group: FinitePlanar | None = None):
        super().__init__()
        self.group = group
        self.channels, size = as_map(shape)
        self.sizes = halved(size)
        widths = [width * min(2**stage, 4) for stage in range(len(self.sizes))]
        self.lift = convolution(len(size), self.channels, widths[0], group, lifting=True)
        outputs = [*widths[1:], widths[-1]]
        self.layers = nn.ModuleList(convolution(len(size), i, o, group) for i, o in zip(widths, outputs, strict=True))
        self.hidden = nn.Linear(widths[-1] * math.prod(self.sizes[-1]), 4 * width)
        self.score = nn.Linear(4 * width, 1)
        nn.init.ones_(self.score.bias)  # the Lipschitz-alpha divergence has no gradient where scores are negative

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.leaky_relu(self.lift(x.view(len(x), self.channels, *self.sizes[0])), 0.2)
        for size, layer in zip([*self.sizes[1:], self.sizes[-1]], self.layers, strict=True):
            hidden = F.leaky_relu(layer(averaged(hidden, size)), 0.2)
        if self.group is None:
            return self.score(F.leaky_relu(self.hidden(hidden.flatten(1)), 0.2)).squeeze(1)
        # f(., g), turned back by g: moving x only changes the order of these maps, and places are kept apart.
        elements = self.group.elements.to(x.device)
        maps = hidden.transpose(1, 2).flatten(0, 1)  # batch * group, channels, height, width
        back = self.group.act(maps, self.group.inverse(elements).repeat(len(x)))
        scores = self.score(F.leaky_relu(self.hidden(back.flatten(1)), 0.2))
        return scores.view(len(x), -1).mean(1)


def as_map(shape: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """Channels, and the size that convolutions run over.

    Raises:
        ValueError: that is no shape of a sample.
    """
    if not 1 <= len(shape) <= 3 or min(shape) < 1:
        raise ValueError(
            f"A sample is (channels, height, width), (frames, bins) or (samples,), and this shape is {tuple(shape)}. "
            "Give shape=(1, 28, 28), say."
        )
    return (shape[0], tuple(shape[1:])) if len(shape) == 3 else (1, tuple(shape))


def halved(size: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Sizes of maps, the largest first; a line is quartered.

    Example:
        >>> halved((28, 28)), halved((1000,))
        ([(28, 28), (14, 14), (7, 7)], [(1000,), (250,), (63,), (16,), (4,)])
    """
    sizes, step = [size], 2 if len(size) == 2 else 4
    while max(sizes[-1]) > SMALLEST:
        sizes.append(tuple(math.ceil(side / step) for side in sizes[-1]))
    return sizes


def over(group: Group | None) -> tuple[int, ...]:
    """The axis of features that are functions on a group."""
    return () if group is None else (len(group.elements),)


def convolution(dimensions: int, inputs: int, outputs: int, group: FinitePlanar | None, lifting: bool = False) -> Any:
    if group is not None:
        return GroupConv2d(group, inputs, outputs, 3, lifting=lifting)
    if dimensions == 1:  # long enough to see an oscillation
        return nn.Conv1d(inputs, outputs, 9, padding=4)
    return nn.Conv2d(inputs, outputs, 3, padding=1)


def resized(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps `(..., *old)` interpolated to `(..., *size)`."""
    if x.shape[-len(size) :] == size:
        return x
    maps = x.reshape(-1, 1, *x.shape[-len(size) :])
    return F.interpolate(maps, size, mode=("linear", "bilinear")[len(size) - 1]).view(*x.shape[: -len(size)], *size)


def averaged(x: Tensor, size: tuple[int, ...]) -> Tensor:
    """Maps `(..., *old)` averaged to `(..., *size)`."""
    maps = x.reshape(-1, 1, *x.shape[-len(size) :])
    pool = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d)[len(size) - 1]
    return pool(maps, size).view(*x.shape[: -len(size)], *size)  # type: ignore[arg-type]


def on_features(group: FinitePlanar, hidden: Tensor, element: Tensor) -> Tensor:
    """Move functions on plane and group, `(batch, channels, group, height, width)`: (g f)(h) = g f(g^-1 h)."""
    elements = group.elements.to(hidden.device)
    element = element.to(hidden.device)
    source = group.compose(group.inverse(element)[:, None], elements[None])  # batch, group
    carried = hidden.gather(2, source[:, None, :, None, None].expand_as(hidden))
    maps = carried.flatten(1, 2)
    return group.act(maps, element).view_as(hidden)


def require_exact(group: Group, remedy: str) -> FinitePlanar:
    """The group, if convolutions over it are equivariant to the pixel.

    Raises:
        ValueError: they are not.
    """
    if not isinstance(group, FinitePlanar) or not group.is_exact:
        raise ValueError(
            f"Convolutions over a group need one that permutes pixels (c2, c4, d1, d2 or d4), and {group.name} does "
            f"not. {remedy}"
        )
    return group
