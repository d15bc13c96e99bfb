"""One pass in coordinates in which the group acts by translation.

In log-polar coordinates a rotation shifts the angle axis, so a network that is convolutional and circular along that
axis is equivariant by construction, as in *Polar Transformer Networks* (Esteves et al., 2018, arXiv 1709.01889).
One pass gives a score for every angle: the cost does not grow with the group, and the peak between the bins serves
`so2`.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..constants import constant
from ..groups import Group, Planar
from .base import Canonicalizer, require_planar


class ShiftCanonicalizer(Canonicalizer):
    """Finds the rotation as a shift along the angle axis of the log-polar picture.

    Prefer it for rotations by many angles, and always for `so2`: one cheap pass. Prefer `orbit` when only a pretrained
    backbone can know what upright means (natural photographs), and `equivariant` for textures without a centre.

    Args:
        group: `c<n>`, `d<n>` (mirror images are a second pass over the mirrored angle axis) or `so2`.
        channels: channels of the input.
        resolution: side in pixels at which the pose is decided.
        angles: about how many angles are scored; rounded up to a multiple of the group's number of rotations.
        radii: how many circles are read, spaced geometrically between half a pixel and the inscribed circle.
        width: channels of the network.
        depth: its residual blocks.

    Example:
        >>> from hf_canon import get_group
        >>> canonicalizer = ShiftCanonicalizer(get_group("c8"), channels=1)
        >>> canonicalizer(torch.rand(2, 1, 28, 28)).shape
        torch.Size([2, 8])
    """

    name = "shift"

    def __init__(
        self,
        group: Group,
        channels: int = 3,
        resolution: int = 32,
        angles: int = 32,
        radii: int = 16,
        width: int = 64,
        depth: int = 3,
    ):
        super().__init__()
        self.group: Planar = require_planar(self.name, group)
        self.settings = {"channels": channels, "resolution": resolution, "angles": angles}
        self.settings |= {"radii": radii, "width": width, "depth": depth}
        self.resolution = resolution
        self.radii = radii
        # Quarter turns, half turns and the group's own must all be whole numbers of steps.
        step = math.lcm(4, self.group.n or 1)
        self.angles = step * math.ceil(angles / step)
        self.rings = nn.Linear(channels * radii, width)
        self.blocks = nn.ModuleList(CircularBlock(width, 2 ** (i % 4)) for i in range(depth))
        self.score = nn.Linear(width, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return torch.cat([self.pool(logits) for logits in self.angle_logits(x)], -1)

    def angle_logits(self, x: Tensor) -> list[Tensor]:
        """A score for every angle, `(batch, angles)`; with reflections, a second one for mirrored pictures."""
        polar = self.polar(self.thumbnail(x))
        if not self.group.reflections:
            return [self.around(polar)]
        # Mirrored upside down, a picture that had been mirrored and turned by a is one turned by 180 degrees - a.
        plain, upside_down = self.around(torch.cat([polar, reverse_angles(polar)])).chunk(2)
        return [plain, reverse_angles(upside_down).roll(self.angles // 2, -1)]

    def pose_loss(
        self, x: Tensor, element: Tensor, offset: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy with a bell around the true angle, one step wide: it is known better than the element."""
        angle, mirror = self.group.angle_and_mirror(element)
        if offset is not None:
            angle = angle + offset * self.group.cell
        logits = torch.cat(self.angle_logits(x), -1)
        step = 2 * math.pi / self.angles
        distance = angle[:, None] - torch.arange(self.angles, device=x.device) * step
        bell = ((distance.cos() - 1) / step**2).softmax(-1)
        if logits.shape[-1] > self.angles:
            bell = torch.cat([torch.where(mirror[:, None], 0, bell), torch.where(mirror[:, None], bell, 0)], -1)
        return F.cross_entropy(logits, bell)

    def polar(self, picture: Tensor) -> Tensor:
        """The picture in log-polar coordinates, rings as channels: `(batch, channels * radii, angles)`."""
        grid = polar_grid(self.angles, self.radii, self.resolution, picture.device)
        rings = F.grid_sample(picture.float(), grid.expand(len(picture), -1, -1, -1), align_corners=False)
        return rings.flatten(1, 2).to(picture.dtype)

    def around(self, polar: Tensor) -> Tensor:
        hidden = self.rings(polar.transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        return self.score(hidden).squeeze(2)

    def pool(self, logits: Tensor) -> Tensor:
        """From angles to group elements: the probability of an element is that of the angles nearest to it."""
        if self.group.n is None:
            return logits
        per_element = self.angles // self.group.n
        if per_element == 1:
            return logits
        half = per_element // 2
        window = (
            F.pad(logits.unsqueeze(1), (half, half), mode="circular").squeeze(1).unfold(-1, 2 * half + 1, per_element)
        )
        if per_element % 2 == 0:  # the two outermost angles are as near to the neighbouring elements
            share = torch.zeros(2 * half + 1, device=logits.device)
            share[[0, -1]] = -math.log(2)
            window = window + share
        return window.logsumexp(-1)


class CircularBlock(nn.Module):
    """A residual convolution around the circle, told the average over the circle, which no rotation changes.

    The convolution is a linear layer over each angle's neighbours: as one matrix product it is faster than a Conv1d.
    """

    def __init__(self, width: int, dilation: int):
        super().__init__()
        self.dilation = dilation
        self.around = nn.Linear(5 * width, width)
        self.whole = nn.Linear(width, width)
        self.mix = nn.Linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """`(batch, angles, width)` to the same."""
        # Over the whole circle, so that strong directions stay stronger than weak ones.
        normed = F.layer_norm(hidden, hidden.shape[1:])
        context = self.whole(normed.mean(1, keepdim=True))
        near = neighbours(hidden.shape[1], self.dilation, hidden.device)
        around = self.around(normed.index_select(1, near).unflatten(1, (-1, 5)).flatten(2))
        return hidden + self.mix(F.gelu(around + context))


@constant
def neighbours(angles: int, dilation: int, device: torch.device) -> Tensor:
    """For every angle, the five that lie around it, `dilation` apart; `(5 * angles,)`."""
    offsets = (torch.arange(5, device=device) - 2) * dilation
    return ((torch.arange(angles, device=device)[:, None] + offsets) % angles).flatten()


def reverse_angles(signal: Tensor) -> Tensor:
    """The signal with angle a at the place of angle -a, angle 0 staying first."""
    return signal.flip(-1).roll(1, -1)


@constant
def polar_grid(angles: int, radii: int, resolution: int, device: torch.device) -> Tensor:
    """Where to read the picture, `(1, radii, angles, 2)`, x to the right and y down, in units of half a side."""
    angle = torch.arange(angles, device=device) * (2 * math.pi / angles)
    outermost = 1 - 1 / resolution  # the centre of the border pixels
    radius = torch.logspace(math.log10(1 / resolution), math.log10(outermost), radii, device=device)
    return torch.stack([radius[:, None] * angle.cos(), -radius[:, None] * angle.sin()], -1).unsqueeze(0)
