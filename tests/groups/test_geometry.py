"""Points and boxes transform with the pixels that they mark."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from hf_canon import get_group
from hf_canon.groups import Planar

EXACT = ["c2", "c4", "d2", "d4"]
ALL = [*EXACT, "c8", "d8", "c3", "d5"]


def planar(name: str) -> Planar:
    group = get_group(name)
    assert isinstance(group, Planar)
    return group


def rectangle(side: int, box: tuple[int, int, int, int]) -> Tensor:
    """An image that is 1 inside left, top, right, bottom (pixels)."""
    left, top, right, bottom = box
    image = torch.zeros(1, 1, side, side)
    image[..., top:bottom, left:right] = 1
    return image


def centre_and_size(side: int, box: tuple[int, int, int, int]) -> Tensor:
    left, top, right, bottom = box
    return torch.tensor([[[(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]]]) / side


def bounds(image: Tensor) -> tuple[int, int, int, int]:
    rows, columns = image[0, 0].any(1).nonzero(), image[0, 0].any(0).nonzero()
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("name", EXACT)
@given(data=st.data(), side=st.integers(4, 24))
@settings(deadline=None, max_examples=25)
def test_boxes_move_with_their_pixels(name: str, data: st.DataObject, side: int) -> None:
    """To the last bit but rounding, for every element of a group that permutes pixels."""
    left, top = (data.draw(st.integers(0, side - 2)) for _ in range(2))
    right, bottom = (data.draw(st.integers(low + 1, side)) for low in (left, top))
    group = planar(name)
    image, box = rectangle(side, (left, top, right, bottom)), centre_and_size(side, (left, top, right, bottom))
    for g in group.elements:
        transformed = bounds(group.act(image, g.view(1)))
        torch.testing.assert_close(
            group.act_boxes(box, g.view(1)), centre_and_size(side, transformed), rtol=0, atol=1e-6
        )


@pytest.mark.parametrize("name", ALL)
def test_points_move_with_their_pixels(name: str) -> None:
    """At every angle: a soft spot is found where its centre was transformed to."""
    side, group = 65, planar(name)
    y, x = torch.meshgrid(*[(torch.arange(side) + 0.5) / side] * 2, indexing="ij")
    for point in torch.tensor([[0.5, 0.3], [0.62, 0.4], [0.35, 0.66]]):
        spot = torch.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 0.005).view(1, 1, side, side)
        for g in group.elements:
            there = group.act(spot, g.view(1))[0, 0]
            found = torch.stack([(there * x).sum(), (there * y).sum()]) / there.sum()
            torch.testing.assert_close(
                group.act_points(point.view(1, 1, 2), g.view(1))[0, 0], found, rtol=0, atol=0.01
            )


@pytest.mark.parametrize("name", ALL)
def test_moves_compose_and_are_undone(name: str) -> None:
    group = planar(name)
    a, b = (grid.flatten() for grid in torch.meshgrid(group.elements, group.elements, indexing="ij"))
    points = torch.rand(len(a), 7, 3, 2)
    once = group.act_points(points, a)
    torch.testing.assert_close(group.act_points(once, b), group.act_points(points, group.compose(b, a)))
    torch.testing.assert_close(group.act_points(once, group.inverse(a)), points)
    if group.is_exact:  # others grow at every turn
        boxes = torch.rand(len(a), 5, 4)
        once = group.act_boxes(boxes, a)
        torch.testing.assert_close(group.act_boxes(once, b), group.act_boxes(boxes, group.compose(b, a)))


@pytest.mark.parametrize("name", [*ALL, "so2"])
def test_a_hull_holds_the_four_corners_and_no_more(name: str) -> None:
    group = planar(name)
    element = group.elements if group.finite else torch.linspace(-math.pi, math.pi, 13)
    boxes = torch.rand(len(element), 6, 4) * 0.4 + 0.1
    centre, size = boxes.split(2, -1)
    signs = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    corners = centre.unsqueeze(2) + signs * size.unsqueeze(2)
    transformed = group.act_points(corners, element)
    low, high = transformed.amin(2), transformed.amax(2)
    expected = torch.cat([(low + high) / 2, high - low], -1)
    torch.testing.assert_close(group.act_boxes(boxes, element), expected, rtol=1e-5, atol=1e-6)
