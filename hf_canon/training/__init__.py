"""Training a canonicalizer."""

from ..data.collators import AudioCollator, ImageCollator
from .arguments import CanonicalizationArguments
from .realignment import Realignment
from .trainer import CanonicalizationTrainer

__all__ = ["AudioCollator", "CanonicalizationArguments", "CanonicalizationTrainer", "ImageCollator", "Realignment"]
