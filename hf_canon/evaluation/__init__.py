"""How well a model answers when its inputs are transformed, how equivariant it is, how far inputs are
from those that it knows, and plots of all that."""

from ..reports.audit import Advice, AuditedElement, AuditedGroup, AuditReport, LabelChange
from ..reports.diagnosis import Diagnosis
from ..reports.distribution_shift import Distance, ShiftReport, Side
from ..reports.page import require_report_folder, write_page
from ..reports.plots import plot_robustness, plot_shift
from ..reports.robustness import Cost, Interval, RobustnessReport, Score, TransformResult, TransformSet
from .auditing.audit import audit
from .distribution.comparison import distribution_shift
from .equivariance import check_equivariance
from .robustness import evaluate_robustness
from .statistics import bootstrap
from .strips import plot_report, plot_strip
from .transforms import Rotation, Transform, transformed_by

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
    "Rotation",
    "Score",
    "ShiftReport",
    "Side",
    "Transform",
    "TransformResult",
    "TransformSet",
    "audit",
    "bootstrap",
    "check_equivariance",
    "distribution_shift",
    "evaluate_robustness",
    "plot_report",
    "plot_robustness",
    "plot_shift",
    "plot_strip",
    "require_report_folder",
    "transformed_by",
    "write_page",
]
