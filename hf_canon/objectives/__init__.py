"""What a canonicalizer is trained for: one loss a file."""

from .adversarial import AdversarialPrior
from .base import Objective
from .contrastive import ContrastiveUniqueness
from .distillation import Distillation
from .known_pose import KnownPose
from .prior import PriorRegularization
from .task import TaskLoss

__all__ = [
    "AdversarialPrior",
    "ContrastiveUniqueness",
    "Distillation",
    "KnownPose",
    "Objective",
    "PriorRegularization",
    "TaskLoss",
]
