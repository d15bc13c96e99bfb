"""The average of answers that a predictor gave about one input in several poses, each carried back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..groups import Group
from ..selection import rank
from .transport import Canonicalization


@dataclass(frozen=True)
class Scale:
    """Where a field is averaged.

    Args:
        there: from a value to the tensors whose means are taken, all of the same batch.
        back: from those means to a value.
    """

    there: Callable[[Tensor], tuple[Tensor, ...]]
    back: Callable[..., Tensor]


CLASSES = Scale(
    lambda logits: (logits.softmax(1), logits.logsumexp(1, keepdim=True)),
    lambda probabilities, level: tiny(probabilities).log() + level,
)
"""Of classes that exclude each other, probabilities are averaged: p(y | x) = sum over g of p(g | x) p(y | g^-1 x).
A mean of logits would let one pose in which the predictor is lost outvote those that it knows. Their common level says
nothing about the classes, and is averaged too: answers that were averaged stay comparable with those that were not."""

EACH = Scale(
    lambda logits: (logits.sigmoid(), (-logits).sigmoid()),
    lambda true, false: tiny(true).log() - tiny(false).log(),
)
"""Of classes that may be true together, likewise; from both sides, as a probability near 1 has no digits left."""

PLAIN = Scale(lambda value: (value,), lambda value: value)


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


def further_members(found: Canonicalization, group: Group) -> tuple[Tensor, Members]:
    """The elements of a decision besides the first of each input, `(n,)`, and how much all of them weigh."""
    assert found.probabilities is not None and found.passes is not None
    ranking = rank(found.probabilities, group, found.element)
    asked = torch.arange(ranking.element.shape[1], device=found.element.device) < found.passes.unsqueeze(1)
    weight = ranking.probability * asked
    weight = weight / weight.sum(1, keepdim=True)
    item, place = asked[:, 1:].nonzero(as_tuple=True)
    place = place + 1
    return ranking.element[item, place], Members(weight[:, 0], item, weight[item, place])


def averaged(first: Tensor, further: Tensor, members: Members, scale: Scale) -> Tensor:
    """The weighted average of the answers about each input; where there is but one, that one to the bit.

    Args:
        first: `(batch, ...)`.
        further: `(n, ...)`.
        members: which belong together.
        scale: on which they are averaged.
    """

    def mean(one: Tensor, others: Tensor) -> Tensor:
        shape = [-1, *[1] * (one.ndim - 1)]
        return (one * members.first.view(shape)).index_add(0, members.item, others * members.weight.view(shape))

    means = [mean(*pair) for pair in zip(scale.there(first.float()), scale.there(further.float()), strict=True)]
    several = torch.zeros(len(first), dtype=torch.bool, device=first.device)
    several[members.item] = True
    return torch.where(several.view([-1, *[1] * (first.ndim - 1)]), scale.back(*means).to(first.dtype), first)


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
    each = problem == "multi_label_classification" or str(getattr(config, "model_type", "")).startswith("siglip")
    if each:
        return EACH
    if value.shape[1] == 1:  # one number, one text, or one thing that is there or not at each place
        return EACH if value.ndim == 4 else PLAIN
    return PLAIN if problem == "regression" else CLASSES


def tiny(probabilities: Tensor) -> Tensor:
    """So that a probability of 0 has a logarithm."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny)
