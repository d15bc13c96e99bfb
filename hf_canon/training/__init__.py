"""Training a canonicalizer."""

from .arguments import CanonicalizationArguments
from .data import PictureCollator
from .realignment import Realignment
from .sounds import SoundCollator
from .trainer import CanonicalizationTrainer

__all__ = ["CanonicalizationArguments", "CanonicalizationTrainer", "PictureCollator", "Realignment", "SoundCollator"]
