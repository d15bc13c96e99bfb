"""How arguments that say where something is transform with the image: what a predictor is pointed with."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..groups import Group

Placement = Callable[[Group, Tensor, Any, Any], Any]
"""From a group, an element for each image, an argument and the predictor's configuration to the transformed
argument."""


def points(group: Group, element: Tensor, value: Tensor, config: Any) -> Tensor:
    """`(batch, ..., 2)`: x and y of a pixel of the processed image, counted from 0."""
    # Half of the frame is taken off and not divided by, which keeps whole pixels exact.
    half = middle(config) - 0.5
    return group.act_points(value - half, element) + half


def corners(group: Group, element: Tensor, value: Tensor, config: Any) -> Tensor:
    """`(batch, ..., 4)`: x and y of the pixel at the upper left, then at the lower right. At other angles than quarter
    turns, those of the upright box around the turned one."""
    half = middle(config) - 0.5
    low, high = value[..., :2] - half, value[..., 2:] - half
    centre_and_size = value.new_empty(value.shape)
    centre_and_size[..., :2], centre_and_size[..., 2:] = (low + high) / 2, high - low
    transformed = group.act_boxes(centre_and_size, element)
    centre, reach = transformed[..., :2], transformed[..., 2:] / 2
    found = value.new_empty(value.shape)
    found[..., :2], found[..., 2:] = centre - reach + half, centre + reach + half
    return found


def middle(config: Any) -> float:
    """The middle of the square images that prompts are about, in pixels counted from 0."""
    side = config.prompt_encoder_config.image_size
    return ((side if isinstance(side, int) else side[0]) - 1) / 2


def maps(group: Group, element: Tensor, value: Tensor, config: Any) -> Tensor:
    """Values in the image, `(batch, ..., height, width)`, at any size."""
    return group.act_maps(value, element)


def labelled(group: Group, element: Tensor, value: Any, config: Any) -> Any:
    """For each image, masks `(masks, height, width)`: in a list, or in one tensor."""
    if isinstance(value, Tensor):
        return group.act_maps(value, element, "nearest")
    moves = zip(value, element.unsqueeze(1), strict=True)
    return [group.act_maps(one.unsqueeze(0), g, "nearest").squeeze(0) for one, g in moves]


def patches(group: Group, element: Tensor, value: Tensor, config: Any) -> Tensor:
    """Which patches are masked, `(batch, patches)`, row by row."""
    side = round(value.shape[1] ** 0.5)
    if side * side != value.shape[1]:
        raise ValueError(
            f"bool_masked_pos says which of {value.shape[1]} patches are masked, and an image of so many is no "
            "square, which alone is moved here. Give square images, or pass canonicalize=False."
        )
    grid = value.view(-1, 1, side, side).float()
    return group.act_maps(grid, element, "nearest").flatten(1).to(value.dtype)


PLACED: dict[str, Placement] = {
    "bool_masked_pos": patches,
    "input_boxes": corners,
    "input_masks": maps,
    "input_points": points,
    "mask_labels": labelled,
    "prompt_depth": maps,
}
"""Arguments of predictors that say where something is in the image."""

UNPLACED = ("attention_similarity", "target_embedding")
"""Those that are about tokens of the image in the pose in which a predictor has seen it."""


def canonical_prompts(arguments: dict[str, Any], group: Group, undo: Tensor, config: Any) -> dict[str, Any]:
    """A predictor's arguments for the canonical input: those that have places in the image follow it.

    Raises:
        ValueError: one of them says something about the input as it is that cannot be transformed.
    """
    unplaced = [name for name in UNPLACED if arguments.get(name) is not None]
    if unplaced:
        raise ValueError(
            f"{', '.join(unplaced)} were found for an image in another pose than the canonical one, and cannot be "
            "transformed. Leave them out, or pass canonicalize=False."
        )
    mask = arguments.get("pixel_mask")
    if mask is not None and not bool(mask.all()):
        raise ValueError(
            "The images are padded to one size, and padding does not transform with an image: a turned one has it "
            "elsewhere, and a tinted one in the same colour. Resize them to one size: "
            "processor(..., do_pad=False, size={'height': 640, 'width': 640})."
        )
    if group.planar is None:
        return arguments
    placed = {name: value for name, value in arguments.items() if name in PLACED and value is not None}
    return {**arguments, **{name: PLACED[name](group, undo, value, config) for name, value in placed.items()}}
