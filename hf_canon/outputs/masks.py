"""How the answers of models that cut out what they are pointed at move."""

from torch import Tensor

from .rules import Move, Rows, invariant, left_out, plane


def channels_last(move: Move, value: Tensor) -> Tensor | None:
    """A map `(batch, height, width, features)`. A sequence `(batch, tokens, features)` is inner workings."""
    transformed = plane(move, value.movedim(-1, 1)) if value.ndim == 4 else None
    return None if transformed is None else transformed.movedim(1, -1)


MASK_GENERATION: Rows = {
    "pred_masks": plane,
    "iou_scores": invariant,
    "object_score_logits": invariant,
    "vision_hidden_states": channels_last,
    # To be used again, they are asked for with `get_image_embeddings`, and then know their pose.
    "image_embeddings": left_out,
    "vision_attentions": left_out,
    "mask_decoder_attentions": left_out,
}
