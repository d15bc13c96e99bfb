"""A rule is chosen for a model, and put together with a posterior and a calibration."""

from torch import Tensor

from ..groups import Group
from .abstain import Abstain
from .argmax import Argmax
from .base import Decision, DecisionRule
from .calibration import Calibration
from .conformal import Conformal, set_size
from .identity import Identity
from .orbit import Orbit
from .ranking import rank

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


def decide(
    probabilities: Tensor, element: Tensor, group: Group, rule: DecisionRule, calibration: Calibration | None
) -> tuple[Decision, Tensor | None, Tensor | None]:
    """What a rule decides, and the conformal set, which is known whatever the rule if the adapter was calibrated.

    Args:
        probabilities: `(batch, |G|)`, the calibrated posterior.
        element: `(batch,)`, the likeliest.
        group: whose posterior it is.
        rule: that decides.
        calibration: of the adapter, if it has one.

    Returns:
        The decision; the set, bool `(batch, |G|)`; and how many elements, or modes, are in it, `(batch,)`.
    """
    ranking = rank(probabilities, group, element)
    decision = rule(ranking, group, calibration)
    if calibration is None:
        return decision, None, None
    size = set_size(ranking, calibration)
    return decision, ranking.place < size.unsqueeze(1), size
