"""Distillation: learn, in one cheap pass, which pose the frozen checkpoint itself likes best."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..canonicalizers import PredictorCanonicalizer
from ..modeling_canonicalized import CanonicalizedModel
from .base import Objective, random_pose
from .prior import transformed_prior


class Distillation(Objective):
    """KL between the predictor's own scores over the orbit, as soft targets, and the posterior.

    It is prior regularization with the predictor as the prior, p(g | x) = softmax over g of score(g^-1 x) /
    temperature: it aligns the canonical form with what the predictor answers well, and does not assume that the
    images come upright.

    Requirements: a finite group; no labels; |G| passes of the predictor for every training image.

    Relations: prefer `PriorRegularization` for images that come upright: it is exact there, and much cheaper; and
    `training.Realignment` for a data set that is not a stream: it asks the predictor once, and then what was learned.

    Args:
        temperature: of the predictor's scores; lower is nearer to its first choice.
    """

    def __init__(self, temperature: float = 0.1):
        self.temperature = temperature

    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        target = (predictor_scores(model, x, lengths) / self.temperature).softmax(-1)
        # The teacher looks at the input as it came; what it said is then transformed with it.
        transformed, element, _, lengths = random_pose(model, x, lengths)
        return F.cross_entropy(model.canonicalizer(transformed, lengths), transformed_prior(model, target, element))


def predictor_scores(model: CanonicalizedModel, x: Tensor, lengths: Tensor | None = None) -> Tensor:
    """How sure the predictor is of each input with each element undone, `(batch, |G|)`; |G| forward passes.

    Raises:
        ValueError: the group is continuous, or the predictor names no classes.
    """
    teacher = PredictorCanonicalizer(model.group)
    teacher.attach(model.predictor, model.arguments)
    with torch.no_grad():
        return teacher(x, lengths)
