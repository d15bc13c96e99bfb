"""One pass in coordinates in which the group acts by translation.

In log-polar coordinates a rotation shifts the angle axis, in a histogram of hues a turn of the hue shifts the hue
axis, and on a log-frequency axis a change of pitch or speed shifts everything. A network that is convolutional and
circular along that axis is equivariant by construction, as in *Polar Transformer Networks* (Esteves et al., 2018,
arXiv 1709.01889). One pass gives a score for every place: the cost does not grow with the group, and the peak between
the bins serves continuous groups.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..groups import Group, Planar
from ..groups.constants import constant
from ..quadratic import linear_of
from .base import Canonicalizer, neuron_of
from .coordinates import coordinates_for


class ShiftCanonicalizer(Canonicalizer):
    """Finds the element as a shift along an axis: the angle, the hue or the log-frequency.

    Prefer it for rotations by many angles, always for `so2`, and for hue, pitch and speed: one cheap pass. Prefer
    `orbit` when only a pretrained backbone can know what upright means (natural photographs), `equivariant` for
    textures without a centre, and `moment` where an average says it all.

    Args:
        group: `c<n>`, `d<n>` (mirror images are a second pass over the mirrored angle axis), `so2`, `hue<n>`, `hue`,
            `pitch<n>` or `speed<n>`.
        width: channels of the network; 64 by default, and 48 for audio.
        depth: its residual blocks; 3 by default, and 6 for audio.
        neuron: "linear", "quadratic" or "compact", of all its layers (see `hf_canon.quadratic`).
        settings: of the coordinates. For rotations `channels`, `resolution`, `angles` and `radii`, as in `LogPolar`;
            for the hue `channels`, `resolution` and `hues`, as in `HueHistogram`; for audio none.

    Raises:
        ValueError: there are no such coordinates for the group, or not with these settings; or there is no such
            neuron.

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
        width: int | None = None,
        depth: int | None = None,
        neuron: str = "linear",
        **settings: Any,
    ):
        super().__init__()
        self.coordinates = coordinates_for(group, **settings)
        self.group = group
        width = self.coordinates.width if width is None else width
        depth = self.coordinates.depth if depth is None else depth
        self.settings = {**self.coordinates.settings, "width": width, "depth": depth, **neuron_of(neuron)}
        self.resolution = self.settings.get("resolution", 0)
        linear = linear_of(neuron)
        self.rings = linear(self.coordinates.features, width)
        self.blocks = nn.ModuleList(
            CircularBlock(width, 2 ** (i % self.coordinates.scales), linear) for i in range(depth)
        )
        self.score = linear(width, 1)

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return self.coordinates.pool(self.fine(x, lengths))

    def fine(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Logits over all that the coordinates tell apart, which may be more than the elements."""
        read = self.coordinates.read(self.group, self.thumbnail(x) if isinstance(self.group, Planar) else x, lengths)
        return self.coordinates.fine(self.around(read.to(self.score.weight.dtype)))

    def pose_loss(
        self, x: Tensor, element: Tensor, offset: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """Cross-entropy with a bell around the true place, one step wide: it is known better than the element."""
        return F.cross_entropy(self.fine(x, lengths), self.coordinates.target(element, offset))

    def around(self, read: Tensor) -> Tensor:
        """A score for every place, `(batch, places)`."""
        hidden = self.rings(read.transpose(1, 2))
        for block in self.blocks:
            hidden = block(hidden)
        return self.score(hidden).squeeze(2)


class CircularBlock(nn.Module):
    """A residual convolution around the circle, told the average over the circle, which no shift changes.

    The convolution is a linear layer over each place's neighbours: as one matrix product it is faster than a Conv1d.
    """

    def __init__(self, width: int, dilation: int, linear: Callable[[int, int], nn.Linear]):
        super().__init__()
        self.dilation = dilation
        self.around = linear(5 * width, width)
        self.whole = linear(width, width)
        self.mix = linear(width, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """`(batch, places, width)` to the same."""
        # Over the whole circle, so that strong places stay stronger than weak ones.
        normed = F.layer_norm(hidden, hidden.shape[1:])
        context = self.whole(normed.mean(1, keepdim=True))
        near = neighbours(hidden.shape[1], self.dilation, hidden.device)
        around = self.around(normed.index_select(1, near).unflatten(1, (-1, 5)).flatten(2))
        return hidden + self.mix(F.gelu(around + context))


@constant
def neighbours(places: int, dilation: int, device: torch.device) -> Tensor:
    """For every place, the five that lie around it, `dilation` apart; `(5 * places,)`."""
    offsets = (torch.arange(5, device=device) - 2) * dilation
    return ((torch.arange(places, device=device)[:, None] + offsets) % places).flatten()
