"""What checkpoints are for: a class for each task, found from the architecture of the checkpoint."""

from typing import Any

from transformers.models.auto.modeling_auto import (
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
)

from ..adapters.architectures import TASKS, class_for, class_of
from ..configuration_canonicalized import CanonicalizedConfig
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import CANNOT
from .audio import (
    CanonicalizedForAudioClassification,
    CanonicalizedForAudioFeatureExtraction,
    CanonicalizedForAudioFrameClassification,
    CanonicalizedForAudioXVector,
    CanonicalizedForCTC,
    CanonicalizedForZeroShotAudioClassification,
)
from .features import CanonicalizedForBackbone, CanonicalizedForFeatureExtraction
from .generation import CanonicalizedForImageTextToText, CanonicalizedForSpeechSeq2Seq
from .image_to_image import (
    CanonicalizedForImageMatting,
    CanonicalizedForImageToImage,
    CanonicalizedForMaskedImageModeling,
)
from .images import (
    CanonicalizedForDepthEstimation,
    CanonicalizedForImageClassification,
    CanonicalizedForInstanceSegmentation,
    CanonicalizedForKeypointDetection,
    CanonicalizedForObjectDetection,
    CanonicalizedForSemanticSegmentation,
    CanonicalizedForUniversalSegmentation,
    CanonicalizedForZeroShotImageClassification,
)
from .masks import CanonicalizedForMaskGeneration

__all__ = [
    "TASKS",
    "CanonicalizedForAudioClassification",
    "CanonicalizedForAudioFrameClassification",
    "CanonicalizedForAudioXVector",
    "CanonicalizedForBackbone",
    "CanonicalizedForCTC",
    "CanonicalizedForDepthEstimation",
    "CanonicalizedForFeatureExtraction",
    "CanonicalizedForImageClassification",
    "CanonicalizedForImageMatting",
    "CanonicalizedForImageTextToText",
    "CanonicalizedForImageToImage",
    "CanonicalizedForInstanceSegmentation",
    "CanonicalizedForKeypointDetection",
    "CanonicalizedForMaskGeneration",
    "CanonicalizedForMaskedImageModeling",
    "CanonicalizedForObjectDetection",
    "CanonicalizedForSemanticSegmentation",
    "CanonicalizedForSpeechSeq2Seq",
    "CanonicalizedForUniversalSegmentation",
    "CanonicalizedForZeroShotImageClassification",
    "class_for",
    "class_of",
]

CLASSES: tuple[type[CanonicalizedModel], ...] = (
    CanonicalizedForImageClassification,
    CanonicalizedForSemanticSegmentation,
    CanonicalizedForDepthEstimation,
    CanonicalizedForObjectDetection,
    CanonicalizedForInstanceSegmentation,
    CanonicalizedForUniversalSegmentation,
    CanonicalizedForKeypointDetection,
    CanonicalizedForZeroShotImageClassification,
    CanonicalizedForFeatureExtraction,
    CanonicalizedForBackbone,
    CanonicalizedForAudioClassification,
    CanonicalizedForCTC,
    CanonicalizedForAudioFrameClassification,
    CanonicalizedForAudioXVector,
    CanonicalizedForAudioFeatureExtraction,
    CanonicalizedForZeroShotAudioClassification,
    CanonicalizedForMaskGeneration,
    CanonicalizedForImageMatting,
    CanonicalizedForImageToImage,
    CanonicalizedForMaskedImageModeling,
    CanonicalizedForImageTextToText,
    CanonicalizedForSpeechSeq2Seq,
)
"""An architecture that several of them wrap is for the last."""

TASKS |= {
    name: model_class
    for model_class in CLASSES
    for names in model_class.architectures.values()
    for name in ([names] if isinstance(names, str) else names)
    if name not in CANNOT
}

for _model_class in dict.fromkeys(TASKS.values()):
    _model_class.auto_class.register(CanonicalizedConfig, _model_class, exist_ok=True)

# Two pipelines look in copies of these for the name of a model's class, where what is registered above is not found,
# and log at length that it is not supported.
for _task, _mapping in (
    ("object-detection", MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES),
    ("image-segmentation", MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES),
):
    _names: dict[str, Any] = _mapping
    _names[CanonicalizedConfig.model_type] = tuple(
        one.__name__ for one in dict.fromkeys(TASKS.values()) if one.task == _task
    )
