"""How each output field of a predictor transforms with the group.

A row says what happens to a field when the input is carried back from its canonical pose. A field without a row is
refused by name: an answer in the wrong coordinates is worse than none.
"""

from . import audio, image_to_image, images, text
from .audio import AUDIO_CLASSIFICATION, AUDIO_FEATURES, AUDIO_FRAMES, CTC, XVECTOR, ZERO_SHOT_AUDIO, frames
from .averaging import Members, averaged, further_members, scale_of
from .image_to_image import MATTING, RECONSTRUCTION
from .images import BACKBONE, CLASSIFICATION, DEPTH, DETECTION, FEATURES, KEYPOINTS, MASKS, SEGMENTATION, ZERO_SHOT
from .inputs import Inputs, require_finite
from .labels import LABELS
from .masks import MASK_GENERATION
from .prompts import PLACED, UNPLACED, canonical_prompts
from .rules import Move, Rows, boxes, by_shape, invariant, left_out, pixels, plane
from .text import TEXT
from .tokens import attention, features
from .transport import Canonicalization, carry_back, with_canonicalization

__all__ = [
    "AUDIO_CLASSIFICATION",
    "AUDIO_FEATURES",
    "AUDIO_FRAMES",
    "BACKBONE",
    "CANNOT",
    "CLASSIFICATION",
    "CTC",
    "DEPTH",
    "DETECTION",
    "FEATURES",
    "KEYPOINTS",
    "LABELS",
    "MASKS",
    "MASK_GENERATION",
    "MATTING",
    "PLACED",
    "RECONSTRUCTION",
    "SEGMENTATION",
    "TEXT",
    "UNPLACED",
    "XVECTOR",
    "ZERO_SHOT",
    "ZERO_SHOT_AUDIO",
    "Canonicalization",
    "Inputs",
    "Members",
    "Move",
    "Rows",
    "attention",
    "averaged",
    "boxes",
    "by_shape",
    "canonical_prompts",
    "carry_back",
    "features",
    "frames",
    "further_members",
    "invariant",
    "left_out",
    "pixels",
    "plane",
    "require_finite",
    "scale_of",
    "with_canonicalization",
]

CANNOT: dict[str, str] = {**images.CANNOT, **text.CANNOT, **image_to_image.CANNOT, **audio.CANNOT}
"""Architectures that cannot be wrapped, and why."""
