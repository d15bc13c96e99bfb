"""How answers that are pictures themselves move."""

from torch import Tensor

from ..groups import Pictures
from .rules import Move, Rows, invariant, left_out, plane


def picture(move: Move, value: Tensor) -> Tensor:
    """A picture `(batch, channels, height, width)` as the predictor reads them: its colours move as well."""
    return move.group.act(value, move.element)


def colours(move: Move, value: Tensor) -> Tensor:
    """A picture `(batch, 3, height, width)` in which 0 is black and 1 is white."""
    return move.group.on(Pictures((1.0,) * 3, (0.0,) * 3)).act(value, move.element)


MATTING: Rows = {
    "loss": invariant,
    "alphas": plane,
    "foregrounds": colours,
    "hidden_states": left_out,
    "attentions": left_out,
}
RECONSTRUCTION: Rows = {
    "loss": invariant,
    "reconstruction": picture,
    "hidden_states": left_out,
    "reshaped_hidden_states": left_out,
    "attentions": left_out,
}

PAIRS = "it reads pairs of pictures, each of which has a pose of its own. Canonicalize them before you pair them."
CANNOT: dict[str, str] = dict.fromkeys(
    ["EfficientLoFTRForKeypointMatching", "LightGlueForKeypointMatching", "SuperGlueForKeypointMatching"], PAIRS
)
