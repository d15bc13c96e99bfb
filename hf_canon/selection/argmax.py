"""The likeliest element, whatever its probability."""

import torch

from ..groups import Group
from .base import Action, Decision, DecisionRule
from .calibration import Calibration
from .ranking import Ranking


class Argmax(DecisionRule):
    """Undo the likeliest element: one pass of the predictor for every input. The default.

    Prefer `conformal` where an answer is worth more than a pass, and `abstain` where a person can look.
    """

    name = "argmax"
    invariant = True

    def __call__(self, ranking: Ranking, group: Group, calibration: Calibration | None) -> Decision:
        element = ranking.element[:, 0]
        one = torch.ones(len(element), dtype=torch.long, device=element.device)
        return Decision(element, one, one * int(Action.CANONICALIZED))
