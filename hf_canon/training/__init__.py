"""Training a canonicalizer."""

from ..data.collators import PictureCollator, SoundCollator
from .arguments import CanonicalizationArguments
from .realignment import Realignment
from .trainer import CanonicalizationTrainer

__all__ = ["CanonicalizationArguments", "CanonicalizationTrainer", "PictureCollator", "Realignment", "SoundCollator"]
