"""Two estimates of how much units follow a modulator, each of which is the other's test."""

import pytest
import torch
import torch.nn.functional as F
from adaptation.models import MODELS, make
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers.modeling_outputs import ImageClassifierOutput

from hf_canon.adaptation import comodulate
from hf_canon.adaptation.read_out import RunningGain, gains_of


@pytest.mark.covering()
@pytest.mark.parametrize("units", ["channels", "places"])
@pytest.mark.parametrize("name", ["vit", "resnet", "whisper"])
def test_draws_converge_to_the_product(name: str, units: str) -> None:
    """The cosine is above 0.999, as the notes on the method promise; and so is that of the gains."""
    model, x = make(name)
    target = {"vit": ["vit.layers.0"], "resnet": ["stages.0"], "whisper": ["encoder.conv2"]}[name]
    found = {}
    for estimator in ("product", "sampling"):
        one = comodulate(model, target, units, estimator=estimator, noise=0.02, samples=2000)
        torch.manual_seed(3)
        with torch.no_grad():
            one.parts[0].tasks[0].copy_(2 * torch.rand_like(one.parts[0].tasks[0]))
            found[estimator] = one.tags(x)
        one.remove()
    for tags in (found, {name: gains_of(value) for name, value in found.items()}):
        assert F.cosine_similarity(tags["product"], tags["sampling"], dim=0) > 0.999


@settings(max_examples=25, deadline=None)
@given(units=st.integers(1, 6), hidden=st.integers(2, 9), batch=st.integers(1, 4), seed=st.integers(0, 1000))
def test_the_product_is_the_derivative_by_the_modulator(units: int, hidden: int, batch: int, seed: int) -> None:
    """Against finite differences, in float64, and linear in the couplings."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, units), nn.Tanh(), nn.Linear(units, hidden), nn.Tanh(), nn.Linear(hidden, 2))
    model = model.double().eval()
    x = torch.randn(batch, 4, dtype=torch.float64)
    one = comodulate(model, ["1"], read_out="4", inputs=x)
    coupling = one.parts[0].tasks[0]
    k = torch.rand(units, dtype=torch.float64)

    def last_hidden(scale: torch.Tensor) -> torch.Tensor:
        return model[3](model[2](model[1](model[0](x)) * scale)).mean(0)

    with torch.no_grad():
        coupling.data = k
        step = 1e-5
        expected = (last_hidden((step * k).exp()) - last_hidden((-step * k).exp())) / (2 * step)
        assert torch.allclose(one.tags(x).double(), expected, atol=1e-5)
        tags = one.tags(x)
        coupling.data = 3 * k
        assert torch.allclose(one.tags(x), 3 * tags, rtol=1e-4, atol=1e-6)


def test_gradients_of_both_agree() -> None:
    gradients = []
    for estimator in ("product", "sampling"):
        model, x = make("resnet")
        one = comodulate(model, ["stages.0"], estimator=estimator, noise=0.02, samples=1000)
        torch.manual_seed(4)
        tags = one.tags(x)
        weight = torch.linspace(-1, 1, len(tags))
        (gradient,) = torch.autograd.grad((tags * weight).sum(), one.parts[0].tasks[0])
        gradients.append(gradient)
    assert F.cosine_similarity(*gradients, dim=0) > 0.99


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=20))
def test_gains_are_not_negative_and_have_the_mean_one(values: list[float]) -> None:
    gain = gains_of(torch.tensor(values))
    assert (gain >= 0).all() and torch.isfinite(gain).all()
    assert torch.allclose(gain.mean(), torch.ones(()), atol=1e-4)
    if max(values) <= 0:
        assert (gain == 1).all()  # nothing follows: nothing is chosen


def test_gradients_of_gains_are_finite_where_nothing_follows() -> None:
    for values in ([0.0, 0.0], [-1.0, -2.0], [0.0, 1.0], [1e-30, 0.0]):
        tags = torch.tensor(values, requires_grad=True)
        gains_of(tags).square().sum().backward()
        assert torch.isfinite(tags.grad).all()


def test_the_running_mean_is_a_mean_at_first_and_forgets_later() -> None:
    gain = RunningGain(1, torch.device("cpu"))
    assert gain.value == 1
    for batch in range(1, 11):
        gain.update(torch.tensor([float(batch)]))
        assert gain.value == pytest.approx(sum(range(1, batch + 1)) / batch, rel=1e-5)
    gain.update(torch.tensor([105.5]))
    assert gain.value == pytest.approx(5.5 + 0.1 * 100, rel=1e-5)


def test_what_a_norm_undoes_is_not_taken_for_a_tag(caplog: pytest.LogCaptureFixture) -> None:
    """The whole class token made larger, in front of the last norm of a ViT: rounding errors, and no gain of them."""
    model, x = make("vit")
    model.config.layer_norm_eps = 0.0
    model.vit.layernorm.eps = 0.0
    one = comodulate(model, ["vit.layers.1"], "places")
    with torch.no_grad(), one.estimating():
        model(x)
    assert (one.read_out_gain() == 1).all()
    assert "No unit of the last hidden layer follows the task 'default'" in caplog.text


def test_couplings_learn_from_where_nothing_follows() -> None:
    """Equal couplings of all channels in front of a layer norm scale everything, and nothing follows them: gains are 1
    then, and a step later they are not."""
    model, x = make("vit")
    one = comodulate(model)  # the last block, behind which is the last norm
    optimizer = torch.optim.Adam([parameter for parameter in model.parameters() if parameter.requires_grad], 0.1)
    model.train()
    for step in range(2):
        model(x, labels=torch.tensor([0, 1])).loss.backward()
        assert ((one.read_out_gain() == 1).all()) == (step == 0)
        optimizer.step()


def test_draws_are_those_of_the_seed() -> None:
    model, x = make("resnet")
    one = comodulate(model, estimator="sampling", samples=4)
    found = []
    for _ in range(2):
        torch.manual_seed(7)
        with torch.no_grad():
            found.append(one.tags(x))
    assert torch.equal(*found)


class Rounded(nn.Module):
    """Something without a forward derivative."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> ImageClassifierOutput:
        return ImageClassifierOutput(logits=self.last(NoForward.apply(self.first(x))))


class NoForward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


def test_without_a_forward_derivative_it_says_what_to_do() -> None:
    model = Rounded()
    x = torch.randn(3, 4)
    one = comodulate(model, ["first"], inputs=x)
    with pytest.raises(RuntimeError, match="no forward derivative .*estimator='sampling'"):
        one.tags(x)
    one.remove()
    assert comodulate(model, ["first"], estimator="sampling", inputs=x).tags(x).shape == (4,)


@pytest.mark.parametrize("name", MODELS)
def test_tags_leave_nothing_behind(name: str) -> None:
    """No state between calls: neither after a pass that came through, nor after one that did not."""
    model, x = make(name)
    one = comodulate(model)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    one.tags(x)
    with pytest.raises((RuntimeError, ValueError), match="channel|shape|size"):
        one.tags(x[:, :1])
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())
    assert one.parts[0].modulator is None and not one.parts[-1].catching
