"""What a group is: elements that compose, and an action that moves inputs."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor


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
        """The elements that only permute the grid, and so act without rounding; they form a subgroup. `(k,)`."""

    @property
    def is_exact(self) -> bool:
        return self.order == len(self.exact_elements)

    @abstractmethod
    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The element that does `b` first and `a` after it. Shapes broadcast."""

    @abstractmethod
    def inverse(self, element: Tensor) -> Tensor: ...

    @abstractmethod
    def act(self, x: Tensor, element: Tensor, interpolation: str = "bilinear") -> Tensor:
        """Move each input of the batch by its own element.

        Args:
            x: `(batch, channels, height, width)`.
            element: `(batch,)`, on any device.
            interpolation: "bilinear", "bicubic" or "nearest", where the action needs one.

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

    def random_act(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Training inputs: each moved by a random element and, unless the group is exact, by a little more.

        Returns:
            The moved inputs; the elements, `(batch,)`; and how much further than its element each input was moved, in
            units of the distance between neighbouring elements, within +-0.5, `(batch,)`.
        """
        element = self.sample(len(x), generator).to(x.device)
        return self.act(x, element), element, torch.zeros(len(x), device=x.device)

    def orbit(self, x: Tensor, elements: Tensor | None = None) -> Tensor:
        """Every version of every input: `(batch, k, channels, height, width)` for `k` elements (all by default)."""
        elements = (self.elements if elements is None else elements).to(x.device)
        self.check_shape(x.shape)
        k, batch = len(elements), len(x)
        copies = x.unsqueeze(1).expand(batch, k, *x.shape[1:]).flatten(0, 1)
        return self.act(copies, elements.repeat(batch)).unflatten(0, (batch, k))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Group) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"get_group({self.name!r})"
