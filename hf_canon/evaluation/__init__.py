"""How well a model answers when its inputs are moved, how equivariant it is, and pictures of both."""

from .equivariance import check_equivariance
from .plots import plot_report, plot_robustness, plot_strip
from .report import Cost, Interval, RobustnessReport, Score, TransformResult, TransformSet
from .robustness import evaluate_robustness
from .transforms import Transform

__all__ = [
    "Cost",
    "Interval",
    "RobustnessReport",
    "Score",
    "Transform",
    "TransformResult",
    "TransformSet",
    "check_equivariance",
    "evaluate_robustness",
    "plot_report",
    "plot_robustness",
    "plot_strip",
]
