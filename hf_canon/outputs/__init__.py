"""How each output field of a predictor moves with the group.

A row says what happens to a field when the input is carried back from its canonical pose. A field without a row is
refused by name: an answer in the wrong coordinates is worse than none.
"""

from . import pictures, sound, text, to_pictures
from .averaging import Members, averaged, scale_of
from .carrying import Canonicalization, carry_back, moved
from .masks import MASK_GENERATION
from .moves import Move, Rows, boxes, by_shape, invariant, left_out, pixels, plane
from .pictures import BACKBONE, CLASSIFICATION, DEPTH, DETECTION, FEATURES, KEYPOINTS, MASKS, SEGMENTATION, ZERO_SHOT
from .placed import PLACED, UNPLACED
from .sound import (
    AUDIO_CLASSIFICATION,
    AUDIO_FEATURES,
    AUDIO_FRAMES,
    CTC,
    XVECTOR,
    ZERO_SHOT_AUDIO,
    frames,
)
from .text import TEXT
from .to_pictures import MATTING, RECONSTRUCTION
from .tokens import attention, features

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
    "Members",
    "Move",
    "Rows",
    "attention",
    "averaged",
    "boxes",
    "by_shape",
    "carry_back",
    "features",
    "frames",
    "invariant",
    "left_out",
    "moved",
    "pixels",
    "plane",
    "scale_of",
]

CANNOT: dict[str, str] = {**pictures.CANNOT, **text.CANNOT, **to_pictures.CANNOT, **sound.CANNOT}
"""Architectures that cannot be wrapped, and why."""
