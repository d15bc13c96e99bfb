"""The likeliest element, with a flag where the canonicalizer is unsure."""

import torch

from ..groups import Group
from .base import Action, Decision, DecisionRule
from .calibration import Calibration
from .ranking import Ranking


class Abstain(DecisionRule):
    """Answer as `argmax` does, and say so where the canonicalizer is not surer than the threshold that keeps the bound
    on the harm: `out.canonicalization.abstained`.

    On upright inputs like those of the calibration, the probability that a right answer becomes a wrong one *and* is
    not flagged is at most the bound. Where the group is exact, a transformed input has the same flag and the same
    answer."""

    name = "abstain"
    invariant = True
    needs = "harm"

    def __call__(self, ranking: Ranking, group: Group, calibration: Calibration | None) -> Decision:
        assert calibration is not None and calibration.confidence is not None
        sure = ranking.confidence > calibration.confidence
        action = torch.where(sure, int(Action.CANONICALIZED), int(Action.ABSTAINED))
        return Decision(ranking.element[:, 0], torch.ones_like(action), action)
