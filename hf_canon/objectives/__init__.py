"""What a canonicalizer is trained for: one loss a file."""

from .base import Objective
from .contrastive import ContrastiveUniqueness
from .distillation import Distillation
from .prior import PriorRegularization
from .task import TaskLoss

__all__ = ["ContrastiveUniqueness", "Distillation", "Objective", "PriorRegularization", "TaskLoss"]
