"""Prior regularization: the poses that come out should be distributed like those of the training data (2310.01647)."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from .base import Objective, random_pose


class PriorRegularization(Objective):
    """KL(prior || posterior); for images that come upright it is `-log p(identity | x)`.

    Each image is first turned by a random element, and the prior with it: the canonicalizer has to predict that
    element. Where the group is exact this changes nothing, for the canonicalizer is equivariant by construction.
    Where it is not (45 degrees), the identity prior on upright images alone teaches a network to recognise
    pixels that were never resampled, and it fails on everything else.

    Requirements: no labels; images whose poses follow the prior.

    Relations: prefer `Distillation` when the poses of the training images are unknown, and `KnownPose` when each has
    its own and somebody knows it.

    Args:
        prior: "identity" for upright images, or the probability of every element, `group.order` numbers.

    Raises:
        ValueError: the prior is neither, or has another length than the group.

    Example:
        >>> upright_or_upside_down = PriorRegularization([0.9, 0.0, 0.1, 0.0])
    """

    def __init__(self, prior: str | Sequence[float] = "identity"):
        if isinstance(prior, str) and prior != "identity":
            raise ValueError(f"A prior is 'identity' or one probability for each element, and this is {prior!r}.")
        self.histogram = None if isinstance(prior, str) else torch.tensor(list(prior), dtype=torch.float32)
        if self.histogram is not None and (
            self.histogram.min() < 0 or not 0.999 < float(self.histogram.sum()) < 1.001
        ):
            raise ValueError(f"A prior holds probabilities that add up to 1, and these are {list(prior)}.")

    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        transformed, element, offset, lengths = random_pose(model, x, lengths)
        if self.histogram is None:
            return model.canonicalizer.pose_loss(transformed, element, offset, lengths)
        target = transformed_prior(model, self.histogram.to(transformed.device), element)
        return F.cross_entropy(model.canonicalizer(transformed, lengths), target)


def transformed_prior(model: CanonicalizedModel, prior: Tensor, element: Tensor) -> Tensor:
    """The prior of inputs that were transformed by `element`: `q(g^-1 h)` for every h, `(batch, |G|)`.

    Args:
        prior: `(|G|,)`, or `(batch, |G|)` when every input has its own.
    """
    group = model.group
    if not group.finite or prior.shape[-1] != group.order:
        raise ValueError(
            f"This prior has {prior.shape[-1]} probabilities, and {group.name} has {group.order or 'infinitely many'} "
            "elements. Give one for each element, or prior='identity'."
        )
    before = group.compose(group.inverse(element)[:, None], group.elements.to(element.device)[None])
    return prior.expand(len(element), -1).gather(1, before)
