"""The hue circle: a turn of the hue shifts a histogram of hues."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...groups import Group
from ...groups.color import Hue
from ...groups.constants import constant
from .base import Circle

CELLS = 4
"""The image is cut into so many by so many."""
BANDS = (0.15, 0.5, 0.85)
"""Mean brightnesses of the dark, the middle and the bright pixels; turning the hue changes none."""
FAINT = 1e-3
"""What a histogram may hold and still count as nearly empty."""


class HueHistogram(Circle):
    """How much colour there is of each hue, in cells of the image and bands of brightness.

    The histogram is a smooth one, each pixel counting by its chroma for the hues around its own, so that thirds of a
    turn shift it up to rounding, and other angles nearly so.

    Args:
        group: `hue<n>` or `hue`.
        channels: channels of the input, three.
        resolution: side in pixels at which the hue is decided, a multiple of 4.
        hues: about how many are scored; rounded up to a multiple of three and of the group's order.
    """

    def __init__(self, group: Group, channels: int = 3, resolution: int = 32, hues: int = 36):
        group.check_shape((1, channels, resolution, resolution))
        if resolution % CELLS:
            raise ValueError(
                f"The hue circle is read in {CELLS} x {CELLS} cells, and {resolution} is no multiple of {CELLS}."
            )
        super().__init__(group.order, hues, 3)
        self.settings = {"channels": channels, "resolution": resolution, "hues": hues}
        self.resolution = resolution
        self.features = CELLS**2 * len(BANDS)

    def read(self, group: Group, x: Tensor, lengths: Tensor | None) -> Tensor:
        assert isinstance(group, Hue)
        small = group.unnormalized(F.adaptive_avg_pool2d(x.float(), self.resolution))
        pixels = small.unfold(2, self.resolution // CELLS, self.resolution // CELLS)
        pixels = pixels.unfold(3, self.resolution // CELLS, self.resolution // CELLS)
        pixels = pixels.flatten(4).flatten(2, 3).permute(0, 2, 3, 1)  # (batch, cells, pixels of a cell, 3)
        hue, chroma = hue_and_chroma(pixels)
        step = 2 * math.pi / self.places
        near = ((hue @ hue_directions(self.places, x.device) - 1) / step**2).exp()
        distance = pixels.mean(-1, keepdim=True) - torch.tensor(BANDS, device=x.device)
        bands = (-distance.square() * 25).softmax(-1) * chroma / pixels.shape[2]
        histogram = (bands.transpose(2, 3) @ near).flatten(1, 2)  # (batch, cells * bands, hues)
        return (histogram + FAINT**2).sqrt() - FAINT  # little colour is colour too

    def target(self, element: Tensor, offset: Tensor | None) -> Tensor:
        if self.n is None:
            return self.bell(element)
        element = element if offset is None else element + offset
        return self.bell(element * (2 * math.pi / self.n))


def hue_and_chroma(colors: Tensor) -> tuple[Tensor, Tensor]:
    """Of red, green and blue, `(..., 3)`: the direction of the hue, `(..., 2)`, and how far from grey, `(..., 1)`."""
    chroma = colors @ hue_directions(3, colors.device).T
    size = (chroma.square().sum(-1, keepdim=True) + 1e-12).sqrt()
    return chroma / size, size


@constant
def hue_directions(hues: int, device: torch.device) -> Tensor:
    """The unit vector of each hue, red first, `(2, hues)`."""
    angle = torch.arange(hues).double() * (2 * math.pi / hues)
    return torch.stack([angle.cos(), angle.sin()]).float().to(device)
