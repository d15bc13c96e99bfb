"""How each output field of a predictor moves with the group.

A row says what happens to a field when the input is carried back from its canonical pose. A field without a row is
refused by name: an answer in the wrong coordinates is worse than none.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers.utils import ModelOutput

from .groups import Group


@dataclass
class Canonicalization(ModelOutput):
    """Which element happened to each input, and the input with it undone.

    Args:
        element: `(batch,)`, indices into `group.elements`, or parameters of a continuous group.
        probabilities: `(batch, |G|)`, the posterior p(g | x); over evenly spaced bins for a continuous group.
        canonical: what the predictor saw, in the shape of the input.
        logits: `(batch, |G|)`, what the canonicalizer said.
    """

    element: Tensor = None  # type: ignore[assignment]  # ModelOutput wants a default
    probabilities: Tensor | None = None
    canonical: Tensor | None = None
    logits: Tensor | None = None


@dataclass(frozen=True)
class Move:
    """What happens to the answers for a batch of pictures.

    Args:
        group: it acts on pictures.
        element: `(batch,)`, what happened to each.
        size: height and width of the pictures.
        config: of the predictor.
    """

    group: Group
    element: Tensor
    size: tuple[int, int]
    config: Any


Transport = Callable[[Move, Tensor], Tensor | None]


def invariant(move: Move, value: Tensor) -> Tensor:
    """The same for every pose: what is in a picture, not where."""
    return value


def plane(move: Move, value: Tensor) -> Tensor:
    """Values in the picture, `(batch, ..., height, width)`: they move as its pixels do."""
    turned = move.group.planar_part(move.element)
    if turned is None:
        return value
    group, element = turned
    flat = value.unsqueeze(1) if value.ndim == 3 else value.flatten(1, -3)
    return group.act(flat, element).view(value.shape)


def boxes(move: Move, value: Tensor) -> Tensor:
    """`(batch, ..., 4)`: centre and size, as shares of the picture. Or `(batch, ..., 10)`: centre, and the four
    corners of a quadrilateral as offsets from it, with 0.5 for none; the first corner stays the first of the thing."""
    turned = move.group.planar_part(move.element)
    if turned is None:
        return value
    group, element = turned
    if value.shape[-1] == 10:
        # Offsets turn about 0.5 as places do about the middle of the picture.
        return group.act_points(value.unflatten(-1, (5, 2)), element).flatten(-2)
    return group.act_boxes(value, element)


def pixels(move: Move, value: Tensor) -> Tensor:
    """`(batch, ..., 2)`: x and y of a pixel, counted from 0, as shares of the picture."""
    turned = move.group.planar_part(move.element)
    if turned is None:
        return value
    group, element = turned
    half = 0.5 / value.new_tensor([move.size[1], move.size[0]])  # from the corner of a pixel to its middle
    return group.act_points(value + half, element) - half


def left_out(move: Move, value: Tensor) -> None:
    """Inner workings of the predictor, in the canonical pose: not an answer, and None."""


def by_shape(move: Move, value: Tensor) -> Tensor | None:
    """`last_hidden_state`, where some keep their answer: a map `(batch, channels, height, width)`, or class logits
    `(batch, classes)`. A sequence `(batch, tokens, features)` is inner workings."""
    rows = {4: plane, 2: invariant, 3: left_out}
    return rows[value.ndim](move, value)


Rows = dict[str, Transport]

CLASSIFICATION: Rows = {
    "loss": invariant,
    "logits": invariant,
    "cls_logits": invariant,
    "distillation_logits": invariant,
    "probabilities": invariant,
    "last_hidden_state": by_shape,
}
SEGMENTATION: Rows = {"loss": invariant, "logits": plane, "auxiliary_logits": plane}
DEPTH: Rows = {"loss": invariant, "predicted_depth": plane, "field_of_view": invariant}
DETECTION: Rows = {
    "loss": invariant,
    "loss_dict": invariant,
    "logits": invariant,
    "pred_boxes": boxes,
    "out_masks": plane,
    # Which of two regions is read first is a matter of the page, and is asked in its canonical pose.
    "order_logits": invariant,
    "relative_order_logits": invariant,
    "successor_order_logits": invariant,
    "last_hidden_state": by_shape,
    **dict.fromkeys(
        [
            "auxiliary_outputs",
            "backbone_features",
            "denoising_meta_values",
            "encoder_last_hidden_state",
            "enc_outputs_class",
            "enc_outputs_coord_logits",
            "enc_topk_bboxes",
            "enc_topk_logits",
            "init_reference_points",
            "initial_reference_points",
            "intermediate_hidden_states",
            "intermediate_logits",
            "intermediate_predicted_corners",
            "intermediate_reference_points",
        ],
        left_out,
    ),
}


MASKS: Rows = {
    "loss": invariant,
    "class_queries_logits": invariant,
    "masks_queries_logits": plane,
    "logits": invariant,
    "pred_boxes": boxes,
    "pred_masks": plane,
    "task_token": invariant,
    **dict.fromkeys(
        [
            "attentions",
            "auxiliary_logits",
            "auxiliary_predictions",
            "encoder_hidden_states",
            "encoder_last_hidden_state",
            "enc_outputs_mask_logits",
            "init_reference_points",
            "intermediate_hidden_states",
            "intermediate_reference_points",
            "last_hidden_state",
            "pixel_decoder_hidden_states",
            "pixel_decoder_last_hidden_state",
            "transformer_decoder_auxiliary_predictions",
            "transformer_decoder_class_predictions",
            "transformer_decoder_contrastive_queries",
            "transformer_decoder_hidden_states",
            "transformer_decoder_last_hidden_state",
            "transformer_decoder_mask_predictions",
            "transformer_decoder_object_queries",
        ],
        left_out,
    ),
}
KEYPOINTS: Rows = {
    "loss": invariant,
    "keypoints": pixels,
    "scores": invariant,
    "descriptors": invariant,
    "mask": invariant,
}
ZERO_SHOT: Rows = {
    "loss": invariant,
    "logits_per_image": invariant,
    "logits_per_text": invariant,
    "image_embeds": invariant,
    "text_embeds": invariant,
    "text_model_output": invariant,
    "vision_model_output": left_out,
}

FILMS = "it reads films (pixel_values_videos), and no pictures."
PATCHES = "its pixel_values are a sequence of patches, and no picture that can be turned."
CANNOT: dict[str, str] = {
    "ImageGPTForImageClassification": "it reads a sequence of colours (input_ids), and no pixel_values.",
    "Siglip2ForImageClassification": PATCHES,
    "Siglip2Model": PATCHES,
    "VideomtForUniversalSegmentation": FILMS,
    "VideoPrismClipModel": FILMS,
}
"""Architectures that cannot be wrapped, and why."""


def carry_back(
    output: ModelOutput, rows: Rows, group: Group, canonicalization: Canonicalization, config: Any = None
) -> ModelOutput:
    """The predictor's answer for the canonical input, as the answer for the input that was given.

    Returns:
        The predictor's own output class with one field more, `canonicalization`.

    Raises:
        ValueError: the output has a field whose behaviour under the group is not known.
    """
    assert canonicalization.canonical is not None
    height, width = canonicalization.canonical.shape[-2:]
    move = Move(group, canonicalization.element, (height, width), config)
    return canonicalized_class(type(output))(**moved(output, rows, move), canonicalization=canonicalization)


def moved(output: Mapping[str, Any], rows: Rows, move: Move) -> dict[str, Any]:
    """Every field of an output, moved as its row says.

    Raises:
        ValueError: there is no row for a field, or it has a shape that its row does not know.
    """
    unknown = [name for name in output if name not in rows]
    if unknown:
        raise ValueError(
            f"The predictor returned {', '.join(unknown)}, which hf_canon cannot carry back to the pose of the input "
            f"(it knows {', '.join(rows)}). Leave out output_hidden_states and output_attentions, or pass "
            "canonicalize=False."
        )
    found = {}
    for name, value in output.items():
        try:
            found[name] = each(rows[name], move, value)
        except ValueError as error:
            raise ValueError(f"The field {name} cannot be carried back to the pose of the input. {error}") from error
    return found


def each(row: Transport, move: Move, value: Any) -> Any:
    """A field may hold tensors in tuples, lists and dictionaries: one for each layer, say."""
    if isinstance(value, Tensor):
        return row(move, value)
    if row in (invariant, left_out) or value is None:
        return value if row is not left_out else None
    if isinstance(value, Mapping):
        return {name: each(row, move, one) for name, one in value.items()}
    return type(value)(each(row, move, one) for one in value)


@torch.compiler.assume_constant_result
def canonicalized_class(base: type[ModelOutput]) -> type[ModelOutput]:
    """The output class `base` with the field `canonicalization` added."""
    return _canonicalized_class(base)


@lru_cache
def _canonicalized_class(base: type[ModelOutput]) -> type[ModelOutput]:
    def reduce(output: ModelOutput) -> tuple[Any, ...]:
        # Another process makes the class anew, from its base.
        return _unpickle, (base, tuple(getattr(output, one.name) for one in fields(output)))  # type: ignore[arg-type]

    extra = [("canonicalization", Canonicalization | None, field(default=None))]
    name = f"Canonicalized{base.__name__}"
    return make_dataclass(name, extra, bases=(base,), namespace={"__reduce__": reduce, "__module__": __name__})


def _unpickle(base: type[ModelOutput], values: tuple[Any, ...]) -> ModelOutput:
    return canonicalized_class(base)(*values)
