"""Layers of quadratic neurons: one suite for all kinds and both forms."""

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers import Adafactor, PreTrainedConfig, PreTrainedModel, initialization

from hf_canon.quadratic import (
    QuadraticConv1d,
    QuadraticConv2d,
    QuadraticLinear,
    linear_of,
    second_order_parameters,
    slow_second_order,
)
from hf_canon.quadratic.neuron import SECOND_ORDER

Row = tuple[type[nn.Module], type[nn.Module], tuple[int, ...], dict[str, Any], tuple[int, ...]]
ROWS: dict[str, Row] = {
    "linear": (QuadraticLinear, nn.Linear, (6, 4), {}, (3, 5, 6)),
    "linear without bias": (QuadraticLinear, nn.Linear, (6, 4), {"bias": False}, (3, 6)),
    "conv1d": (QuadraticConv1d, nn.Conv1d, (2, 4, 5), {"stride": 2, "padding": 2}, (3, 2, 40)),
    "conv1d in groups": (QuadraticConv1d, nn.Conv1d, (4, 4, 3), {"groups": 2, "dilation": 2}, (3, 4, 21)),
    "conv2d": (QuadraticConv2d, nn.Conv2d, (3, 4, 3), {"padding": 1}, (2, 3, 9, 12)),
    "conv2d, circular": (
        QuadraticConv2d,
        nn.Conv2d,
        (2, 4, 3),
        {"padding": 1, "padding_mode": "circular"},
        (2, 2, 7, 7),
    ),
    "conv2d, same": (QuadraticConv2d, nn.Conv2d, (2, 4, 4), {"padding": "same", "bias": False}, (2, 2, 8, 9)),
}
FORMS = ["product", "compact"]
# torch itself says that "same" padding of even kernels costs a copy.
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")


def build(row: str, form: str, shaken: bool = True) -> tuple[Any, Any, torch.Tensor]:
    """A quadratic layer, the linear one with its weights of first order, and an input."""
    quadratic, linear, args, kwargs, shape = ROWS[row]
    first, layer = linear(*args, **kwargs), quadratic(*args, **kwargs, form=form)
    layer.load_state_dict(first.state_dict())
    if shaken:
        with torch.no_grad():
            for parameter in layer.second_order():
                parameter.normal_(0, 0.3)
    return layer, first, torch.randn(shape)


@pytest.mark.covering("row", "form")
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", ROWS)
class TestLayer:
    @pytest.mark.covering("row", "form", "dtype")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_starts_as_the_linear_layer_to_the_bit(self, row: str, form: str, dtype: torch.dtype) -> None:
        layer, linear, x = build(row, form, shaken=False)
        layer, linear, x = layer.to(dtype), linear.to(dtype), x.to(dtype)
        assert torch.equal(layer(x), linear(x)) and layer(x).dtype == dtype

    @pytest.mark.covering("row", "form", "dtype")
    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_starts_as_the_linear_layer_under_autocast(self, row: str, form: str, dtype: torch.dtype) -> None:
        layer, linear, x = build(row, form, shaken=False)
        with torch.autocast("cpu", dtype=dtype):
            answer, expected = layer(x), linear(x)
        assert expected.dtype == dtype and answer.dtype == torch.float32
        assert torch.equal(answer, expected.float())

    def test_formula(self, row: str, form: str) -> None:
        """As published, with b_g that starts at one, from three linear layers."""
        layer, linear, x = build(row, form)
        layer, x = layer.double(), x.double()

        def other(weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
            one = copy.deepcopy(linear).double()
            one.load_state_dict({"weight": weight} if bias is None else {"weight": weight, "bias": bias})
            return one

        biased = layer.bias is not None
        expected = other(layer.weight, layer.bias)(x)
        if form == "product":
            expected = expected * (other(layer.gain_weight, layer.gain_bias)(x) + 1)
        no_constant = torch.zeros_like(layer.bias) if biased and form == "compact" else layer.square_bias
        expected = expected + other(layer.square_weight, no_constant)(x * x)
        assert torch.allclose(layer(x), expected, atol=1e-12)

    def test_parameters(self, row: str, form: str) -> None:
        """m (3 n + 3) in the product form, m (2 n + 1) in the compact one; m less for each missing constant."""
        layer, linear, _ = build(row, form)
        out, n = layer.weight.shape[0], layer.weight[0].numel()
        constants = (3 if form == "product" else 1) if layer.bias is not None else 0
        assert sum(p.numel() for p in layer.parameters()) == out * ((3 if form == "product" else 2) * n + constants)
        added = sum(p.numel() for p in second_order_parameters(nn.Sequential(layer)))
        assert added == sum(p.numel() for p in layer.parameters()) - sum(p.numel() for p in linear.parameters())

    def test_gradients(self, row: str, form: str) -> None:
        layer, _, x = build(row, form)
        layer, x = layer.double(), x.double().requires_grad_()
        names = [name for name, _ in layer.named_parameters()]

        def answer(x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(layer, dict(zip(names, weights, strict=True)), (x,))

        assert torch.autograd.gradcheck(answer, (x, *layer.parameters()), fast_mode=True)

    def test_every_part_learns_from_the_start(self, row: str, form: str) -> None:
        layer, _, x = build(row, form, shaken=False)
        layer(x).square().sum().backward()
        for name, parameter in layer.named_parameters():
            assert parameter.grad.abs().sum() > 0, name

    def test_gradient_checkpointing(self, row: str, form: str) -> None:
        layer, _, x = build(row, form)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            layer(x).sum().backward()
            expected = [parameter.grad for parameter in layer.parameters()]
            layer.zero_grad()
            checkpoint(layer, x, use_reentrant=False).sum().backward()
        for parameter, gradient in zip(layer.parameters(), expected, strict=True):
            assert torch.equal(parameter.grad, gradient)

    @pytest.mark.covering("form")
    def test_compiles_without_graph_breaks(self, row: str, form: str) -> None:
        layer, _, x = build(row, form)
        compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
        assert torch.allclose(compiled(x), layer(x), atol=1e-6)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert torch.allclose(compiled(x), layer(x), atol=1e-2) and compiled(x).dtype == torch.float32

    def test_own_state_dict(self, row: str, form: str) -> None:
        layer, _, x = build(row, form)
        again, *_ = build(row, form)
        again.load_state_dict(layer.state_dict())
        assert torch.equal(again(x), layer(x))
        for one in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert torch.equal(one(x), layer(x))

    def test_loading_a_linear_layer_forgets_what_was_learned(self, row: str, form: str) -> None:
        layer, linear, x = build(row, form)
        assert not torch.equal(layer(x), linear(x))
        layer.load_state_dict(linear.state_dict())
        assert torch.equal(layer(x), linear(x))

    def test_what_is_not_loaded_is_not_forgotten(self, row: str, form: str) -> None:
        """Neither by a head that is loaded alone, nor by the other shards of a checkpoint."""
        layer, linear, x = build(row, form)
        model = nn.Sequential(layer, nn.Linear(2, 2))
        before = layer(x)
        model.load_state_dict(nn.Sequential(nn.Identity(), nn.Linear(2, 2)).state_dict(), strict=False)
        assert torch.equal(layer(x), before)

    def test_linear_weights_that_are_assigned(self, row: str, form: str) -> None:
        _, linear, x = build(row, form)
        with torch.device("meta"):
            layer, *_ = build(row, form, shaken=False)
        linear, x = linear.bfloat16(), x.bfloat16()
        layer.load_state_dict(linear.state_dict(), assign=True)
        assert torch.equal(layer(x), linear(x))
        assert {parameter.dtype for parameter in layer.parameters()} == {torch.bfloat16}

    def test_reset(self, row: str, form: str) -> None:
        layer, *_ = build(row, form)
        before = layer.weight.clone()
        layer.reset_parameters()
        assert not torch.equal(layer.weight, before)
        assert all((parameter == 0).all() for parameter in layer.second_order())

    def test_device(self, row: str, form: str, second_device: torch.device) -> None:
        layer, _, x = build(row, form)
        assert torch.allclose(layer.to(second_device)(x.to(second_device)).cpu(), layer.cpu()(x), atol=1e-5)


@pytest.mark.parametrize("row", ROWS)
def test_half_a_state_dict_is_no_linear_layer(row: str) -> None:
    layer, *_ = build(row, "product")
    state = layer.state_dict()
    del state["gain_weight"]
    with pytest.raises(RuntimeError, match="gain_weight"):
        layer.load_state_dict(state)


def test_squares_do_not_overflow_in_half_precision() -> None:
    layer = QuadraticLinear(1, 1, bias=False)
    nn.init.ones_(layer.square_weight)
    nn.init.zeros_(layer.weight)
    x = torch.tensor([[300.0]])  # whose square float16 does not have
    assert (x.half() * x.half()).isinf().all()
    with torch.autocast("cpu", dtype=torch.float16):
        assert layer(x.half()).item() == 90_000


def test_a_convolution_is_a_linear_layer_over_patches() -> None:
    layer, _, x = build("conv2d", "product")
    flat = QuadraticLinear(27, 4)
    flat.load_state_dict(
        {name: value.flatten(1) if value.ndim == 4 else value for name, value in layer.state_dict().items()}
    )
    patches = F.unfold(x, 3, padding=1).transpose(1, 2)
    assert torch.allclose(flat(patches).transpose(1, 2).unflatten(2, (9, 12)), layer(x), atol=1e-5)


def size(*layers: nn.Module) -> int:
    return sum(parameter.numel() for layer in layers for parameter in layer.parameters())


@pytest.mark.parametrize(("neuron", "shallow", "deep"), [("quadratic", 1 / 3, 3**-0.5), ("compact", 1 / 2, 2**-0.5)])
def test_break_even_widths(neuron: str, shallow: float, deep: float) -> None:
    """Those of the docstring, from layers that are built."""
    h, inputs, outputs = 600, 50, 10
    quadratic, fewer = linear_of(neuron), round(shallow * h)
    assert size(quadratic(inputs, fewer), quadratic(fewer, outputs)) == pytest.approx(
        size(nn.Linear(inputs, h), nn.Linear(h, outputs)), rel=0.02
    )
    fewer = round(deep * h)
    assert size(*[quadratic(fewer, fewer)] * 3) == pytest.approx(size(*[nn.Linear(h, h)] * 3), rel=0.01)


@pytest.mark.parametrize("optimizer_class", [torch.optim.AdamW, torch.optim.SGD])
def test_second_order_learns_at_its_own_rate(optimizer_class: type[torch.optim.Optimizer]) -> None:
    model = nn.Sequential(QuadraticLinear(4, 3), nn.Linear(3, 2))
    groups = [{"params": [p for n, p in model.named_parameters() if ("bias" in n) == bias]} for bias in (False, True)]
    optimizer = optimizer_class(groups, lr=0.1, weight_decay=0.01)
    before = {id(p) for group in optimizer.param_groups for p in group["params"]}
    slow_second_order(optimizer, model, 0.2)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert rates.keys() == before and sum(len(group["params"]) for group in optimizer.param_groups) == len(before)
    for name, parameter in model.named_parameters():
        assert rates[id(parameter)] == pytest.approx(0.02 if name.rpartition(".")[2] in SECOND_ORDER else 0.1)
    # A scheduler that is made afterwards scales all alike.
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5)
    assert sorted({round(rate, 6) for rate in scheduler.get_last_lr()}) == [0.01, 0.05]


class Config(PreTrainedConfig):
    model_type = "quadratic_test"


class Linears(PreTrainedModel):
    """A model of somebody's own, which they save with linear layers."""

    config_class = Config

    def __init__(self, config: Config):
        super().__init__(config)
        self.hidden = nn.Linear(64, 64)
        self.post_init()


class Quadratics(Linears):
    """And load with quadratic ones, as the docstring of QuadraticLinear says."""

    def __init__(self, config: Config):
        super().__init__(config)
        self.hidden = QuadraticLinear(64, 64)
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, QuadraticLinear):
            for parameter in module.second_order():
                initialization.zeros_(parameter)


def test_from_pretrained_of_transformers(tmp_path: Path) -> None:
    linear, x = Linears(Config()), torch.randn(2, 64)
    linear.save_pretrained(tmp_path / "linear")
    loaded = Quadratics.from_pretrained(tmp_path / "linear")
    assert torch.equal(loaded.hidden(x), linear.hidden(x))
    nn.init.normal_(loaded.hidden.square_weight)
    loaded.save_pretrained(tmp_path / "quadratic")
    assert torch.equal(Quadratics.from_pretrained(tmp_path / "quadratic").hidden(x), loaded.hidden(x))


def test_refusals() -> None:
    with pytest.raises(ValueError, match="Adafactor chooses its learning rates itself"):
        layer = QuadraticLinear(2, 2)
        slow_second_order(Adafactor(layer.parameters()), layer)
    with pytest.raises(ValueError, match="'product' or 'compact', and this is 'cubic'"):
        QuadraticLinear(2, 2, form="cubic")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no neuron 'cubic'. Known ones: linear, quadratic, compact"):
        linear_of("cubic")
    with pytest.raises(ValueError, match="cannot be -1 times another"):
        slow_second_order(torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0), nn.Linear(1, 1), -1)
