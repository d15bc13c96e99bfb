"""Layers of quadratic neurons, to be put where the linear layer was (arXiv 2303.06316); the theory is in `neuron`."""

import torch.nn.functional as F
from torch import Tensor, nn

from .neuron import QuadraticNeuron


class QuadraticLinear(QuadraticNeuron, nn.Linear):
    """`nn.Linear`, of quadratic neurons: `(..., n)` to `(..., m)`: 3 m (n + 1) parameters.

    It starts as the linear layer to the bit, and loads the state dict of one. Prefer it where the answer is a norm, an
    energy or a product of inputs; elsewhere a linear layer three times as wide is the better use of the parameters.

    transformers' `from_pretrained` fills what a checkpoint does not have by the model's `_init_weights`, which for a
    checkpoint of linear layers has to zero what is of second order:

        def _init_weights(self, module):
            super()._init_weights(module)
            if isinstance(module, QuadraticLinear):
                for parameter in module.second_order():
                    transformers.initialization.zeros_(parameter)  # leaves alone what was loaded

    Args:
        args: as those of `nn.Linear`.
        form: "product", or "compact" (m (2 n + 1) parameters, and no product of two projections).
        kwargs: as those of `nn.Linear`.

    Raises:
        ValueError: there is no such form.

    Example:
        >>> import torch
        >>> linear, quadratic = nn.Linear(10, 5), QuadraticLinear(10, 5)
        >>> quadratic.load_state_dict(linear.state_dict())
        <All keys matched successfully>
        >>> x = torch.randn(3, 10)
        >>> torch.equal(quadratic(x), linear(x))
        True
        >>> sum(p.numel() for p in quadratic.parameters()) == 3 * 5 * (10 + 1)
        True
    """

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)


class QuadraticConv1d(QuadraticNeuron, nn.Conv1d):
    """`nn.Conv1d`, of quadratic neurons: `(batch, n, length)` to `(batch, m, length)`: 3 m (n k + 1) parameters.

    Args:
        args: as those of `nn.Conv1d`; k is the kernel size.
        form: as in `QuadraticLinear`.
        kwargs: as those of `nn.Conv1d`.

    Raises:
        ValueError: there is no such form.

    Example:
        >>> import torch
        >>> QuadraticConv1d(2, 4, 5, padding=2)(torch.randn(1, 2, 100)).shape
        torch.Size([1, 4, 100])
    """

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._conv_forward(x, weight, bias)


class QuadraticConv2d(QuadraticNeuron, nn.Conv2d):
    """`nn.Conv2d`, of quadratic neurons: `(batch, n, height, width)` to `(batch, m, ...)`: 3 m (n k^2 + 1) parameters.

    Args:
        args: as those of `nn.Conv2d`; k is the kernel size.
        form: as in `QuadraticLinear`.
        kwargs: as those of `nn.Conv2d`.

    Raises:
        ValueError: there is no such form.

    Example:
        >>> import torch
        >>> QuadraticConv2d(3, 8, 3, stride=2, padding=1)(torch.randn(1, 3, 32, 32)).shape
        torch.Size([1, 8, 16, 16])
    """

    def project(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return self._conv_forward(x, weight, bias)
