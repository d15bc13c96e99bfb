"""Whether comodulation can pay, said before training."""

import pytest
import torch
from adaptation.models import MODELS, assert_same, make, trace
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hf_canon.adaptation import comodulate, selectivity
from hf_canon.adaptation.selectivity import shared_information, tag_tables


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(2, 8), columns=st.integers(2, 8), seed=st.integers(0, 999))
def test_information_is_between_dense_and_apart(rows: int, columns: int, seed: int) -> None:
    torch.manual_seed(seed)
    profile = torch.rand(columns) + 0.1
    assert shared_information(torch.rand(rows, 1).add(0.1) * profile) == pytest.approx(0, abs=1e-5)
    side = min(rows, columns)
    assert shared_information(torch.eye(side) * torch.rand(side).add(0.1)) == pytest.approx(1, abs=1e-5)
    table = torch.randn(rows, columns)
    value = shared_information(table)
    assert value is not None and 0 <= value <= 1
    assert shared_information(table * 7) == pytest.approx(value, abs=1e-5)


def test_a_table_with_one_row_says_nothing() -> None:
    assert shared_information(torch.zeros(3, 3)) is None
    assert shared_information(torch.tensor([[1.0, 2.0], [0.0, 0.0]])) is None


def test_the_table_is_that_of_the_tags() -> None:
    """A row is the derivative of a unit's tag, which is linear in the couplings: tags are table times couplings."""
    model, x = make("resnet")
    one = comodulate(model, ["stages.0"], gain="deterministic")
    (table,) = tag_tables(one, x).values()
    one.remove()
    comodulated = comodulate(model, ["stages.0"])
    k = torch.rand(8)
    with torch.no_grad():
        comodulated.parts[0].tasks[0].copy_(k)
        assert torch.allclose(comodulated.tags(x), (table @ k.double()).float(), atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_every_block_and_the_model_left_as_it_was(name: str) -> None:
    model, x = make(name)
    model.train()
    before = trace(model)
    found = selectivity(model, x)
    assert found and all(0 <= one.value <= 1 for one in found)
    assert_same(trace(model), before)


class Blocks(nn.Module):
    """One hidden layer whose units each have their own inputs, or all of them."""

    def __init__(self, mixing: torch.Tensor):
        super().__init__()
        self.first, self.last = nn.Linear(4, 4), nn.Linear(4, 2)
        self.mixing = mixing

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last((self.first(x).exp() @ self.mixing).tanh())


@pytest.mark.parametrize(
    ("mixing", "verdict"),
    [
        (torch.eye(4), "comodulated"),
        (torch.ones(4, 4), "deterministic"),
        (torch.zeros(4, 4), "nothing"),
    ],
)
def test_verdicts(mixing: torch.Tensor, verdict: str) -> None:
    (found,) = selectivity(Blocks(mixing), torch.randn(32, 4), ["first"], read_out="last")
    assert found.verdict == verdict


def test_refuses_a_model_that_is_comodulated() -> None:
    model, x = make("resnet")
    comodulate(model)
    with pytest.raises(ValueError, match="carries a comodulation already"):
        selectivity(model, x)
