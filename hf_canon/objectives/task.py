"""The task loss, through a straight-through choice over the transformed images (2310.01647)."""

from inspect import signature
from typing import Any

from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from .base import Objective, random_pose

UNLABELLED = ("keypoint-detection", "zero-shot-image-classification")
"""Tasks whose checkpoints are not trained with labels of one input."""


class TaskLoss(Objective):
    """The predictor's own loss on the canonical image, its gradient reaching the canonicalizer.

    Requirements: labels; memory for the whole orbit of the batch. Maps and boxes turn with the image, which takes an
    exact group.

    Relations: alone it leaves the canonical pose free and drifts from what the predictor knows; add it to
    `PriorRegularization`.
    """

    needs_labels = True

    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Any = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        if labels is None:
            raise ValueError(
                "The task loss needs labels, and the batch has none. Add a label column, or set task_weight=0."
            )
        if model.task in UNLABELLED or "labels" not in signature(model.predictor.forward).parameters:
            raise ValueError(
                f"{type(model.predictor).__name__} learns from no labels that could transform with its input. Leave "
                "task_weight=0: the canonicalizer learns without labels."
            )
        transformed, element, _, lengths = random_pose(model, x, lengths)
        labels = self.transformed_labels(model, labels, element)
        loss: Tensor = model(**model.arguments(transformed, lengths), labels=labels).loss
        return loss

    def transformed_labels(self, model: CanonicalizedModel, labels: Any, element: Tensor) -> Any:
        """The labels of inputs to which an element has happened; those of classes stay.

        Raises:
            ValueError: they have places in the image, which was turned by more than the element.
        """
        here = model.canonical_labels(labels, element)
        planar = model.group.planar
        if model.labels is not None and planar is not None and not planar.is_exact:
            raise ValueError(
                f"{planar.name} turns training images by angles between its elements too, where labels of places "
                "cannot follow. Use 'c4' or 'd4', or leave task_weight=0: the canonicalizer learns without labels."
            )
        return here
