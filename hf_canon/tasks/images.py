"""Predictors that read images: for each task its auto class, how its outputs and labels move, and its score."""

from dataclasses import replace
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

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import CLASSIFICATION, DEPTH, DETECTION, KEYPOINTS, MASKS, SEGMENTATION, ZERO_SHOT, Inputs


class CanonicalizedForImageClassification(CanonicalizedModel):
    """An image classifier behind a canonicalizer: the class does not transform with the image."""

    task = "image-classification"
    auto_class = AutoModelForImageClassification
    architectures = MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES
    rows = CLASSIFICATION
    averages = ("logits", "cls_logits", "distillation_logits")
    metric = "accuracy"


class CanonicalizedForSemanticSegmentation(CanonicalizedModel):
    """A semantic segmenter behind a canonicalizer: its maps transform with the image."""

    task = "image-segmentation"
    auto_class = AutoModelForSemanticSegmentation
    architectures = MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES
    rows = SEGMENTATION
    labels = "maps"
    averages = ("logits",)
    metric = "mean_iou"


class CanonicalizedForDepthEstimation(CanonicalizedModel):
    """A depth estimator behind a canonicalizer: its maps transform with the image."""

    task = "depth-estimation"
    auto_class = AutoModelForDepthEstimation
    architectures = MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES
    rows = DEPTH
    labels = "maps"
    averages = ("predicted_depth",)
    metric = "depth"


class CanonicalizedForObjectDetection(CanonicalizedModel):
    """A detector behind a canonicalizer: its boxes transform with the image."""

    task = "object-detection"
    auto_class = AutoModelForObjectDetection
    architectures = MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES
    rows = DETECTION
    labels = "boxes"
    metric = "boxes"


class CanonicalizedForUniversalSegmentation(CanonicalizedModel):
    """A universal segmenter behind a canonicalizer: its masks transform with the image."""

    task = "image-segmentation"
    auto_class = AutoModelForUniversalSegmentation
    architectures = MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES
    rows = MASKS
    labels = "boxes"
    metric = "query_mean_iou"


class CanonicalizedForInstanceSegmentation(CanonicalizedModel):
    """A segmenter of instances behind a canonicalizer: its masks and boxes transform with the image."""

    task = "image-segmentation"
    auto_class = AutoModelForInstanceSegmentation
    architectures = MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES
    rows = MASKS
    labels = "boxes"
    metric = "query_mean_iou"


class CanonicalizedForKeypointDetection(CanonicalizedModel):
    """A detector of keypoints behind a canonicalizer: the points transform with the image."""

    task = "keypoint-detection"
    auto_class = AutoModelForKeypointDetection
    architectures = MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES
    rows = KEYPOINTS
    metric = "keypoints"


class CanonicalizedForZeroShotImageClassification(CanonicalizedModel):
    """A model of images and words behind a canonicalizer: what is in an image does not transform with it."""

    task = "zero-shot-image-classification"
    auto_class = AutoModelForZeroShotImageClassification
    architectures = MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES
    rows = ZERO_SHOT
    averages = ("logits_per_image",)

    def some_of(self, inputs: Inputs, item: Tensor) -> Inputs:
        """With all arguments: the words are those of every image. A loss pairs the two, and is that of the first
        pass."""
        if inputs.others.get("use_image_text_matching_head"):
            raise ValueError(
                "The matching head pairs each image with a text of its own, and its answers are not averaged over "
                "poses. Use decision='argmax', or use_image_text_matching_head=False."
            )
        others = {name: value for name, value in inputs.others.items() if name != "return_loss"}
        return replace(Inputs(inputs.x, crop=inputs.crop)[item], others=others)

    def _average(self, answer: ModelOutput, *args: Any) -> None:
        super()._average(answer, *args)
        answer["logits_per_text"] = answer["logits_per_image"].t()
