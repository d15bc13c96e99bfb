"""How well a model answers when its inputs are moved, how equivariant it is, how far inputs are from those that it
knows, and pictures of all that."""

from .audit_report import Advice, AuditedElement, AuditedGroup, AuditReport, LabelChange
from .auditing import audit
from .diagnosis import Diagnosis
from .equivariance import check_equivariance
from .page import require_report_folder, write_page
from .plots import plot_report, plot_robustness, plot_shift, plot_strip
from .report import Cost, Interval, RobustnessReport, Score, TransformResult, TransformSet
from .robustness import evaluate_robustness
from .shift import distribution_shift
from .shift_report import Distance, ShiftReport, Side
from .transforms import Transform

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
    "Transform",
    "TransformResult",
    "TransformSet",
    "audit",
    "check_equivariance",
    "distribution_shift",
    "evaluate_robustness",
    "plot_report",
    "plot_robustness",
    "plot_shift",
    "plot_strip",
    "require_report_folder",
    "write_page",
]
