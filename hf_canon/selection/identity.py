"""The input as it came, where the canonicalizer is unsure."""

import torch

from ..groups import Group
from .base import Action, Decision, DecisionRule
from .calibration import Calibration
from .ranking import Ranking


class Identity(DecisionRule):
    """Leave an input alone unless the canonicalizer is surer than the threshold that keeps the bound on the harm.

    On upright inputs like those of the calibration, the probability that a right answer becomes a wrong one is at
    most the bound. The price is invariance: an unsure input gets the untouched checkpoint's answer, which changes as
    the input turns. No rule can have both, as an invariant one cannot know that an input came upright.

    Prefer `conformal` where inputs come in any pose, and `abstain` where somebody can look at what is unsure.
    """

    name = "identity"
    invariant = False
    needs = "harm"

    def __call__(self, ranking: Ranking, group: Group, calibration: Calibration | None) -> Decision:
        assert calibration is not None and calibration.confidence is not None
        sure = ranking.confidence > calibration.confidence
        found = ranking.element[:, 0]
        element = torch.where(sure, found, torch.full_like(found, group.identity))
        return Decision(
            element,
            torch.ones_like(sure, dtype=torch.long),
            torch.where(sure, int(Action.CANONICALIZED), int(Action.LEFT_ALONE)),
        )
