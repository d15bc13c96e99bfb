"""A group convolution scores every element in one pass (arXiv 2310.01647, after Cohen & Welling, 1602.07576).

The first layer correlates the input with every turned and mirrored copy of its kernels; later layers act on
functions on the group. Turning the input permutes the scores, so the most likely element transforms with it.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from ..groups import FinitePlanar, Group
from ..quadratic import linear_of
from ..quadratic.neuron import QuadraticNeuron
from .base import Canonicalizer, fitting, neuron_of
from .thumbnails import inscribed_disc


class EquivariantCanonicalizer(Canonicalizer):
    """Group convolutions over `c<n>` or `d<n>`, then an average over the plane: one score for each element.

    The kernels are turned exactly for quarter turns and mirror images; for other angles they are resampled, and the
    equivariance is approximate. Prefer it where pose shows in local texture and training images are few: its
    symmetry is built in. Prefer `orbit` for anything pretrained, and `shift` for many angles: its cost does not
    grow with the group.

    Args:
        group: `c<n>` or `d<n>`.
        channels: channels of the input.
        resolution: side in pixels at which the pose is decided, one more than a multiple of 4.
        width: channels of each layer, for each group element.
        depth: number of convolutions.
        neuron: "linear", "quadratic" or "compact", of all its layers (see `hf_canon.quadratic`).

    Raises:
        ValueError: the group is not a finite planar group, the resolution would break the symmetry, or there is no
            such neuron.

    Example:
        >>> from hf_canon import get_group
        >>> c4 = get_group("c4")
        >>> canonicalizer = EquivariantCanonicalizer(c4, channels=1).eval()
        >>> x = torch.rand(1, 1, 28, 28)
        >>> turned = c4.act(x, torch.tensor([1]))
        >>> torch.allclose(canonicalizer(turned), canonicalizer(x).roll(1, -1), atol=1e-5)
        True
    """

    name = "equivariant"

    def __init__(
        self,
        group: Group,
        channels: int = 3,
        resolution: int = 33,
        width: int = 8,
        depth: int = 3,
        neuron: str = "linear",
    ):
        super().__init__()
        if not isinstance(group, FinitePlanar):
            raise ValueError(
                f"The {self.name!r} canonicalizer convolves over a finite group c<n> or d<n>, and {group.name} is not "
                f"one. Use canonicalizer={fitting(group)!r}."
            )
        if resolution % 4 != 1:
            raise ValueError(
                f"At a resolution of {resolution} a stride of two meets other pixels after a quarter turn, and "
                f"equivariance is lost. Use {resolution - (resolution - 1) % 4}, or another multiple of 4, plus 1."
            )
        self.group: FinitePlanar = group
        self.settings = {"channels": channels, "resolution": resolution, "width": width, "depth": depth}
        self.settings |= neuron_of(neuron)
        self.resolution = resolution
        # With odd sides and kernels, a stride of 2 meets the same pixels after a quarter turn.
        linear = linear_of(neuron)
        convolution = GROUP_CONVOLUTIONS[neuron]
        lift = convolution(group, channels, width, 5, stride=2, lifting=True)
        rest = (convolution(group, width, width, 3, stride=2 if i == 0 else 1) for i in range(depth - 1))
        self.layers = nn.ModuleList([lift, *rest])
        self.norms = nn.ModuleList(nn.GroupNorm(1, width) for _ in self.layers)
        self.score = linear(width, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        hidden = self.thumbnail(x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            hidden = F.gelu(norm(layer(hidden)))  # (batch, width, group, height, width)
        return self.score(hidden.mean((-1, -2)).transpose(1, 2)).squeeze(-1)


class GroupConv2d(nn.Module):
    """A convolution of functions on plane and group: `(batch, in, [group,] h, w)` to `(batch, out, group, h, w)`.

    Element g of the result correlates with the kernel transformed by g. Moving a kernel turns its pixels and, after
    the first layer (`lifting`), carries its group axis along: `transformed[g](h) = g . weight(g^-1 h)`."""

    def __init__(
        self,
        group: FinitePlanar,
        in_channels: int,
        out_channels: int,
        size: int,
        stride: int = 1,
        lifting: bool = False,
    ):
        super().__init__()
        self.group = group
        self.stride = stride
        self.padding = size // 2
        self.lifting = lifting
        over = 1 if lifting else group.order
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels, over, size, size))
        self.bias = nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()
        self._cache = WeakTensorKeyDictionary()

    def reset_parameters(self) -> None:
        with torch.no_grad():
            self.weight.copy_(torch.randn(self.weight.shape) / math.sqrt(self.weight[0].numel()))
            self.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.project(x, self.weight, self.bias)

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        x = x if self.lifting else x.flatten(1, 2)
        bias = None if bias is None else bias.repeat_interleave(self.group.order)
        y = F.conv2d(x, self.kernels(weight), bias, self.stride, self.padding)
        return y.unflatten(1, (-1, self.group.order))

    def train(self, mode: bool = True) -> "GroupConv2d":
        self._cache = WeakTensorKeyDictionary()
        return super().train(mode)

    def kernels(self, weight: Tensor) -> Tensor:
        """The transformed kernels, `(out * group, in * over, size, size)`; in evaluation they are transformed once."""
        kept = isinstance(weight, nn.Parameter)  # and not one in another precision, made for this call
        if not kept or self.training or torch.is_grad_enabled() or torch.compiler.is_compiling():
            return self.move_kernels(weight)
        # Not a memory of the input but of the weights: their changes in place have another key, except those through
        # `.data`, after which `eval()` starts anew.
        key = (weight.data_ptr(), weight._version, weight.dtype, weight.device)
        known, transformed = self._cache.get(weight, (None, None))
        if known != key:
            transformed = self.move_kernels(weight)
            self._cache[weight] = (key, transformed)
        return transformed

    def move_kernels(self, weight: Tensor) -> Tensor:
        group, (out_channels, in_channels, over, size, _) = self.group, weight.shape
        elements = group.elements.to(weight.device)
        if not group.is_exact:
            # Corners have no counterpart after 45 degrees.
            weight = weight * inscribed_disc(size, weight.device).to(weight.dtype)
        transformed = group.act(weight.view(1, -1, size, size).expand(group.order, -1, -1, -1), elements)
        transformed = transformed.view(group.order, out_channels, in_channels, over, size, size)
        if not self.lifting:
            carried = group.compose(group.inverse(elements)[:, None], elements[None])  # [g, h] = g^-1 h
            transformed = transformed.gather(3, carried.view(group.order, 1, 1, over, 1, 1).expand_as(transformed))
        return transformed.transpose(0, 1).reshape(out_channels * group.order, in_channels * over, size, size)

    def __getstate__(self) -> dict[str, object]:
        """Of copies and pickles: the weights alone."""
        return {name: value for name, value in super().__getstate__().items() if name != "_cache"}

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self._cache = WeakTensorKeyDictionary()


class QuadraticGroupConv2d(QuadraticNeuron, GroupConv2d):
    """Of quadratic neurons, all of whose kernels are transformed alike. Squares are taken value by value, and do not
    depend on where a value is: the equivariance survives."""


GROUP_CONVOLUTIONS: dict[str, Callable[..., GroupConv2d]] = {
    "linear": GroupConv2d,
    "quadratic": QuadraticGroupConv2d,
    "compact": partial(QuadraticGroupConv2d, form="compact"),
}
