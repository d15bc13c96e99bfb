"""How labels follow the input: what a predictor learns from in the canonical pose."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..groups import Group


def maps(group: Group, element: Tensor, labels: Tensor) -> Tensor:
    """Maps `(batch, height, width)`."""
    return group.act_maps(labels, element, "nearest")


def boxes(group: Group, element: Tensor, labels: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """For each image `boxes` `(n, 4)`, and perhaps `masks` `(n, height, width)`."""
    found = []
    for one, g in zip(labels, element.unsqueeze(1), strict=True):
        one = dict(one) | {"boxes": group.act_boxes(one["boxes"].unsqueeze(0), g).squeeze(0)}
        if "masks" in one:
            one["masks"] = group.act_maps(one["masks"].unsqueeze(0), g, "nearest").squeeze(0)
        found.append(one)
    return found


LABELS: dict[str, Callable[[Group, Tensor, Any], Any]] = {"maps": maps, "boxes": boxes}
"""By what a task learns from; the labels of all other tasks stay as they are."""
