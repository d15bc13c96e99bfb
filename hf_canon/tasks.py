"""What checkpoints are for: a class for each task, with its auto class, its outputs and its labels."""

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

from .configuration_canonicalized import CanonicalizedConfig
from .modeling_canonicalized import CanonicalizedModel
from .outputs import CANNOT, CLASSIFICATION, DEPTH, DETECTION, KEYPOINTS, MASKS, SEGMENTATION, ZERO_SHOT


class CanonicalizedForImageClassification(CanonicalizedModel):
    """An image classifier behind a canonicalizer: the class does not move with the picture."""

    task = "image-classification"
    auto_class = AutoModelForImageClassification
    rows = CLASSIFICATION


class CanonicalizedWithMaps(CanonicalizedModel):
    """What learns from maps `(batch, height, width)`, which move with the picture."""

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


class CanonicalizedForDepthEstimation(CanonicalizedWithMaps):
    """A depth estimator behind a canonicalizer: its maps move with the picture."""

    task = "depth-estimation"
    auto_class = AutoModelForDepthEstimation
    rows = DEPTH


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


TASKS: dict[str, type[CanonicalizedModel]] = {
    name: model_class
    for model_class, mapping in (
        (CanonicalizedForImageClassification, MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES),
        (CanonicalizedForSemanticSegmentation, MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES),
        (CanonicalizedForDepthEstimation, MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES),
        (CanonicalizedForObjectDetection, MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES),
        (CanonicalizedForInstanceSegmentation, MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES),
        (CanonicalizedForUniversalSegmentation, MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES),
        (CanonicalizedForKeypointDetection, MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES),
        (CanonicalizedForZeroShotImageClassification, MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES),
    )
    for names in mapping.values()
    for name in ([names] if isinstance(names, str) else names)
    if name not in CANNOT
}
"""The class for each architecture of transformers."""


def class_for(architectures: list[str] | None, what: str) -> type[CanonicalizedModel]:
    """The class for a checkpoint's task, found from the architecture that it was saved as."""
    for name in architectures or []:
        if name in TASKS:
            return TASKS[name]
        if name in CANNOT:
            raise ValueError(f"{what} is a {name}, which cannot be wrapped: {CANNOT[name]}")
    raise ValueError(
        f"{what} is a {', '.join(architectures or ['checkpoint that names no architecture'])}, and hf_canon wraps "
        "image classifiers, segmenters, depth estimators, detectors of objects and keypoints, and models of pictures "
        "and words (ViTForImageClassification, CLIPModel and the like). Give it one of those."
    )


def class_of(config: CanonicalizedConfig, where: str) -> type[CanonicalizedModel]:
    return class_for(getattr(config.base_config, "architectures", None), where)


for _model_class in dict.fromkeys(TASKS.values()):
    _model_class.auto_class.register(CanonicalizedConfig, _model_class, exist_ok=True)
