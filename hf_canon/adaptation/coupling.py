"""Couplings of a layer's units to a modulator that all of them share: stochastic comodulation (arXiv 2311.15053).

    h' = h exp(m k - s^2 k^2 / 2),    m ~ N(0, s^2),  k >= 0 for each unit

so that the mean over the modulator is h. With a constant m = 1 the same couplings are the deterministic gain
h' = h exp(k), which may also be below 1: much like (IA)^3 (2205.05638).
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attachment import Part

Units = Literal["channels", "heads", "places"]
Gain = Literal["comodulated", "deterministic"]


@dataclass(frozen=True)
class Coupled:
    """The units of one layer.

    Args:
        units: a coupling for each channel, attention head, or place (pixel of a map, token).
        axis: of the layer's output, along which the units are; places of a map have this one and the next.
        shape: `(units,)`, or the height and width of a map.
        grid: for tokens that stand for places of an image: how many come before, height, width.
    """

    units: Units
    axis: int
    shape: tuple[int, ...]
    grid: tuple[int, int, int] | None = None

    def spread(self, k: Tensor, h: Tensor) -> Tensor:
        """Couplings as something that can be multiplied with a layer's output.

        Raises:
            ValueError: the output has other units.
        """
        axis = self.axis % h.ndim
        if len(self.shape) == 2:
            size = h.shape[axis : axis + 2]
            if size != k.shape:  # another size of images
                k = F.interpolate(k[None, None], size, mode="nearest")[0, 0]
            return k.reshape(*size, *[1] * (h.ndim - axis - 2))
        if self.units == "heads":
            k = k.repeat_interleave(h.shape[axis] // len(k))
        if len(k) != h.shape[axis]:
            raise ValueError(
                f"A layer has {h.shape[axis]} {self.units}, and its couplings were made for {len(k)}. Give inputs of "
                "the size that the model was attached with."
            )
        return k.reshape(-1, *[1] * (h.ndim - axis - 1))

    def from_region(self, region: Tensor) -> Tensor:
        """The couplings, of this shape, that a region of the input has here.

        Args:
            region: `(height, width)`, or `(length,)` along tokens, of any size: what share of each place it takes.

        Raises:
            ValueError: the units are no places, or not of the region's kind.
        """
        if self.units != "places":
            raise ValueError(
                f"A region is a set of places, and these units are {self.units}. Attach with units='places'."
            )
        if region.ndim == 2 and len(self.shape) == 2:
            return F.adaptive_avg_pool2d(region[None, None], self.shape)[0, 0]
        if region.ndim == 2 and self.grid is not None:
            first, height, width = self.grid
            inside = F.adaptive_avg_pool2d(region[None, None], (height, width)).flatten()
            return F.pad(inside, (first, self.shape[0] - first - len(inside)))
        if region.ndim == 1 and len(self.shape) == 1:
            return F.adaptive_avg_pool1d(region[None], self.shape[0])[0]
        raise ValueError(
            f"A region of the shape {tuple(region.shape)} cannot be laid over units of the shape {self.shape}, whose "
            "places in the image are not known. Attach to the input (target_modules='input') or to a layer of maps."
        )


class Coupling(Part):
    """The couplings of one layer, for every task, and what they do to its output.

    Attributes:
        active: the number of the task; None leaves the layer as it is.
        modulator: `(batch,)`, the shared modulator's values while gains are estimated, and `variance` that of their
            distribution; None leaves activity unperturbed.
    """

    def __init__(self, coupled: Coupled, gain: Gain):
        super().__init__()
        self.coupled = coupled
        self.gain = gain
        self.tasks = nn.ParameterList()
        self.active: int | None = None
        self.modulator: Tensor | None = None
        self.variance = 0.0

    def add(self, like: Tensor, start: Tensor | None) -> None:
        """Couplings of one more task: given ones, or equal ones."""
        if start is None:
            # Comodulated gains follow the proportions of the couplings; none at all would have no proportions.
            start = torch.full(self.coupled.shape, 1.0 if self.gain == "comodulated" else 0.0)
        self.tasks.append(nn.Parameter(start.to(like.device), requires_grad=False))

    def couplings(self, task: int) -> Tensor:
        """Those of a task, of the units' shape. Where they must not be negative, gradients still reach those that
        would be, so that they can come back."""
        k = self.tasks[task]
        return k + (k.relu() - k).detach() if self.gain == "comodulated" else k

    def forward(self, layer: Any, args: Any, output: Any) -> Any:
        """A layer's output, modulated. A hook's answer None leaves it as it is."""
        if not self.enabled or self.active is None or (self.gain == "comodulated" and self.modulator is None):
            return None
        self.require_original(layer)
        h, rest = (output[0], output[1:]) if isinstance(output, tuple) else (output, None)
        modulated = self.modulated(h)
        return modulated if rest is None else (modulated, *rest)

    def modulated(self, h: Tensor) -> Tensor:
        """What becomes of activity, in its own precision; float32 between."""
        assert self.active is not None
        precision = torch.promote_types(h.dtype, torch.float32)
        k = self.coupled.spread(self.couplings(self.active).to(precision), h)
        if self.modulator is None:
            return (h.to(precision) * k.exp()).to(h.dtype)
        m = self.modulator.to(precision)
        if len(h) % len(m) == 0:  # windows of an image follow each other in the batch
            m = m.repeat_interleave(len(h) // len(m))
        m = m.reshape(-1, *[1] * (h.ndim - 1))
        return (h.to(precision) * (m * k - self.variance * k**2 / 2).exp()).to(h.dtype)


class InputCoupling(Coupling):
    """Couplings of the places of the model's own input: regions of an image, bands of a spectrogram."""

    def __init__(self, coupled: Coupled, gain: Gain, name: str):
        super().__init__(coupled, gain)
        self.name = name

    def forward(self, model: Any, args: Any, kwargs: Any) -> Any:
        """The arguments of a model, its input modulated."""
        if not self.enabled or self.active is None or (self.gain == "comodulated" and self.modulator is None):
            return None
        if self.name in kwargs:
            return args, {**kwargs, self.name: self.modulated(kwargs[self.name])}
        return (self.modulated(args[0]), *args[1:]), kwargs
