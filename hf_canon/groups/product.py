"""Several things that happen to the same input: `d4*channels`, `c4*hue12`, `reverse*polarity`."""

import math
from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
from torch import Tensor

from .base import Group
from .kinds import Images, Kind


class Product(Group):
    """The direct product of finite groups whose actions do not get in each other's way.

    An element is one index, with the first factor counting slowest, as in nested loops: logits `(batch, order)` become
    a table with an axis for each factor, in the order of the name, by `logits.unflatten(-1, group.orders)`.

    Args:
        factors: two or more, all for the same kind of input.

    Raises:
        ValueError: a factor is continuous, two act on different kinds of input, two move places (or moments), do not
            commute or share elements; the sentence names them.

    Example:
        >>> from hf_canon import get_group
        >>> group = get_group("d4*channels")
        >>> group.order, group.describe(11)
        (48, '90°, BGR')
        >>> [part.tolist() for part in group.split(torch.tensor([0, 11]))]
        [[0, 1], [0, 5]]
    """

    order: int
    factors: tuple[Group, ...]

    def __init__(self, factors: Sequence[Group]):
        self.factors = tuple(factors)
        self.name = "*".join(factor.name for factor in factors)
        self.meaning = "; and ".join(factor.meaning for factor in factors)
        for factor in factors:
            if not factor.finite:
                raise ValueError(
                    f"{self.name!r} is no group: {factor.name} is continuous and a product lists its elements; take "
                    f"finite factors only, such as those in 'd4*channels' or 'c4*hue12'."
                )
        self.orders = tuple(len(factor.elements) for factor in factors)
        self.order = math.prod(self.orders)
        common = (kind for kind in factors[0].acts_on if all(kind in factor.acts_on for factor in factors[1:]))
        self.acts_on = tuple(common)
        # Images of unknown values do for places, but not for colours.
        kinds = [factor.kind for factor in sorted(factors, key=lambda one: one.kind == Images())]
        kind = next((kind for kind in kinds if isinstance(kind, self.acts_on)), None)
        if kind is None:
            nouns = (f"{one.name} acts on {' or '.join(kind.noun for kind in one.acts_on)}" for one in factors)
            raise ValueError(f"{self.name!r} is no group: {', and '.join(nouns)}; take factors for the same inputs.")
        self._bind(kind)
        for a, b in combinations(self.factors, 2):
            self._check_pair(a, b)

    def _bind(self, kind: Kind) -> None:
        self.kind = kind
        self.factors = tuple(factor.on(kind) for factor in self.factors)

    def on(self, kind: Kind) -> "Product":
        bound = super().on(kind)
        bound._bind(kind)
        return bound

    def _check_pair(self, a: Group, b: Group) -> None:
        if a.name == b.name:
            raise ValueError(f"{self.name!r} is no group: {a.name} is in it twice; name it once.")
        if a.planar and b.planar:
            raise ValueError(f"{self.name!r} is no group: {a.name} and {b.name} both turn the image; take one.")
        if a.temporal and b.temporal:
            raise ValueError(f"{self.name!r} is no group: {a.name} and {b.name} both move audio in time; take one.")
        # The rest shows on noise, with some elements of each: a few of a large group have all that matters in common.
        generator = torch.Generator().manual_seed(0)
        shape = (3, 8, 8) if isinstance(self.kind, Images) else (8 * self.order,)
        x = torch.rand(shape, generator=generator)
        some_a, some_b = (one.elements[torch.randperm(len(one.elements), generator=generator)[:32]] for one in (a, b))
        first, second = (grid.flatten() for grid in torch.meshgrid(some_a, some_b, indexing="ij"))
        copies = x.expand(len(first), *shape)
        if (a.act(b.act(copies, second), first) - b.act(a.act(copies, first), second)).abs().max() > 1e-3:
            raise ValueError(
                f"{self.name!r} is no group: {a.name} after {b.name} is not {b.name} after {a.name}; take one of them."
            )
        orbit_a, orbit_b = (one.orbit(x[None], one.elements[1:])[0].flatten(1) for one in (a, b))
        if (torch.cdist(orbit_a, orbit_b, compute_mode="donot_use_mm_for_euclid_dist") < 1e-3).any():
            raise ValueError(f"{self.name!r} is no group: {a.name} and {b.name} have elements in common; take one.")

    def split(self, element: Tensor) -> tuple[Tensor, ...]:
        """The element of each factor."""
        parts = []
        for order in reversed(self.orders):
            parts.append(element % order)
            element = element // order
        return tuple(reversed(parts))

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The element that has these parts; shapes broadcast."""
        element = parts[0]
        for part, order in zip(parts[1:], self.orders[1:], strict=True):
            element = element * order + part
        return element

    @property
    def exact_elements(self) -> Tensor:
        return self.join(torch.meshgrid([factor.exact_elements for factor in self.factors], indexing="ij")).flatten()

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        parts = zip(self.factors, self.split(a), self.split(b), strict=True)
        return self.join([factor.compose(one, other) for factor, one, other in parts])

    def inverse(self, element: Tensor) -> Tensor:
        return self.join([factor.inverse(part) for factor, part in self._shares(element)])

    def _shares(self, element: Tensor) -> Iterator[tuple[Group, Tensor]]:
        return zip(self.factors, self.split(element), strict=True)

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        for factor, part in self._shares(element):
            x = factor.act(x, part, lengths)
        return x

    def act_cropped(self, x: Tensor, element: Tensor, crop: int | tuple[int, int]) -> Tensor:
        """The factor that turns the image uses the margin up; without one, nothing needs it."""
        if self.planar is None:
            return super().act_cropped(x, element, crop)
        for factor, part in self._shares(element):
            x = factor.act(x, part) if factor.planar is None else factor.act_cropped(x, part, crop)
        return x

    def act_maps(self, maps: Tensor, element: Tensor, interpolation: str = "bilinear") -> Tensor:
        for factor, part in self._shares(element):
            maps = factor.act_maps(maps, part, interpolation)
        return maps

    def act_points(self, points: Tensor, element: Tensor) -> Tensor:
        for factor, part in self._shares(element):
            points = factor.act_points(points, part)
        return points

    def act_boxes(self, boxes: Tensor, element: Tensor) -> Tensor:
        for factor, part in self._shares(element):
            boxes = factor.act_boxes(boxes, part)
        return boxes

    def act_frames(
        self, frames: Tensor, element: Tensor, lengths: Tensor | None = None, count: Tensor | int | None = None
    ) -> Tensor:
        for factor, part in self._shares(element):
            frames = factor.act_frames(frames, part, lengths, count)
        return frames

    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        for factor in self.factors:
            factor.check_shape(shape)

    def describe(self, element: int | float) -> str:
        shares = self._shares(torch.tensor(int(element)))
        return ", ".join(factor.describe(int(part)) for factor, part in shares)

    def random_act(
        self, x: Tensor, generator: torch.Generator | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Each input transformed by every factor's own `random_act`.

        How much further is that of the first factor which is not exact.
        """
        parts, further = [], torch.zeros(len(x), device=x.device)
        known = False
        for factor in self.factors:
            x, part, offset = factor.random_act(x, generator, lengths)
            parts.append(part)
            if not (known or factor.is_exact):
                further, known = offset, True
        return x, self.join(parts), further

    @property
    def planar(self) -> Group | None:
        return next((factor.planar for factor in self.factors if factor.planar is not None), None)

    @property
    def temporal(self) -> Group | None:
        return next((factor.temporal for factor in self.factors if factor.temporal is not None), None)
