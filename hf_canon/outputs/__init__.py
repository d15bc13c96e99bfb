"""How each output field of a predictor moves with the group.

A row says what happens to a field when the input is carried back from its canonical pose. A field without a row is
refused by name: an answer in the wrong coordinates is worse than none.
"""

from .carrying import Canonicalization, carry_back, moved
from .moves import Move, Rows, boxes, by_shape, invariant, left_out, pixels, plane
from .pictures import CANNOT, CLASSIFICATION, DEPTH, DETECTION, KEYPOINTS, MASKS, SEGMENTATION, ZERO_SHOT

__all__ = [
    "CANNOT",
    "CLASSIFICATION",
    "DEPTH",
    "DETECTION",
    "KEYPOINTS",
    "MASKS",
    "SEGMENTATION",
    "ZERO_SHOT",
    "Canonicalization",
    "Move",
    "Rows",
    "boxes",
    "by_shape",
    "carry_back",
    "invariant",
    "left_out",
    "moved",
    "pixels",
    "plane",
]
