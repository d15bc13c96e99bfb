"""Distributions that a group leaves as they are, learned from |G| times fewer samples (arXiv 2305.13517,
2202.01129)."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .configuration_generator import GeneratorConfig
from .critic import CanonicalCritic, OrbitCritic, critic_of
from .divergences import LipschitzAlpha, Relativistic, Wasserstein, gradient_penalty
from .generator import EquivariantGenerator, SymmetrizedGenerator
from .grids import draw_samples
from .health import orbit_diversity, orbit_uniformity
from .modeling_generator import GeneratorOutput, InvariantGenerator
from .networks import Decoder, Encoder
from .reference import add_reference_sampler, reference_samples

if TYPE_CHECKING:
    from .arguments import GANArguments
    from .trainer import GANTrainer, TrainingResult

__all__ = [
    "CanonicalCritic",
    "Decoder",
    "Encoder",
    "EquivariantGenerator",
    "GANArguments",
    "GANTrainer",
    "GeneratorConfig",
    "GeneratorOutput",
    "InvariantGenerator",
    "LipschitzAlpha",
    "OrbitCritic",
    "Relativistic",
    "SymmetrizedGenerator",
    "TrainingResult",
    "Wasserstein",
    "add_reference_sampler",
    "critic_of",
    "draw_samples",
    "gradient_penalty",
    "orbit_diversity",
    "orbit_uniformity",
    "reference_samples",
]

# Whoever needs a network or a divergence need not load a trainer.
_HOMES = {"GANArguments": "arguments", "GANTrainer": "trainer", "TrainingResult": "trainer"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
