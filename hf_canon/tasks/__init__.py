"""What checkpoints are for: a class for each task, found from the architecture of the checkpoint."""

from typing import Any

import transformers
from transformers import AutoModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
    MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES,
)

from ..configuration_canonicalized import CanonicalizedConfig
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import CANNOT
from . import features, generation, masks, pictures, sound, to_pictures
from .features import CanonicalizedForBackbone, CanonicalizedForFeatureExtraction
from .generation import CanonicalizedForImageTextToText, CanonicalizedForSpeechSeq2Seq
from .masks import CanonicalizedForMaskGeneration
from .pictures import (
    CanonicalizedForDepthEstimation,
    CanonicalizedForImageClassification,
    CanonicalizedForInstanceSegmentation,
    CanonicalizedForKeypointDetection,
    CanonicalizedForObjectDetection,
    CanonicalizedForSemanticSegmentation,
    CanonicalizedForUniversalSegmentation,
    CanonicalizedForZeroShotImageClassification,
)
from .sound import (
    CanonicalizedForAudioClassification,
    CanonicalizedForAudioFrameClassification,
    CanonicalizedForAudioXVector,
    CanonicalizedForCTC,
)
from .to_pictures import (
    CanonicalizedForImageMatting,
    CanonicalizedForImageToImage,
    CanonicalizedForMaskedImageModeling,
)

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

TASKS: dict[str, type[CanonicalizedModel]] = {
    name: model_class
    for module in (pictures, features, sound, masks, to_pictures, generation)
    for model_class, mapping in module.MAPPINGS
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
        # What somebody has registered with AutoModel as well is asked for its answers first.
        for model_class in sorted(dict.fromkeys(TASKS.values()), key=lambda one: one.auto_class is AutoModel):
            if name in registered(model_class.auto_class):
                return model_class
    raise ValueError(
        f"{what} is a {', '.join(architectures or ['checkpoint that names no architecture'])}{reads(architectures)}; "
        "hf_canon wraps what looks at pictures or listens to sound, such as ViTForImageClassification, "
        "SegformerForSemanticSegmentation, CLIPModel or Wav2Vec2ForCTC. Give it one of those."
    )


def reads(architectures: list[str] | None) -> str:
    """What a checkpoint that is not wrapped reads, in words, where that is why."""
    for name in architectures or []:
        if name in MODEL_FOR_VIDEO_CLASSIFICATION_MAPPING_NAMES.values():
            return ", which reads films"
        try:
            main = getattr(transformers, name).main_input_name
        except (AttributeError, ImportError):
            continue
        if main == "input_ids":
            return ", which reads text (input_ids)"
    return ""


def registered(auto_class: Any) -> set[str]:
    """The architectures that users have registered with an auto class: `AutoModelFor....register(Config, Model)`."""
    added = auto_class._model_mapping._extra_content.values()
    classes = [one for entry in added for one in (entry if isinstance(entry, tuple) else (entry,))]
    return {one.__name__ for one in classes if not issubclass(one, CanonicalizedModel)}


def class_of(config: CanonicalizedConfig, where: str) -> type[CanonicalizedModel]:
    return class_for(getattr(config.base_config, "architectures", None), where)


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
