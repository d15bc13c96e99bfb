"""What a decision rule is."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar, Literal

from torch import Tensor

from ..groups import Group
from .calibration import Calibration
from .ranking import Ranking


class Action(IntEnum):
    """What a rule did with an input."""

    CANONICALIZED = 0
    """The likeliest element was undone."""
    AVERAGED = 1
    """The predictor was asked about several, and its answers were averaged."""
    LEFT_ALONE = 2
    """The predictor was asked about the input as it came."""
    ABSTAINED = 3
    """The likeliest element was undone, and the answer is not to be relied on."""

    @property
    def words(self) -> str:
        return self.name.lower().replace("_", " ")


@dataclass(frozen=True)
class Decision:
    """About which elements the predictor is asked for each input.

    Args:
        element: `(batch,)`, the element that is undone first.
        passes: `(batch,)` long: how many forward passes it takes: the first so many of the ranking.
        action: `(batch,)` long, of `Action`.
    """

    element: Tensor
    passes: Tensor
    action: Tensor


class DecisionRule(ABC):
    """Turns a posterior over the group into a decision. It has no state: what it needs to know is in the calibration.

    A rule is invariant if it looks at nothing but the ranking: that of a transformed input is transformed with it,
    where the group is exact."""

    name: ClassVar[str]
    """By which a model is asked for it."""
    invariant: ClassVar[bool]
    """Whether the answer stays equivariant under the exact elements of the group."""
    needs: ClassVar[Literal["coverage", "harm"] | None] = None
    """What has to be calibrated."""
    averages: ClassVar[bool] = False
    """Whether the predictor may be asked about several elements, and its answers averaged."""

    @abstractmethod
    def __call__(self, ranking: Ranking, group: Group, calibration: Calibration | None) -> Decision:
        """Decide.

        Args:
            ranking: of the posterior.
            group: whose posterior it is.
            calibration: of the adapter, which `check` has found to hold what this rule needs.
        """

    def check(self, calibration: Calibration | None) -> None:
        """Raise ValueError if the rule needs a calibration that the adapter does not have."""
        if self.needs is not None and calibration is None:
            raise ValueError(
                f"decision={self.name!r} goes by thresholds that are found on held-back data, and this adapter has "
                "none. Call hf_canon.calibrate(model, dataset, alpha=0.1, harm=0.05) first (`hf-canon calibrate` in a "
                "shell), or use 'argmax' or 'orbit', which need none."
            )
        if self.needs == "harm" and calibration is not None and calibration.confidence is None:
            raise ValueError(
                f"decision={self.name!r} acts where canonicalization is known to do little harm, and this adapter was "
                "calibrated for coverage alone. Give a bound too: hf_canon.calibrate(model, dataset, harm=0.05)."
            )
