"""What generator and critic play for."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_canon.generative import GANArguments, LipschitzAlpha, Relativistic, Wasserstein, gradient_penalty


@given(alpha=st.floats(1.2, 5.0), y=st.floats(-3.0, 3.0))
@settings(max_examples=60, deadline=None)
def test_the_conjugate_is_that_of_the_alpha_divergence(alpha: float, y: float) -> None:
    """f*(y) = sup over x >= 0 of x y - f(x), with f(x) = (x^a - 1) / (a (a - 1))."""
    steep = max(y, 0.0) * (alpha - 1)
    best = steep ** (1 / (alpha - 1))
    x = torch.linspace(0, 2 * best + 1, 200_001, dtype=torch.float64)
    by_search = (x * y - (x**alpha - 1) / (alpha * (alpha - 1))).max()
    found = LipschitzAlpha(alpha).conjugate(torch.tensor(y, dtype=torch.float64))
    assert float(found) == pytest.approx(float(by_search), rel=1e-4, abs=1e-4)


def test_equal_distributions_have_no_divergence() -> None:
    scores = torch.randn(1000, dtype=torch.float64)
    assert Wasserstein().critic_loss(scores, scores) == 0
    # No critic gets above 0 where the distributions are the same; the constant 1 reaches it.
    for critic in (scores, scores.abs(), torch.ones(1000), torch.full((1000,), 1.1)):
        assert LipschitzAlpha().critic_loss(critic, critic) > -1e-7
    assert float(LipschitzAlpha().critic_loss(torch.ones(9), torch.ones(9))) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("divergence", [Wasserstein(), LipschitzAlpha(), Relativistic()])
def test_critics_push_scores_apart_and_generators_raise_theirs(divergence: Wasserstein) -> None:
    real, fake = torch.full((5,), 0.5, requires_grad=True), torch.full((5,), 0.3, requires_grad=True)
    of_real, of_fake = torch.autograd.grad(divergence.critic_loss(real, fake), (real, fake))
    assert (of_real < 0).all() and (of_fake > 0).all()
    (of_fake,) = torch.autograd.grad(divergence.generator_loss(real, fake), fake)
    assert (of_fake < 0).all()


def test_the_relativistic_form_sees_differences_alone() -> None:
    real, fake = torch.randn(7), torch.randn(7)
    assert torch.allclose(Relativistic().critic_loss(real + 3, fake + 3), Relativistic().critic_loss(real, fake))


@given(slope=st.floats(0.0, 4.0))
@settings(max_examples=20, deadline=None)
def test_the_penalty_is_of_slopes_above_one(slope: float) -> None:
    direction = torch.randn(6)
    weight = slope * direction / direction.norm()
    found = gradient_penalty(lambda x: x @ weight + 2, torch.randn(5, 6), torch.randn(5, 6))
    assert float(found) == pytest.approx(max(0.0, slope**2 - 1), abs=1e-4)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"divergence": "w1"}, "no divergence 'w1'"),
        ({"steps": 0}, "steps is counted from 1"),
        ({"batch_size": 1}, "batch_size of 2 or more"),
        ({"ema_decay": 1.0}, "ema_decay is a share below 1"),
        ({"penalty": -1.0}, "A penalty cannot be -1.0"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        GANArguments("out", **settings)  # type: ignore[arg-type]


def test_alpha_is_above_one() -> None:
    with pytest.raises(ValueError, match="alpha above 1"):
        LipschitzAlpha(1.0)
