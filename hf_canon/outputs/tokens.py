"""Tokens that stand for places: how the hidden states and attentions of image encoders transform with the image.

An encoder answers with maps, or with a sequence of tokens: a grid over the image, row by row, before and behind it
tokens that stand for no place (class, register and distillation tokens, queries). How many those are is looked up by
the type of the model, and the grid follows from how many tokens there are: it has the proportions of the image.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from math import ceil, gcd
from typing import Any

import torch
from torch import Tensor

from ..groups.constants import constant
from .rules import Move, invariant, plane


@dataclass(frozen=True)
class Layout:
    """How an encoder orders its tokens.

    Args:
        first: how many tokens without a place come before the grid.
        last: how many come behind it.
        pyramid: whether there are stages with other grids, which may lack the tokens without a place.
        patch: height and width of a patch; only their proportion counts.
        window: (full grid, how often it is split, by what): tokens are in order of their place in a window and not
            row by row, and maps have their channels last. None for row by row.
    """

    first: int = 0
    last: int = 0
    pyramid: bool = False
    patch: tuple[int, int] = (1, 1)
    window: tuple[tuple[int, int], int, tuple[int, int]] | None = None


def class_token(config: Any) -> Layout:
    return Layout(first=1 + getattr(config, "num_register_tokens", 0))


def grid_only(config: Any) -> Layout:
    return Layout()


def pyramid(config: Any) -> Layout:
    return Layout(pyramid=True)


def class_token_at_the_end(config: Any) -> Layout:
    """The last stage has a class token."""
    return Layout(first=1, pyramid=True)


def windows(config: Any) -> Layout:
    """Hiera: a window's tokens are together, so that pooling takes neighbours without moving memory."""
    height, width = (side // stride for side, stride in zip(config.image_size, config.patch_stride, strict=True))
    return Layout(pyramid=True, window=((height, width), len(config.depths) - 1, tuple(config.query_stride)))


LAYOUTS: dict[str, Callable[[Any], Layout] | str] = {
    **dict.fromkeys(
        [
            "beit",
            "chinese_clip_vision_model",
            "clip_vision_model",
            "data2vec-vision",
            "dinov2",
            "dinov2_with_registers",
            "dinov3_vit",
            "dpt",
            "metaclip_2_vision_model",
            "mlcd_vision_model",
            "sapiens2",
            "tipsv2_vision_model",
            "vit",
            "vit_msn",
        ],
        class_token,
    ),
    **dict.fromkeys(["aimv2_vision_model", "ijepa", "siglip_vision_model", "vitdet", "vitpose_backbone"], grid_only),
    **dict.fromkeys(
        [
            "donut-swin",
            "focalnet",
            "glpn",
            "levit",
            "maskformer-swin",
            "pvt_v2",
            "segformer",
            "swin",
            "swin2sr",
            "swinv2",
        ],
        pyramid,
    ),
    **dict.fromkeys(["depth_pro", "dinov3_convnext", "pvt"], class_token_at_the_end),
    "deit": lambda config: Layout(first=2),
    "hiera": windows,
    "pixio": lambda config: Layout(first=config.n_cls_tokens),
    "yolos": lambda config: Layout(first=1, last=config.num_detection_tokens),
    # Whose hidden states are those of a model within.
    **dict.fromkeys(
        ["chmv2", "depth_anything", "prompt_depth_anything", "tipsv2_dpt", "upernet", "zoedepth"], "backbone_config"
    ),
    **dict.fromkeys(["clip", "metaclip_2", "siglip"], "vision_config"),
}
"""For each type of model: the layout that its configuration gives, or where the configuration of its encoder is."""


def layout_of(config: Any) -> Layout | None:
    """The layout of an encoder's tokens; None where it is not known."""
    known = LAYOUTS.get(getattr(config, "model_type", ""))
    if isinstance(known, str):
        return layout_of(getattr(config, known))
    if known is None:
        return None
    patch = getattr(config, "patch_size", None)
    return replace(known(config), patch=tuple(patch)) if isinstance(patch, list | tuple) else known(config)


def features(move: Move, value: Tensor) -> Tensor:
    """What an encoder says about an image: maps `(batch, channels, height, width)`, tokens `(batch, tokens,
    features)`, or about the whole of it `(batch, features)`."""
    if value.ndim == 2:
        return invariant(move, value)
    if value.ndim == 3:
        return along(move, value, 1)
    layout = layout_of(move.config)
    if value.ndim == 4 and layout is not None and layout.window is not None:
        return plane(move, value.movedim(-1, 1)).movedim(1, -1)
    if value.ndim == 4:
        return plane(move, value)
    raise ValueError(f"It has the shape {tuple(value.shape)}, which is neither a map nor a sequence of tokens.")


def attention(move: Move, value: Tensor) -> Tensor:
    """`(batch, heads, tokens, tokens)`: who looks at whom. Both move; those looked at may be on a coarser grid."""
    if value.ndim != 4:
        raise ValueError(
            f"It has the shape {tuple(value.shape)}, and not (batch, heads, tokens, tokens). Leave out "
            "output_attentions, or pass canonicalize=False."
        )
    return along(move, along(move, value, 2), 3)


def along(move: Move, value: Tensor, axis: int) -> Tensor:
    """Tokens `(batch, ...)` along an axis, transformed as the image is; those without a place stay.

    Raises:
        ValueError: it is not known which token stands for which place.
    """
    if move.group.planar is None:
        return value
    if len(value) != len(move.element):
        raise ValueError(
            f"It has the shape {tuple(value.shape)} for {len(move.element)} images: each window or layer is apart, "
            "and a turned image has other windows. Leave out what asks for it (output_hidden_states, "
            "output_attentions), or pass canonicalize=False."
        )
    layout = layout_of(move.config)
    found = None if layout is None else grid_of(layout, value.shape[axis], move.size)
    if layout is None or found is None:
        raise ValueError(
            f"It is not known which of the {value.shape[axis]} tokens of a {move.config.model_type} model stands for "
            f"which place in an image of {move.size[0]} x {move.size[1]}. Leave out what asks for them "
            "(output_hidden_states, output_attentions), or pass canonicalize=False."
        )
    first, (height, width), last = found
    head, grid, tail = value.movedim(axis, -1).split([first, height * width, last], -1)
    if layout.window is not None:
        order = window_order(height, width, layout.window, value.device)
        grid = grid[..., order.argsort()]
    transformed = move.group.act_maps(grid.unflatten(-1, (height, width)), move.element).view(grid.shape)
    if layout.window is not None:
        transformed = transformed[..., order]
    return torch.cat([head, transformed, tail], -1).movedim(-1, axis)


@lru_cache
def grid_of(layout: Layout, tokens: int, size: tuple[int, int]) -> tuple[int, tuple[int, int], int] | None:
    """Tokens before the grid, its height and width, and tokens behind it; None where it is not clear."""
    around = {(layout.first, layout.last)} | ({(0, 0)} if layout.pyramid else set())
    shared = gcd(*layout.patch)
    steps = [(n * layout.patch[0] / shared, n * layout.patch[1] / shared) for n in range(1, max(size) + 1)]
    found = {
        (first, (rounded(size[0] / down), rounded(size[1] / across)), last)
        for first, last in around
        for down, across in steps
        for rounded in (int, ceil)
        if rounded(size[0] / down) * rounded(size[1] / across) == tokens - first - last > 0
    }
    return found.pop() if len(found) == 1 else None


@constant
def window_order(
    height: int, width: int, window: tuple[tuple[int, int], int, tuple[int, int]], device: torch.device
) -> Tensor:
    """Which place of a grid, counted row by row, each token stands for, `(height * width,)`."""
    (full, _), splits, (down, across) = window
    while full > height:  # pooled once already
        full, splits = full // down, splits - 1
    places = torch.arange(height * width, device=device).view(1, height, width)
    for _ in range(splits):
        places = places.unflatten(2, (-1, across)).unflatten(1, (-1, down)).permute(0, 2, 4, 1, 3).flatten(0, 2)
    return places.flatten()
