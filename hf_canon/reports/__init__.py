"""What was found: records, their tables, their drawings and their page. No model is needed to read them."""

from .audit import Advice, AuditedElement, AuditedGroup, AuditReport, LabelChange
from .diagnosis import Diagnosis
from .distribution_shift import Distance, ShiftReport, Side
from .interval import Interval
from .plots import plot_robustness, plot_shift
from .robustness import Cost, RobustnessReport, Score, TransformResult, TransformSet

__all__ = [
    "Advice",
    "AuditReport",
    "AuditedElement",
    "AuditedGroup",
    "Cost",
    "Diagnosis",
    "Distance",
    "Interval",
    "LabelChange",
    "RobustnessReport",
    "Score",
    "ShiftReport",
    "Side",
    "TransformResult",
    "TransformSet",
    "plot_robustness",
    "plot_shift",
]
