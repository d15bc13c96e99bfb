"""Every element, weighted by the posterior."""

import torch

from ..groups import Group
from .base import Action, Decision, DecisionRule
from .calibration import Calibration
from .ranking import Ranking


class Orbit(DecisionRule):
    """Ask the predictor about every element, and average its answers with the posterior for weights.

    The costly reference: |G| passes for every input (of a continuous group, one for each mode of the posterior), and
    the limit of `conformal` as alpha goes to 0. Prefer `conformal`, which asks about several where it matters.
    """

    name = "orbit"
    invariant = True
    averages = True

    def __call__(self, ranking: Ranking, group: Group, calibration: Calibration | None) -> Decision:
        element = ranking.element[:, 0]
        passes = (ranking.probability > 0).sum(1).clamp(min=1)
        return Decision(element, passes, torch.where(passes > 1, int(Action.AVERAGED), int(Action.CANONICALIZED)))
