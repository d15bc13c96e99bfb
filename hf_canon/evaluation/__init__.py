"""How well a model answers when its inputs are moved, how equivariant it is, and pictures of both."""

from .audit_report import Advice, AuditedElement, AuditedGroup, AuditReport, LabelChange
from .auditing import audit
from .diagnosis import Diagnosis
from .equivariance import check_equivariance
from .page import require_report_folder, write_page
from .plots import plot_report, plot_robustness, plot_strip
from .report import Cost, Interval, RobustnessReport, Score, TransformResult, TransformSet
from .robustness import evaluate_robustness
from .transforms import Transform

__all__ = [
    "Advice",
    "AuditReport",
    "AuditedElement",
    "AuditedGroup",
    "Cost",
    "Diagnosis",
    "Interval",
    "LabelChange",
    "RobustnessReport",
    "Score",
    "Transform",
    "TransformResult",
    "TransformSet",
    "audit",
    "check_equivariance",
    "evaluate_robustness",
    "plot_report",
    "plot_robustness",
    "plot_strip",
    "require_report_folder",
    "write_page",
]
