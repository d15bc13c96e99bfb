"""What checkpoints are for: a class for each task, found from the architecture of the checkpoint."""

from ..configuration_canonicalized import CanonicalizedConfig
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import CANNOT
from . import pictures
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

__all__ = [
    "TASKS",
    "CanonicalizedForDepthEstimation",
    "CanonicalizedForImageClassification",
    "CanonicalizedForInstanceSegmentation",
    "CanonicalizedForKeypointDetection",
    "CanonicalizedForObjectDetection",
    "CanonicalizedForSemanticSegmentation",
    "CanonicalizedForUniversalSegmentation",
    "CanonicalizedForZeroShotImageClassification",
    "class_for",
    "class_of",
]

TASKS: dict[str, type[CanonicalizedModel]] = {
    name: model_class
    for module in (pictures,)
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
    raise ValueError(
        f"{what} is a {', '.join(architectures or ['checkpoint that names no architecture'])}, and hf_canon wraps "
        "image classifiers, segmenters, depth estimators, detectors of objects and keypoints, and models of pictures "
        "and words (ViTForImageClassification, CLIPModel and the like). Give it one of those."
    )


def class_of(config: CanonicalizedConfig, where: str) -> type[CanonicalizedModel]:
    return class_for(getattr(config.base_config, "architectures", None), where)


for _model_class in dict.fromkeys(TASKS.values()):
    _model_class.auto_class.register(CanonicalizedConfig, _model_class, exist_ok=True)
