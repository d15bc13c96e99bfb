"""From a posterior over the group to a decision: about which elements is the predictor asked? One rule a file."""

from .abstain import Abstain
from .argmax import Argmax
from .base import Action, Decision, DecisionRule
from .calibration import Calibration
from .conformal import Conformal, set_size
from .deciding import RULES, Decided, chosen_rule, decide
from .identity import Identity
from .orbit import Orbit
from .ranking import Ranking, rank

__all__ = [
    "RULES",
    "Abstain",
    "Action",
    "Argmax",
    "Calibration",
    "Conformal",
    "Decided",
    "Decision",
    "DecisionRule",
    "Identity",
    "Orbit",
    "Ranking",
    "chosen_rule",
    "decide",
    "rank",
    "set_size",
]
