"""How answers that are images themselves move."""

from torch import Tensor

from ..groups import Images
from .rules import Move, Rows, invariant, left_out, plane


def image(move: Move, value: Tensor) -> Tensor:
    """An image `(batch, channels, height, width)` as the predictor reads them: its colours move as well."""
    return move.group.act(value, move.element)


def colours(move: Move, value: Tensor) -> Tensor:
    """An image `(batch, 3, height, width)` in which 0 is black and 1 is white."""
    return move.group.on(Images((1.0,) * 3, (0.0,) * 3)).act(value, move.element)


MATTING: Rows = {
    "loss": invariant,
    "alphas": plane,
    "foregrounds": colours,
    "hidden_states": left_out,
    "attentions": left_out,
}
RECONSTRUCTION: Rows = {
    "loss": invariant,
    "reconstruction": image,
    "hidden_states": left_out,
    "reshaped_hidden_states": left_out,
    "attentions": left_out,
}

PAIRS = "it reads pairs of images, each of which has a pose of its own. Canonicalize them before you pair them."
CANNOT: dict[str, str] = dict.fromkeys(
    ["EfficientLoFTRForKeypointMatching", "LightGlueForKeypointMatching", "SuperGlueForKeypointMatching"], PAIRS
)
