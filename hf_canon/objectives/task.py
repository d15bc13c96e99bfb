"""The task loss, through a straight-through choice over the transformed pictures (2310.01647)."""

from typing import TYPE_CHECKING

from torch import Tensor

from .base import Objective, random_pose

if TYPE_CHECKING:
    from ..modeling_canonicalized import CanonicalizedModel


class TaskLoss(Objective):
    """The predictor's own loss on the canonical picture, its gradient reaching the canonicalizer.

    Requirements: labels; memory for the whole orbit of the batch.

    Relations: alone it leaves the canonical pose free and drifts from what the predictor knows; add it to
    `PriorRegularization`.
    """

    needs_labels = True

    def __call__(
        self,
        model: "CanonicalizedModel",
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        if labels is None:
            raise ValueError(
                "The task loss needs labels, and the batch has none. Add a label column, or set task_weight=0."
            )
        if model.task not in ("image-classification", "audio-classification"):
            raise ValueError(
                f"The task loss moves inputs at random, and the labels of a model for {model.task} would have to "
                "move with them. Leave task_weight=0: the canonicalizer learns without labels."
            )
        moved, _, _, lengths = random_pose(model, x, lengths)
        loss: Tensor = model(**model.arguments(moved, lengths), labels=labels).loss
        return loss
