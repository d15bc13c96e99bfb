"""What coordinates are: a circle of places, along which the group transforms what an input shows."""

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from ...groups import Group


class Coordinates(ABC):
    """What a network along a circle has to know: what is read at each place, and what a score there means."""

    features: int
    """How many numbers are read at each place."""
    settings: dict[str, Any]
    """The keyword arguments that build them again."""

    width: ClassVar[int] = 64
    """Of a network, unless it is told otherwise."""
    depth: ClassVar[int]
    """How many blocks it has, unless told otherwise."""
    scales: ClassVar[int]
    """How many times the reach of its blocks doubles before it starts anew."""

    @abstractmethod
    def read(self, group: Group, x: Tensor, lengths: Tensor | None) -> Tensor:
        """Each input in these coordinates, `(views * batch, features, places)`, views of one kind together.

        Args:
            group: the one that they were made for, acting on the kind of input that x is.
            x: `(batch, ...)`.
            lengths: as in `Canonicalizer.forward`.
        """

    @abstractmethod
    def fine(self, scores: Tensor) -> Tensor:
        """From scores of every place, `(views * batch, places)`, to logits over all that can be told apart."""

    @abstractmethod
    def target(self, element: Tensor, offset: Tensor | None) -> Tensor:
        """The distribution that the fine logits should have, for elements as `Canonicalizer.pose_loss` takes them."""

    def pool(self, fine: Tensor) -> Tensor:
        """From fine logits to those over the group."""
        return fine


class Circle(Coordinates):
    """Angles: as many places as are asked for, at least, and a whole number between the elements of a finite group.

    Args:
        n: order of a finite group of turns of the circle; None for all of them.
        places: about how many.
        divisor: of the number of places.
    """

    depth = 3
    scales = 4

    def __init__(self, n: int | None, places: int, divisor: int):
        step = math.lcm(divisor, n or 1)
        self.n = n
        self.places = step * math.ceil(places / step)

    def fine(self, scores: Tensor) -> Tensor:
        return scores

    def bell(self, angle: Tensor) -> Tensor:
        """A distribution over the places around an angle, one step wide, `(batch, places)`."""
        step = 2 * math.pi / self.places
        distance = angle[:, None] - torch.arange(self.places, device=angle.device) * step
        return ((distance.cos() - 1) / step**2).softmax(-1)

    def pool(self, fine: Tensor) -> Tensor:
        """The probability of an element is that of the angles nearest to it."""
        if self.n is None:
            return fine
        per_element = self.places // self.n
        if per_element == 1:
            return fine
        half = per_element // 2
        window = (
            F.pad(fine.unsqueeze(1), (half, half), mode="circular").squeeze(1).unfold(-1, 2 * half + 1, per_element)
        )
        if per_element % 2 == 0:  # the two outermost angles are as near to the neighbouring elements
            share = torch.zeros(2 * half + 1, device=fine.device)
            share[[0, -1]] = -math.log(2)
            window = window + share
        return window.logsumexp(-1)
