"""What a calibration found, as an adapter stores it, and the two thresholds that keep its promises."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from textwrap import fill
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Calibration:
    """The record of a calibration. `hf_canon.calibrate` makes one, and an adapter's configuration holds it.

    Args:
        temperature: the logits over the group are divided by it.
        alpha: a set of elements holds the true one with probability 1 - alpha, at least.
        threshold: the probability from which an element is in the set.
        harm: bound on the probability that a right answer to an upright input becomes a wrong one; None where nothing
            bounds it.
        confidence: above which probability an element is undone, to keep that bound; 1 for never.
        items: on how many inputs the thresholds were found.
        fitted: on how many others the temperature was.
        labelled: whether there were labels. Without them every answer that changed counts as harm, which is stricter.
        harm_of_argmax: share of those inputs whose answer was spoiled under 'argmax', which nothing bounds.
        acts_on: share of them, as they came, on which 'identity' and 'abstain' act.
        canonicalizer: fingerprint of the weights that were calibrated.
        predictor: of those of the predictor, with what PEFT has added to it.
        data: what is known of the data: `id`, `split`, `examples`, and a `fingerprint` of the inputs.
        seen: how often which confidence, set size and element occurred, for `Monitor` to compare with.
    """

    temperature: float
    alpha: float
    threshold: float
    harm: float | None
    confidence: float | None
    items: int
    fitted: int
    labelled: bool
    harm_of_argmax: float | None
    acts_on: float | None
    canonicalizer: str | None
    predictor: str | None
    data: dict[str, Any]
    seen: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """In what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Calibration":
        """What `to_dict` made.

        Raises:
            ValueError: another version of hf_canon made it.
        """
        try:
            return cls(**data)
        except TypeError as error:
            raise ValueError(
                "The calibration of this adapter was saved by another version of hf_canon. Set config.calibration to "
                f"null in its config.json, and calibrate it again ({error})."
            ) from error

    @property
    def promises(self) -> dict[str, str]:
        """What it promises about inputs like those of the calibration, and from how many, in words."""
        share = f"{100 * (1 - self.alpha):.4g} %"
        found = {"coverage": f"the set holds the true pose of at least {share} of inputs like these, moved at random"}
        if self.harm is not None and self.harm_of_argmax is not None and self.acts_on is not None:
            spoiled = "a right answer becomes a wrong one" if self.labelled else "the answer changes"
            found["harm"] = (
                f"for at most {100 * self.harm:.4g} % of upright inputs {spoiled} under 'identity', or does so "
                f"unflagged under 'abstain'; they act on {100 * self.acts_on:.1f} % of upright inputs, and under "
                f"'argmax' it is {100 * self.harm_of_argmax:.1f} %"
            )
        found["from"] = (
            f"{self.items:,} inputs, and a temperature of {self.temperature:.3g} from {self.fitted:,} others "
            f"(data {self.data.get('fingerprint', 'unknown')})"
        )
        return found

    def __str__(self) -> str:
        lines = (fill(text, 90, subsequent_indent=10 * " ") for text in self.promises.values())
        return "\n".join(f"{name:<10}{line}" for name, line in zip(self.promises, lines, strict=True))


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
