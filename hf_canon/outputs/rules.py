"""How an answer transforms with the group: one function for each way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..groups import Group


@dataclass(frozen=True)
class Move:
    """What happens to the answers for a batch of images or clips.

    Args:
        group: it acts on them.
        element: `(batch,)`, what happened to each.
        size: height and width of the images.
        config: of the predictor.
        frames: of clips: how many frames of each answer are no padding, `(batch,)`; and how many frames answers have
            once they are transformed, `()`.
    """

    group: Group
    element: Tensor
    size: tuple[int, int]
    config: Any
    frames: tuple[Tensor, Tensor] | None = None


Transport = Callable[[Move, Tensor], Tensor | None]


def invariant(move: Move, value: Tensor) -> Tensor:
    """The same for every pose: what is in an image, not where."""
    return value


def plane(move: Move, value: Tensor) -> Tensor:
    """Values in the image, `(batch, ..., height, width)`: they move as its pixels do."""
    return move.group.act_maps(value, move.element)


def boxes(move: Move, value: Tensor) -> Tensor:
    """`(batch, ..., 4)`: centre and size, as shares of the image. Or `(batch, ..., 10)`: centre, and the four
    corners of a quadrilateral as offsets from it, with 0.5 for none; the first corner stays the first of the thing."""
    if value.shape[-1] == 10:
        # Offsets turn about 0.5 as places do about the middle of the image.
        return move.group.act_points(value.unflatten(-1, (5, 2)), move.element).flatten(-2)
    return move.group.act_boxes(value, move.element)


def pixels(move: Move, value: Tensor) -> Tensor:
    """`(batch, ..., 2)`: x and y of a pixel, counted from 0, as shares of the image."""
    if move.group.planar is None:  # not even rounded
        return value
    half = 0.5 / value.new_tensor([move.size[1], move.size[0]])  # from the corner of a pixel to its middle
    return move.group.act_points(value + half, move.element) - half


def left_out(move: Move, value: Tensor) -> None:
    """Inner workings of the predictor, in the canonical pose: not an answer, and None."""


def by_shape(move: Move, value: Tensor) -> Tensor | None:
    """`last_hidden_state`, where some keep their answer: a map `(batch, channels, height, width)`, or class logits
    `(batch, classes)`. A sequence `(batch, tokens, features)` is inner workings."""
    rows = {4: plane, 2: invariant, 3: left_out}
    return rows[value.ndim](move, value)


Rows = dict[str, Transport]
