"""Predictors that look at pictures: a class for each task, with its auto class, its outputs and its labels."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import (
    AutoModelForDepthEstimation,
    AutoModelForImageClassification,
    AutoModelForInstanceSegmentation,
    AutoModelForKeypointDetection,
    AutoModelForObjectDetection,
    AutoModelForSemanticSegmentation,
    AutoModelForUniversalSegmentation,
    AutoModelForZeroShotImageClassification,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES,
    MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES,
    MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
    MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
)
from transformers.utils import ModelOutput

from ..groups.planar import centre
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import CLASSIFICATION, DEPTH, DETECTION, KEYPOINTS, MASKS, SEGMENTATION, ZERO_SHOT


class CanonicalizedForImageClassification(CanonicalizedModel):
    """An image classifier behind a canonicalizer: the class does not move with the picture."""

    task = "image-classification"
    auto_class = AutoModelForImageClassification
    rows = CLASSIFICATION
    averages = ("logits", "cls_logits", "distillation_logits")


class CanonicalizedWithMaps(CanonicalizedModel):
    """What learns from maps `(batch, height, width)`, which move with the picture."""

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        *,
        crop: int | tuple[int, int] | None = None,
        **kwargs: Any,
    ) -> ModelOutput:
        """As `CanonicalizedModel.forward`; with a margin, maps of the whole picture do as well as those of its centre.

        Raises:
            ValueError: as there.
        """
        labels = labels if crop is None or labels is None else centre(labels, crop)
        return super().forward(pixel_values, labels, crop=crop, **kwargs)

    def canonical_labels(self, labels: Any, undo: Tensor) -> Any:
        turned = self.group.planar_part(undo)
        if turned is None:
            return labels
        group, undo = turned
        return group.act(labels.unsqueeze(1), undo, interpolation="nearest").squeeze(1)


class CanonicalizedForSemanticSegmentation(CanonicalizedWithMaps):
    """A semantic segmenter behind a canonicalizer: its maps move with the picture."""

    task = "image-segmentation"
    auto_class = AutoModelForSemanticSegmentation
    rows = SEGMENTATION
    averages = ("logits",)


class CanonicalizedForDepthEstimation(CanonicalizedWithMaps):
    """A depth estimator behind a canonicalizer: its maps move with the picture."""

    task = "depth-estimation"
    auto_class = AutoModelForDepthEstimation
    rows = DEPTH
    averages = ("predicted_depth",)


class CanonicalizedWithBoxes(CanonicalizedModel):
    """What detectors and segmenters of instances learn from: boxes, and perhaps masks, that move with the picture."""

    def canonical_labels(self, labels: Any, undo: Tensor) -> Any:
        turned = self.group.planar_part(undo)
        if turned is None:
            return labels
        group, undo = turned
        moved = []
        for one, element in zip(labels, undo.unsqueeze(1), strict=True):
            one = dict(one) | {"boxes": group.act_boxes(one["boxes"].unsqueeze(0), element).squeeze(0)}
            if "masks" in one:
                one["masks"] = group.act(one["masks"].unsqueeze(0), element, interpolation="nearest").squeeze(0)
            moved.append(one)
        return moved


class CanonicalizedForObjectDetection(CanonicalizedWithBoxes):
    """A detector behind a canonicalizer: its boxes move with the picture."""

    task = "object-detection"
    auto_class = AutoModelForObjectDetection
    rows = DETECTION


class CanonicalizedForUniversalSegmentation(CanonicalizedWithBoxes):
    """A universal segmenter behind a canonicalizer: its masks move with the picture."""

    task = "image-segmentation"
    auto_class = AutoModelForUniversalSegmentation
    rows = MASKS


class CanonicalizedForInstanceSegmentation(CanonicalizedWithBoxes):
    """A segmenter of instances behind a canonicalizer: its masks and boxes move with the picture."""

    task = "image-segmentation"
    auto_class = AutoModelForInstanceSegmentation
    rows = MASKS


class CanonicalizedForKeypointDetection(CanonicalizedModel):
    """A detector of keypoints behind a canonicalizer: the points move with the picture."""

    task = "keypoint-detection"
    auto_class = AutoModelForKeypointDetection
    rows = KEYPOINTS


class CanonicalizedForZeroShotImageClassification(CanonicalizedModel):
    """A model of pictures and words behind a canonicalizer: what is in a picture does not move with it."""

    task = "zero-shot-image-classification"
    auto_class = AutoModelForZeroShotImageClassification
    rows = ZERO_SHOT
    averages = ("logits_per_image",)

    def arguments_of(self, arguments: dict[str, Any], item: Tensor, batch: int) -> dict[str, Any]:
        """All of them: the words are those of every picture. A loss pairs the two, and is that of the first pass."""
        if arguments.get("use_image_text_matching_head"):
            raise ValueError(
                "The matching head pairs each picture with a text of its own, and its answers are not averaged over "
                "poses. Use decision='argmax', or use_image_text_matching_head=False."
            )
        return {name: value for name, value in arguments.items() if name != "return_loss"}

    def _average(self, answer: ModelOutput, *args: Any) -> None:
        super()._average(answer, *args)
        answer["logits_per_text"] = answer["logits_per_image"].t()


MAPPINGS: list[tuple[type[CanonicalizedModel], Mapping[str, Any]]] = [
    (CanonicalizedForImageClassification, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
    (CanonicalizedForSemanticSegmentation, MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES),
    (CanonicalizedForDepthEstimation, MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES),
    (CanonicalizedForObjectDetection, MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES),
    (CanonicalizedForInstanceSegmentation, MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES),
    (CanonicalizedForUniversalSegmentation, MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES),
    (CanonicalizedForKeypointDetection, MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES),
    (CanonicalizedForZeroShotImageClassification, MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES),
]
"""Each class, and the names of transformers' architectures that it wraps."""
