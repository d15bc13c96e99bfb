"""A neuron of second order (Fan et al., *One Neuron Saved Is One Neuron Earned*, arXiv 2303.06316).

    product form:   y = (w.x + b) (1 + w_g.x + b_g) + w_s.(x*x) + b_s
    compact form:   y =  w.x + b                    + w_s.(x*x)

x*x is taken value by value. All of w_g, b_g, w_s and b_s start at zero, where the neuron *is* the linear one: the
ReLinear start (2110.06081). Published formulas start b_g at one; written as 1 + b_g, weight decay shrinks all that it
is applied to towards the linear neuron. The rest of ReLinear is that these parts learn more slowly, which
`slow_second_order` sees to.

**Parameters** (2303.06316). A linear neuron over n inputs has n + 1, the product form 3 (n + 1), the compact form
2 n + 1, and as many multiply-adds, about. A layer of m neurons has m times as many; for a convolution n is channels x
kernel size. So the break-even width, at which a network of quadratic neurons has the parameters of one of linear
neurons h wide, is h / 3 with one hidden layer (compact form: h / 2), and h / sqrt(3) = 0.577 h in a stack of equally
wide layers (compact form: 0.707 h). Quadratic neurons save parameters where fewer of them than that do the same work.
"""

from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Form = Literal["product", "compact"]
SECOND_ORDER = ("gain_weight", "gain_bias", "square_weight", "square_bias")


class SecondOrder(nn.Module):
    """A module with parameters that a linear layer does not have, which learn at a rate of their own."""

    def second_order(self) -> Iterator[nn.Parameter]:
        raise NotImplementedError


class QuadraticNeuron(SecondOrder):
    """Makes a layer with `weight` and `bias` one of quadratic neurons; to be named before that layer as a base class.

    The linear part is computed as the layer alone would compute it, in any precision; the rest in float32 at least,
    for squares overflow float16. Under autocast the answer stays in float32, as that of a norm does.
    """

    weight: Any
    bias: Any
    gain_weight: Tensor | None
    gain_bias: Tensor | None
    square_weight: Tensor
    square_bias: Tensor | None
    project: Callable[[Tensor, Any, Any], Tensor]
    """The layer's own: what it does with an input, weights, and a bias or None."""

    def __init__(self, *args: Any, form: Form = "product", **kwargs: Any):
        super().__init__(*args, **kwargs)
        if form not in get_args(Form):
            raise ValueError(f"A quadratic neuron has the form 'product' or 'compact', and this is {form!r}.")
        self.form = form
        product, biased = form == "product", self.bias is not None
        wanted = {"gain_weight": product, "gain_bias": product and biased, "square_weight": True}
        wanted["square_bias"] = product and biased  # the compact form has one constant, its bias
        for name, present in wanted.items():
            like = self.bias if name.endswith("bias") else self.weight
            self.register_parameter(name, nn.Parameter(torch.zeros_like(like)) if present else None)

    def forward(self, x: Tensor) -> Tensor:
        linear = self.project(x, self.weight, self.bias)
        precision = torch.promote_types(self.weight.dtype, torch.float32)

        def exactly(value: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
            return self.project(value, weight.to(precision), None if bias is None else bias.to(precision))

        with torch.autocast(x.device.type, enabled=False):
            value, answer = x.to(precision), linear.to(precision)
            if self.gain_weight is not None:
                answer = answer * (1 + exactly(value, self.gain_weight, self.gain_bias))
            answer = answer + exactly(value * value, self.square_weight, self.square_bias)
        return answer if torch.is_autocast_enabled(x.device.type) else answer.to(linear.dtype)

    def second_order(self) -> Iterator[nn.Parameter]:
        for name in SECOND_ORDER:
            parameter = self._parameters.get(name)
            if parameter is not None:
                yield parameter

    def reset_parameters(self) -> None:
        """A new linear layer, and the ReLinear start."""
        super().reset_parameters()  # type: ignore[misc]
        for parameter in self.second_order():
            nn.init.zeros_(parameter)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, form={self.form!r}"

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """The weights of the linear layer that this one replaces are taken as they are, and leave it linear."""
        own = [name for name in SECOND_ORDER if self._parameters.get(name) is not None]
        first = state_dict.get(prefix + "weight")
        if first is not None and not any(prefix + name in state_dict for name in own):
            for name in own:
                state_dict[prefix + name] = first.new_zeros(getattr(self, name).shape)
        super()._load_from_state_dict(state_dict, prefix, *args)
