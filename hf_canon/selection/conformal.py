"""The smallest set of elements that holds the true one with probability 1 - alpha."""

import torch
from torch import Tensor

from ..groups import Group
from .base import Action, Decision, DecisionRule
from .calibration import Calibration
from .ranking import Ranking

TIE = 1e-5
"""Probabilities that differ by less, as a share of them, are one: an input that an element leaves as it is has the
same probability twice, but for rounding."""


class Conformal(DecisionRule):
    """Ask the predictor about every element in a conformal set, and average its answers with the posterior for
    weights: the weighted frames of Dym et al. (arXiv 2402.16077), over as few elements as the level allows.

    One element in the set: one pass, and the answer of `argmax`, to the bit. Where the group is exact the set moves
    with the input, and so the rule is invariant; symmetric inputs, whose elements tie, have them all in it.

    Prefer `argmax` where a second pass cannot be afforded. The answers of detectors and of models that write cannot
    be averaged: use `abstain` there.
    """

    name = "conformal"
    invariant = True
    needs = "coverage"
    averages = True

    def __call__(self, ranking: Ranking, group: Group, calibration: Calibration | None) -> Decision:
        assert calibration is not None
        size = set_size(ranking, calibration)
        return Decision(
            ranking.element[:, 0], size, torch.where(size > 1, int(Action.AVERAGED), int(Action.CANONICALIZED))
        )


def set_size(ranking: Ranking, calibration: Calibration) -> Tensor:
    """How many of the first elements are in the conformal set, `(batch,)`.

    The set has all elements whose probability reaches the threshold, below which a share of alpha of the true ones
    were in the calibration: of all rules that keep this promise, the one with the smallest sets on average (Sadinle,
    Lei and Wasserman, arXiv 1609.00451). Where not even the likeliest element reaches it, nothing stands out as the
    true ones do: there the posterior is taken at its word, and the set has as many elements as together have the
    probability 1 - alpha. A larger set holds the true element all the more.
    """
    probability = ranking.probability
    counts = torch.arange(1, probability.shape[1] + 1, device=probability.device)
    reached = probability >= calibration.threshold * (1 - TIE)
    size = (reached * counts).amax(1)
    enough = 1 - calibration.alpha - TIE
    last = (probability.cumsum(1) < enough).sum(1, keepdim=True).clamp(max=probability.shape[1] - 1)
    backed_off = (probability >= probability.gather(1, last) * (1 - TIE)).sum(1)
    # The first mode of a continuous group may weigh less than those that come after it.
    return torch.where(size > 0, size, torch.maximum(backed_off, last.squeeze(1) + 1))
