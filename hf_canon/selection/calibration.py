"""What a calibration found, as an adapter stores it."""

from dataclasses import dataclass
from textwrap import fill
from typing import Any, ClassVar

from ..reports.record import Record


@dataclass(frozen=True)
class Calibration(Record):
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

    foreign: ClassVar[str] = (
        "The calibration of this adapter was saved by another version of hf_canon. Set config.calibration to null in "
        "its config.json, and calibrate it again"
    )

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

    @property
    def promises(self) -> dict[str, str]:
        """What it promises about inputs like those of the calibration, and from how many, in words."""
        share = f"{100 * (1 - self.alpha):.4g} %"
        found = {
            "coverage": f"the set holds the true pose of at least {share} of inputs like these, transformed at random"
        }
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
