"""A checkpoint that is asked, and is afterwards what it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every module's own mode again afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@contextmanager
def as_found(checkpoint: Any) -> Iterator[None]:
    """Wrapping freezes a live model and sets it to evaluation; afterwards it is what it was."""
    if not isinstance(checkpoint, nn.Module):
        yield
        return
    trained = [(parameter, parameter.requires_grad) for parameter in checkpoint.parameters()]
    try:
        with evaluating(checkpoint):
            yield
    finally:
        for parameter, requires_grad in trained:
            parameter.requires_grad_(requires_grad)
