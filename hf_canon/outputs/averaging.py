"""The average of answers that a predictor gave about one input in several poses, each carried back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Scale = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]
"""Where to average a field, there and back again."""

CLASSES: Scale = (lambda logits: logits.softmax(1), lambda probabilities: tiny(probabilities).log())
"""Of classes that exclude each other, probabilities are averaged: p(y | x) = sum over g of p(g | x) p(y | g^-1 x).
A mean of logits would let one pose in which the predictor is lost outvote those that it knows."""

EACH: Scale = (lambda logits: logits.sigmoid(), lambda probabilities: tiny(probabilities).logit(eps=1e-7))
"""Of classes that may be true together, likewise."""

PLAIN: Scale = (lambda value: value, lambda value: value)


@dataclass(frozen=True)
class Members:
    """Which answers belong together.

    Args:
        first: `(batch,)`, the weight of the answer that each input has already.
        item: `(n,)` long, the input that each further answer is about.
        weight: `(n,)`, of each further answer; those of an input and its first add up to 1.
    """

    first: Tensor
    item: Tensor
    weight: Tensor


def averaged(first: Tensor, further: Tensor, members: Members, scale: Scale) -> Tensor:
    """The weighted average of the answers about each input; where there is but one, that one to the bit.

    Args:
        first: `(batch, ...)`.
        further: `(n, ...)`.
        members: which belong together.
        scale: on which they are averaged.
    """
    there, back = scale
    shape = [-1, *[1] * (first.ndim - 1)]
    total = there(first.float()) * members.first.view(shape)
    total = total.index_add(0, members.item, there(further.float()) * members.weight.view(shape))
    several = torch.zeros(len(first), dtype=torch.bool, device=first.device)
    several[members.item] = True
    return torch.where(several.view(shape), back(total).to(first.dtype), first)


def scale_of(name: str, value: Tensor, config: Any) -> Scale:
    """On which scale a field is averaged.

    Args:
        name: of the field.
        value: of the field, `(batch, classes, ...)` where it is about classes.
        config: of the predictor.
    """
    if "logits" not in name:
        return PLAIN
    problem = getattr(config, "problem_type", None)
    if problem == "regression" or (problem is None and value.ndim == 2 and value.shape[1] == 1):
        return PLAIN
    each_for_itself = str(getattr(config, "model_type", "")).startswith("siglip")
    if problem == "multi_label_classification" or each_for_itself or value.shape[1] == 1:
        return EACH
    return CLASSES


def tiny(probabilities: Tensor) -> Tensor:
    """So that a probability of 0 has a logarithm."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny)
