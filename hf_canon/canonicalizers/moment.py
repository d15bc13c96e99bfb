"""In closed form: an average of the input that transforms with the group says which element happened to it.

The oldest of them is the grey world assumption, that the mean colour of a scene is grey (Buchsbaum, 1980,
https://doi.org/10.1016/0016-0032(80)90058-7); the level of a recording and the mean hue of an image are others. With
m such a moment, m(g x) = m(x) + g, and r its value for canonical inputs, h(x) = m(x) - r is equivariant for any r,
up to the group's reach.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..groups import Group, Images, OneParameter
from ..groups.color import FiniteHue, Hue
from .base import Canonicalizer, channels_of, fitting

STRIDE = 30.0
"""Reaches in one unit of the parameter, so that an optimizer whose steps are thousandths of a unit gets there soon."""


class MomentCanonicalizer(Canonicalizer):
    """Compares a moment of the input with a reference, the one number that is learned.

    Prefer it where inputs are alike on average and an average is all there is to know: recordings of one level, and
    images whose scenes are grey, or of one colour cast, on average. It takes no network, and a few steps of
    training. Prefer `shift` or `orbit` where the content says more than the mean, as for the hue of single objects.

    Args:
        group: one that has a moment: `gain`, `white_balance`, `gamma`, `hue<n>`, `hue` or `polarity`.
        channels: channels of the input, where it is an image.
        bins: how many elements of a continuous group have a logit; `element` is exact between them.

    Raises:
        ValueError: the group has no moment.

    Example:
        >>> from hf_canon import get_group
        >>> canonicalizer = MomentCanonicalizer(get_group("gain"))
        >>> tone = torch.linspace(0, 50, 800).sin()[None]  # 3 dB below a level of 0
        >>> canonicalizer.element(canonicalizer(tone)).detach().round(decimals=1)
        tensor([-3.])
    """

    name = "moment"
    resolution = 0  # it looks at all there is

    def __init__(self, group: Group, channels: int = 3, bins: int = 21):
        super().__init__()
        if not hasattr(group, "moment"):
            raise ValueError(
                f"The 'moment' canonicalizer knows no average that transforms with {group.name}. Use "
                f"canonicalizer={fitting(group)!r}."
            )
        self.group = group
        self.settings = {**channels_of(group, channels), "bins": bins}
        self.bins = bins
        self.signed = group.finite and not isinstance(group, Hue)
        if self.signed:  # it turns around at zero: what is learned is how much it says
            self.weight = nn.Parameter(torch.ones(()))
        else:
            self.reference = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        """A bell around the element, one bin wide."""
        moment = self.moment(x, lengths)
        if self.signed:
            return torch.stack([self.weight * moment, -self.weight * moment], -1)
        found = moment - self.canonical_moment
        if self.group.finite:
            parameters = self.parameter(self.group.elements.to(x.device))
        else:
            assert isinstance(self.group, OneParameter)
            parameters = self.group.grid(self.bins).to(x.device)
        distance = self.wrapped(found[:, None] - parameters)
        return -(distance / (parameters[1] - parameters[0])).square() / 2 if len(parameters) > 1 else 0 * distance

    def pose_loss(
        self, x: Tensor, element: Tensor, offset: Tensor | None = None, lengths: Tensor | None = None
    ) -> Tensor:
        """How far the moments that the inputs had before they were transformed lie from the reference.

        On a line half the squared distance, in reaches, which is least at their mean; on a circle 1 - cos of the
        angle, least at their mean direction. For a sign, the cross-entropy.
        """
        if self.signed:
            return F.cross_entropy(self(x, lengths), element)
        transformed = element if offset is None or not self.group.finite else element + offset
        distance = self.moment(x, lengths) - self.parameter(transformed) - self.canonical_moment
        if isinstance(self.group, Hue):
            return (1 - distance.cos()).mean()
        return (distance / self.reach).square().mean() / 2

    @property
    def canonical_moment(self) -> Tensor:
        """That of canonical inputs, in the units of the elements."""
        return self.reference * (STRIDE * self.reach)

    @property
    def reach(self) -> float:
        return self.group.reach if isinstance(self.group, OneParameter) else math.pi

    def moment(self, x: Tensor, lengths: Tensor | None) -> Tensor:
        """`(batch,)`: of a hue an angle, otherwise the group's own."""
        group: Any = self.group
        x = x if x.device.type == "mps" else x.double()  # as thumbnails do
        moment: Tensor = group.moment(x) if lengths is None else group.moment(x, lengths)
        if isinstance(group.kind, Images):  # whose NaN and infinite values an average may pass over
            moment = moment + 0 * x.flatten(1).sum(1).view(-1, *[1] * (moment.ndim - 1))
        if isinstance(group, Hue):
            moment = torch.atan2(moment[:, 1], moment[:, 0])
        return moment.to(next(self.parameters()).dtype)

    def parameter(self, element: Tensor) -> Tensor:
        """How much an element adds to the moment."""
        return element * self.group.cell if isinstance(self.group, FiniteHue) else element

    def wrapped(self, distance: Tensor) -> Tensor:
        """Of a hue, in (-pi, pi]."""
        return math.pi - (math.pi - distance) % (2 * math.pi) if isinstance(self.group, Hue) else distance
