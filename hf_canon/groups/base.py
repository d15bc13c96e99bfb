"""What a group is: elements that compose, and an action that moves inputs."""

from abc import ABC, abstractmethod
from copy import copy
from typing import Any, Self

import torch
from torch import Tensor

from .kinds import Kind


class Group(ABC):
    """A group of transformations and its action on a batch of inputs.

    A group knows tensors only. It has no hidden state: two threads may share one. An `element` is a long tensor
    `(batch,)` of indices for a finite group, 0 being the identity, and a float tensor `(batch,)` of parameters for a
    continuous one. For every pair of elements, `act(act(x, a), b) == act(x, compose(b, a))`.
    """

    name: str
    meaning: str
    """What its elements do, in words."""
    order: int | None
    """Number of elements; None for a continuous group."""
    acts_on: tuple[type[Kind], ...]
    kind: Kind
    """What the numbers of its inputs mean; `on` gives the same group on others."""

    def on(self, kind: Kind) -> Self:
        """The same group, acting on inputs of that kind.

        Raises:
            ValueError: it does not act on such inputs.
        """
        if not isinstance(kind, self.acts_on):
            raise ValueError(
                f"{self.name} ({self.meaning}) acts on {' or '.join(one.noun for one in self.acts_on)}, and these "
                f"inputs are {kind.noun}."
            )
        bound = copy(self)
        bound.kind = kind
        return bound

    @property
    def finite(self) -> bool:
        return self.order is not None

    @property
    def identity(self) -> int | float:
        return 0 if self.finite else 0.0

    @property
    def elements(self) -> Tensor:
        """Every element, `(order,)`."""
        if self.order is None:
            raise ValueError(f"{self.name} is continuous and its elements cannot be listed; sample(n) draws some.")
        return torch.arange(self.order)

    @property
    @abstractmethod
    def exact_elements(self) -> Tensor:
        """The elements that only permute the grid, the channels or the signs, and so act without rounding, but for
        that of channels which are normalized differently; they form a subgroup. `(k,)`."""

    @property
    def is_exact(self) -> bool:
        return self.order == len(self.exact_elements)

    @abstractmethod
    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The element that does `b` first and `a` after it. Shapes broadcast."""

    @abstractmethod
    def inverse(self, element: Tensor) -> Tensor: ...

    @abstractmethod
    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Move each input of the batch by its own element.

        Args:
            x: `(batch, ...)`, of the group's kind.
            element: `(batch,)`, on any device.
            lengths: `(batch,)`, how much of each is sound, where sounds are padded to one length; pictures have none.

        Raises:
            ValueError: the group does not fit the shape of `x`; the sentence says which group would.
        """

    @abstractmethod
    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        """Raise ValueError if the group cannot act on inputs of this shape."""

    @abstractmethod
    def describe(self, element: int | float) -> str:
        """One element in words, for tables and pictures."""

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """`n` elements drawn uniformly."""
        if self.order is None:
            raise NotImplementedError
        return torch.randint(self.order, (n,), generator=generator)

    def random_act(
        self, x: Tensor, generator: torch.Generator | None = None, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Training inputs: each moved by a random element and, unless the group is exact, by a little more.

        Returns:
            The moved inputs; the elements, `(batch,)`; and how much further than its element each input was moved, in
            units of the distance between neighbouring elements, within +-0.5, `(batch,)`.
        """
        element = self.sample(len(x), generator).to(x.device)
        return self.act(x, element, lengths), element, torch.zeros(len(x), device=x.device)

    def orbit(self, x: Tensor, elements: Tensor | None = None, lengths: Tensor | None = None) -> Tensor:
        """Every version of every input: `(batch, k, ...)` for `k` elements (all by default)."""
        elements = (self.elements if elements is None else elements).to(x.device)
        self.check_shape(x.shape)
        k, batch = len(elements), len(x)
        copies = x.unsqueeze(1).expand(batch, k, *x.shape[1:]).flatten(0, 1)
        lengths = None if lengths is None else lengths.repeat_interleave(k)
        return self.act(copies, elements.repeat(batch), lengths).unflatten(0, (batch, k))

    def planar_part(self, element: Tensor) -> tuple[Any, Tensor] | None:
        """What an element does to places in a picture: a planar group and its element; None where they stay."""
        return None

    def temporal_part(self, element: Tensor) -> tuple[Any, Tensor] | None:
        """What an element does to moments of a sound: a group that moves them and its element; None where they
        stay."""
        return None

    def moved_lengths(self, lengths: Tensor, element: Tensor, moved: Tensor | None = None) -> Tensor:
        """How long sounds are after they were moved, `(batch,)`: as before, unless an element stretches them.

        Args:
            lengths: `(batch,)`, before.
            element: `(batch,)`, on any device.
            moved: what `act` returned; a spectrogram keeps its number of frames, and loses what no longer fits.
        """
        return lengths

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"get_group({self.name!r})"


class OneParameter(Group):
    """A continuous group whose elements are numbers that add up: angles on a circle, or decibels on a line."""

    order = None
    period: float | None
    """After how much an element is the identity again; None on a line."""
    reach: float
    """Elements are looked for, and drawn at random, between minus and plus this."""
    tolerance: float
    """How near a found element has to be to the true one to count as found."""

    @property
    def exact_elements(self) -> Tensor:
        return torch.zeros(1)

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self.wrap(a + b)

    def inverse(self, element: Tensor) -> Tensor:
        return self.wrap(-element)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return (2 * torch.rand(n, generator=generator) - 1) * self.reach

    def wrap(self, element: Tensor) -> Tensor:
        """The same element in (-period / 2, period / 2]; on a line, as it is."""
        if self.period is None:
            return element
        return self.period / 2 - (self.period / 2 - element) % self.period

    def parameters(self, bins: int) -> Tensor:
        """Elements spread evenly, `(bins,)`: around the circle from 0 on, or along the line from -reach to reach."""
        if self.period is None:
            return torch.linspace(-self.reach, self.reach, bins)
        return torch.arange(bins) * (self.period / bins)
