"""Neurons of second order (arXiv 2303.06316), for layers that are built from them."""

from collections.abc import Callable
from functools import partial

from torch import nn

from .layers import QuadraticConv1d, QuadraticConv2d, QuadraticLinear
from .learning_rate import second_order_parameters, slow_second_order

LINEAR: dict[str, Callable[..., nn.Linear]] = {
    "linear": nn.Linear,
    "quadratic": QuadraticLinear,
    "compact": partial(QuadraticLinear, form="compact"),
}

__all__ = [
    "QuadraticConv1d",
    "QuadraticConv2d",
    "QuadraticLinear",
    "linear_of",
    "second_order_parameters",
    "slow_second_order",
]


def linear_of(neuron: str) -> Callable[..., nn.Linear]:
    """The layer that is `nn.Linear` of such neurons.

    Args:
        neuron: "linear", "quadratic" or "compact".

    Raises:
        ValueError: there are no such neurons.
    """
    if neuron not in LINEAR:
        raise ValueError(f"There is no neuron {neuron!r}. Known ones: {', '.join(LINEAR)}.")
    return LINEAR[neuron]
