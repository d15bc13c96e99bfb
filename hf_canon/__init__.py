"""Make any Hugging Face vision or audio checkpoint survive turned, tinted or resampled inputs, without touching it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .registration import register

if TYPE_CHECKING:
    from .calibration import Monitor, calibrate
    from .configuration_canonicalized import CanonicalizedConfig
    from .evaluation import RobustnessReport, audit, check_equivariance, distribution_shift, evaluate_robustness
    from .groups import get_group
    from .modeling_canonicalized import CanonicalizedModel
    from .prediction import predict_dataset
    from .training import CanonicalizationArguments, CanonicalizationTrainer

__version__ = "0.1.0"

# Each is imported when it is first used: `import hf_canon` costs nothing.
_HOMES = {
    "CanonicalizationArguments": "training",
    "CanonicalizationTrainer": "training",
    "CanonicalizedConfig": "configuration_canonicalized",
    "CanonicalizedModel": "modeling_canonicalized",
    "RobustnessReport": "reports",
    "audit": "evaluation",
    "Monitor": "calibration",
    "calibrate": "calibration",
    "check_equivariance": "evaluation",
    "distribution_shift": "evaluation",
    "evaluate_robustness": "evaluation",
    "get_group": "groups",
    "predict_dataset": "prediction",
}

__all__ = [
    "CanonicalizationArguments",
    "CanonicalizationTrainer",
    "CanonicalizedConfig",
    "CanonicalizedModel",
    "Monitor",
    "RobustnessReport",
    "audit",
    "calibrate",
    "check_equivariance",
    "distribution_shift",
    "evaluate_robustness",
    "get_group",
    "predict_dataset",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'hf_canon' has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__


register()
