"""Prior regularization where every training input has its own pose, and somebody knows it."""

from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from .base import Objective, random_pose


class KnownPose(Objective):
    """`-log p(g | x)` for inputs to which `g` has happened: each has a delta at its own element as prior (2310.01647).

    Each input is transformed by a random element h, and the canonicalizer has to predict "g, and then h". That is what
    it would learn from the input with g undone, without the resampling of undoing it.

    Requirements: one element for each input of the batch; no labels.

    Relations: `PriorRegularization` with the identity prior is this one with the identity for every input; prefer it
    for inputs that come upright. `training.Realignment` estimates elements that nobody knows.

    Args:
        pose: `(batch,)`, indices for a finite group and parameters for a continuous one.

    Example:
        >>> import torch
        >>> one_upright_and_one_turned = KnownPose(torch.tensor([0, 1]))
    """

    def __init__(self, pose: Tensor):
        self.pose = pose

    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        if len(self.pose) != len(x):
            raise ValueError(
                f"This batch has {len(x)} inputs and {len(self.pose)} poses: a pose belongs to one example of the "
                "data set. Give a data_collator that makes one input of each example, in their order."
            )
        transformed, element, offset, lengths = random_pose(model, x, lengths)
        both = model.group.compose(element, self.pose.to(x.device))
        return model.canonicalizer.pose_loss(transformed, both, offset, lengths)
