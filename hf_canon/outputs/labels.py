"""How labels follow the input: what a predictor learns from in the canonical pose."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from ..groups import Group


def maps(group: Group, element: Tensor, labels: Tensor) -> Tensor:
    """Maps `(batch, height, width)`."""
    planar = group.planar_part(element)
    if planar is None:
        return labels
    group, element = planar
    return group.act(labels.unsqueeze(1), element, interpolation="nearest").squeeze(1)  # type: ignore[call-arg]


def boxes(group: Group, element: Tensor, labels: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    """For each image `boxes` `(n, 4)`, and perhaps `masks` `(n, height, width)`."""
    planar = group.planar_part(element)
    if planar is None:
        return labels
    group, element = planar
    found = []
    for one, g in zip(labels, element.unsqueeze(1), strict=True):
        one = dict(one) | {"boxes": group.act_boxes(one["boxes"].unsqueeze(0), g).squeeze(0)}  # type: ignore[attr-defined]
        if "masks" in one:
            one["masks"] = group.act(one["masks"].unsqueeze(0), g, interpolation="nearest").squeeze(0)  # type: ignore[call-arg]
        found.append(one)
    return found


LABELS: dict[str, Callable[[Group, Tensor, Any], Any]] = {"maps": maps, "boxes": boxes}
"""By what a task learns from; the labels of all other tasks stay as they are."""
