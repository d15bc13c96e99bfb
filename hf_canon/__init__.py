"""Make any Hugging Face vision checkpoint survive rotations and reflections, without touching it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# Importing the model registers it with AutoModel and pipeline. The trainer and evaluation are imported when first used.
from .configuration_canonicalized import CanonicalizedConfig
from .groups import get_group
from .modeling_canonicalized import CanonicalizedModel

if TYPE_CHECKING:
    from .evaluation import RobustnessReport, check_equivariance, evaluate_robustness
    from .training import CanonicalizationArguments, CanonicalizationTrainer

__version__ = "0.1.0"

_LAZY = {
    "CanonicalizationArguments": "training",
    "CanonicalizationTrainer": "training",
    "RobustnessReport": "evaluation",
    "check_equivariance": "evaluation",
    "evaluate_robustness": "evaluation",
}

__all__ = [
    "CanonicalizationArguments",
    "CanonicalizationTrainer",
    "CanonicalizedConfig",
    "CanonicalizedModel",
    "RobustnessReport",
    "check_equivariance",
    "evaluate_robustness",
    "get_group",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'hf_canon' has no attribute {name!r}")
    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
