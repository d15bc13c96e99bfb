"""A rule is chosen for a model, and put together with a posterior and a calibration."""

from dataclasses import dataclass

from torch import Tensor

from ..groups import Group
from .abstain import Abstain
from .argmax import Argmax
from .base import Decision, DecisionRule
from .calibration import Calibration
from .conformal import Conformal, set_size
from .identity import Identity
from .orbit import Orbit
from .ranking import Ranking, rank

RULES: dict[str, DecisionRule] = {rule.name: rule for rule in (Argmax(), Conformal(), Orbit(), Identity(), Abstain())}
"""By the name under which a model is asked for them, and an adapter stores its own."""


def chosen_rule(name: str, calibration: Calibration | None, averages: bool, task: str) -> DecisionRule:
    """The decision rule of that name, for a model.

    Args:
        name: of the rule.
        calibration: of the model, if it has one.
        averages: whether its answers can be averaged.
        task: of the model, as `pipeline` calls it.

    Raises:
        ValueError: there is no such rule, it needs a calibration that the model does not have, or it averages answers
            that cannot be averaged.
    """
    if name not in RULES:
        raise ValueError(f"There is no decision rule {name!r}. Known ones: {', '.join(RULES)}.")
    rule = RULES[name]
    rule.check(calibration)
    if rule.averages and not averages:
        raise ValueError(
            f"decision={name!r} averages answers over poses, and those of a model for {task} cannot be averaged: "
            "boxes, queries and words of different passes have nothing that pairs them. Use 'argmax', or with a "
            "calibration 'identity' or 'abstain'."
        )
    return rule


@dataclass(frozen=True)
class Decided:
    """What a rule decided, and what it knew.

    Args:
        ranking: of the posterior.
        decision: of the rule.
        members: bool `(batch, |G|)`, the conformal set, whatever the rule; None without a calibration.
        size: `(batch,)`, how many elements, or modes, are in it; None likewise.
    """

    ranking: Ranking
    decision: Decision
    members: Tensor | None
    size: Tensor | None


def decide(
    probabilities: Tensor, element: Tensor, group: Group, rule: DecisionRule, calibration: Calibration | None
) -> Decided:
    """Rank a posterior, and let a rule decide.

    Args:
        probabilities: `(batch, |G|)`, the calibrated posterior.
        element: `(batch,)`, the likeliest.
        group: whose posterior it is.
        rule: that decides.
        calibration: of the adapter, if it has one.
    """
    alone = calibration is None and not rule.averages  # then nobody asks for any but the likeliest
    ranking = rank(probabilities, group, element, most=1 if alone else None)
    decision = rule(ranking, group, calibration)
    if calibration is None:
        return Decided(ranking, decision, None, None)
    size = set_size(ranking, calibration)
    return Decided(ranking, decision, ranking.place < size.unsqueeze(1), size)
