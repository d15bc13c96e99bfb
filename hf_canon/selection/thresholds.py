"""The temperature and the two thresholds that keep the promises of a calibration."""

import math

import torch
from torch import Tensor


def coverage_threshold(true: Tensor, alpha: float) -> float:
    """The probability that a share of 1 - alpha of true elements reach, corrected for their number; one half at most.

    Split conformal prediction with the score 1 - p(true): of n scores the ceil((n + 1) (1 - alpha))-th smallest
    (Angelopoulos and Bates, arXiv 2107.07511, section 1). An element that is likelier than all others together is
    never left out: where the likeliest alone is right often enough, that is all there is to a set.

    Args:
        true: `(n,)`, the probabilities of the true elements.
        alpha: between 0 and 1.

    Raises:
        ValueError: `n` is too small for that level.

    Example:
        >>> round(coverage_threshold(torch.linspace(0.05, 0.95, 19), 0.1), 3)  # the second smallest of 19
        0.1
    """
    require_enough(len(true), items_for_coverage(alpha), f"alpha={alpha:g}")
    index = math.ceil((len(true) + 1) * (1 - alpha) - 1e-9)
    return min(0.5, float(true.double().sort(descending=True).values[index - 1]))


def harm_threshold(harmful: Tensor, confidence: Tensor, harm: float) -> float:
    """The lowest confidence above which acting keeps the bound on the harm.

    Conformal risk control for the loss "acted, and the answer was spoiled", which falls as the threshold rises: the
    lowest threshold at which (spoiled + 1) / (n + 1) <= harm (Angelopoulos et al., arXiv 2208.02814).

    Args:
        harmful: bool `(n,)`, whether acting spoils the answer to an upright input.
        confidence: `(n,)`, how sure the canonicalizer is of it.
        harm: the bound, between 0 and 1.

    Raises:
        ValueError: `n` is too small for that bound.

    Example:
        >>> spoiled = torch.tensor([True, False, True] + 16 * [False])
        >>> round(harm_threshold(spoiled, torch.linspace(0.05, 0.95, 19), 0.1), 3)  # one of the two may happen
        0.05
    """
    require_enough(len(harmful), items_for_harm(harm), f"harm={harm:g}")
    allowed = math.floor(harm * (len(harmful) + 1) - 1 + 1e-9)
    worst = confidence[harmful].double().sort(descending=True).values
    return 0.0 if len(worst) <= allowed else float(worst[allowed])


def items_for_coverage(alpha: float) -> int:
    """How many inputs a level takes: the threshold has to be one of their scores."""
    return max(1, math.ceil(1 / alpha - 1 - 1e-9))


def items_for_harm(harm: float) -> int:
    """How many inputs a bound takes: with fewer, not even doing nothing could be shown to keep it."""
    return max(1, math.ceil(1 / harm - 1 - 1e-9))


def require_enough(items: int, needed: int, bound: str) -> None:
    if items < needed:
        raise ValueError(
            f"{bound} takes {needed:,} inputs at least, and there are {items:,}. Give more, or ask for "
            f"{smallest_share(items):g}."
        )


def smallest_share(items: int) -> float:
    """The lowest level that so many inputs do for, rounded up to two digits.

    Example:
        >>> smallest_share(30), smallest_share(99)
        (0.033, 0.01)
    """
    share = 1 / (items + 1)
    unit = 10 ** (math.floor(math.log10(share)) - 1)
    return round(math.ceil(share / unit - 1e-9) * unit, 12)


def fit_temperature(log_odds: Tensor, near: Tensor) -> float:
    """The temperature under which the true elements are likeliest (Guo et al., arXiv 1706.04599).

    Args:
        log_odds: `(n, |G|)`, the canonicalizer's logits.
        near: bool `(n, |G|)`, the true element, or the bins that count as it.

    Example:
        >>> logits = torch.tensor([[2.0, 0.0], [2.0, 0.0], [2.0, 0.0], [0.0, 2.0]])  # sure, and right in 3 of 4
        >>> true = torch.tensor([[True, False]] * 4)
        >>> 1 / (1 + math.exp(-2 / fit_temperature(logits, true)))  # doctest: +ELLIPSIS
        0.7...
    """
    logits = log_odds.double()
    hidden = torch.where(near, 0.0, -torch.inf)

    def loss(temperature: float) -> float:
        scaled = (logits / temperature).log_softmax(1)
        return -float((scaled + hidden).logsumexp(1).mean())

    low, high = math.log(0.05), math.log(20.0)
    for _ in range(60):  # golden sections: the loss has one minimum
        a, b = high - 0.618 * (high - low), low + 0.618 * (high - low)
        low, high = (low, b) if loss(math.exp(a)) < loss(math.exp(b)) else (a, high)
    return math.exp((low + high) / 2)
