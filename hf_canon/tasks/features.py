"""Encoders of images: features of places, and of the image as a whole."""

from typing import Any

from transformers import AutoBackbone, AutoModel
from transformers.models.auto.auto_factory import _BaseAutoModelClass
from transformers.models.auto.modeling_auto import MODEL_FOR_BACKBONE_MAPPING_NAMES, MODEL_FOR_IMAGE_MAPPING_NAMES

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import BACKBONE, FEATURES

ENCODERS: dict[str, Any] = {
    **MODEL_FOR_IMAGE_MAPPING_NAMES,
    # What AutoModel makes of other checkpoints for images, and transformers does not list among those.
    "chinese_clip_vision_model": "ChineseCLIPVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "cvt": "CvtModel",
    "donut-swin": "DonutSwinModel",
    "pvt_v2": "PvtV2Model",
    "sapiens2": "Sapiens2Model",
    "siglip2_vision_model": "Siglip2VisionModel",
    "textnet": "TextNetModel",
}
"""Encoders of images, by the type of the model."""


class CanonicalizedForFeatureExtraction(CanonicalizedModel):
    """An image encoder behind a canonicalizer: tokens and maps transform with the image, pooled features do not."""

    task = "image-feature-extraction"
    auto_class = AutoModel
    architectures = ENCODERS
    rows = FEATURES
    averages = ("pooler_output", "last_hidden_state")


class AutoBackboneFromAnywhere(_BaseAutoModelClass):
    """`AutoBackbone` asks the Hub before it reads, and takes whatever is not there (a folder, too) for timm's."""

    _model_mapping = AutoBackbone._model_mapping  # type: ignore[assignment]  # transformers says None


class CanonicalizedForBackbone(CanonicalizedModel):
    """A backbone behind a canonicalizer: its feature maps `(batch, channels, height, width)` transform with the
    image."""

    task = "image-feature-extraction"
    auto_class = AutoBackboneFromAnywhere
    architectures = MODEL_FOR_BACKBONE_MAPPING_NAMES
    rows = BACKBONE
