"""Planar groups on points instead of images, for benchmarks in few dimensions."""

import torch
from torch import Tensor

from hf_canon.groups import FinitePlanar, Group, get_group


class PointGroup(Group):
    """The rotations and reflections of a planar group about the origin, on points `(batch, dimensions)`: the first two
    coordinates turn, and others stay.

    Args:
        name: of a finite planar group, such as "c4".
    """

    def __init__(self, name: str):
        planar = get_group(name)
        assert isinstance(planar, FinitePlanar)
        self.plane = planar
        self.name, self.meaning, self.order = planar.name, planar.meaning, planar.order

    @property
    def exact_elements(self) -> Tensor:
        return self.plane.exact_elements

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        return self.plane.compose(a, b)

    def inverse(self, element: Tensor) -> Tensor:
        return self.plane.inverse(element)

    def act(self, x: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        # Groups turn points about the middle of an image.
        return torch.cat([self.plane.act_points(x[:, :2] + 0.5, element) - 0.5, x[:, 2:]], 1)

    def check_shape(self, shape: torch.Size | tuple[int, ...]) -> None:
        if len(shape) != 2 or shape[1] < 2:
            raise ValueError(f"{self.name} turns points (batch, 2 or more), and this input is {tuple(shape)}.")

    def describe(self, element: int | float) -> str:
        return self.plane.describe(element)
