"""What was added to a predictor, PEFT's layers or an attachment. No checkpoint has it, so an adapter saves it."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .peft import peft_names

LIFT, COMODULATION = "quadratic_lift", "comodulation"
"""The children of a predictor that hold what is attached to it."""


def added_names(predictor: nn.Module) -> set[str]:
    """The names, in the predictor's state dict, of what was added to it."""
    attached = {kind: getattr(predictor, kind) for kind in (LIFT, COMODULATION) if hasattr(predictor, kind)}
    names = {f"{kind}.{name}" for kind, attachment in attached.items() for name in attachment.state_dict()}
    return peft_names(predictor) | names


@contextmanager
def asked_about_poses(predictor: nn.Module) -> Iterator[None]:
    """Within it the predictor sees inputs in every pose, and what is estimated from canonical ones is not."""
    comodulation = getattr(predictor, COMODULATION, None)
    if comodulation is None:
        yield
        return
    before, comodulation.paused = comodulation.paused, True
    try:
        yield
    finally:
        comodulation.paused = before


def freeze_statistics(predictor: nn.Module) -> None:
    """Keep running statistics as the checkpoint has them: they are the base's, and would not be saved."""
    for _, norm in norms_with_statistics(predictor):
        norm.eval()


def norms_with_statistics(predictor: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The norms, with their names, that go by running statistics in evaluation, and change them in training."""
    return ((name, module) for name, module in predictor.named_modules() if isinstance(module, _BatchNorm))
