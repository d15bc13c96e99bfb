"""Critics that cannot tell the members of an orbit apart."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hf_canon import get_group
from hf_canon.canonicalizers import EquivariantCanonicalizer, OrbitCanonicalizer
from hf_canon.canonicalizers.moment import MomentCanonicalizer
from hf_canon.generative import (
    CanonicalCritic,
    Encoder,
    OrbitCritic,
    SymmetrizedGenerator,
    critic_of,
    gradient_penalty,
)


def canonicalizer(group: Any) -> EquivariantCanonicalizer:
    return EquivariantCanonicalizer(group, channels=1, resolution=17, width=4)


def critics(group: Any, shape: tuple[int, ...]) -> dict[str, nn.Module]:
    return {
        "orbit": critic_of("orbit", group, shape, 4),
        "convolution": critic_of("convolution", group, shape, 4),
        "canonical": critic_of("canonical", group, shape, 4, canonicalizer(group)),
    }


@given(
    group=st.sampled_from(["c4", "d4"]),
    side=st.integers(8, 24),
    kind=st.sampled_from(["orbit", "convolution", "canonical"]),
)
@settings(max_examples=20, deadline=None)
def test_every_member_of_an_orbit_has_one_score(group: str, side: int, kind: str) -> None:
    torch.manual_seed(side)
    known = get_group(group)
    critic = critics(known, (1, side, side))[kind].double()
    x = torch.rand(1, 1, side, side, dtype=torch.float64).expand(known.order, -1, -1, -1)
    scores = critic(known.act(x, known.elements))
    assert torch.allclose(scores, scores[:1], atol=1e-6)
    others = critic(torch.rand(8, 1, side, side, dtype=torch.float64))
    assert others.std() > 1e-6


@pytest.mark.parametrize(
    ("group", "shape"),
    [
        ("c8", (1, 8, 8)),
        ("channels", (3, 6, 6)),
        ("d4*negative", (3, 6, 6)),
        ("reverse*polarity", (90,)),
        ("time_shift4", (96,)),
    ],
)
def test_the_mean_over_the_orbit_does_for_any_finite_group(group: str, shape: tuple[int, ...]) -> None:
    known = get_group(group)
    critic = OrbitCritic(Encoder(shape, 4), known)
    x = torch.rand(5, *shape)
    exact = known.exact_elements
    for element in exact:
        assert torch.allclose(critic(known.act(x, element.expand(5))), critic(x), atol=1e-2 if group == "c8" else 1e-5)


@pytest.mark.parametrize("group", ["c4", "d4", "c2"])
def test_a_symmetrized_critic_of_a_distribution_is_a_critic_of_the_symmetrized_distribution(group: str) -> None:
    """E_P[S_G f] = E_{S^G P}[f] (arXiv 2305.13517), the distribution being that of a generator."""
    known = get_group(group)
    base = nn.Sequential(nn.Linear(4, 36), nn.Tanh(), nn.Unflatten(1, (1, 6, 6))).double()
    generator = SymmetrizedGenerator(base, known, 4)
    critic = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 1), nn.Flatten(0)).double()
    noise = torch.randn(50, 4, dtype=torch.float64)
    of_symmetrized_critic = OrbitCritic(critic, known)(base(noise)).mean()
    every_pose = torch.stack([generator(noise, one.expand(50)) for one in known.elements])
    of_symmetrized_distribution = critic(every_pose.flatten(0, 1)).mean()
    assert abs(of_symmetrized_critic - of_symmetrized_distribution) < 1e-12
    assert abs(critic(base(noise)).mean() - of_symmetrized_distribution) > 1e-3


def path_through_a_tie(group: Any) -> Tensor:
    """Between an image and itself turned: somewhere on the way two elements are equally likely."""
    torch.manual_seed(3)
    x = torch.rand(1, 1, 16, 16) + torch.linspace(0, 2, 16)
    share = torch.linspace(0, 1, 4001).view(-1, 1, 1, 1)
    return (1 - share) * x + share * group.act(x, torch.tensor([1]))


def test_scores_do_not_jump_where_two_elements_are_equally_likely() -> None:
    c4 = get_group("c4")
    encoder, found = Encoder((1, 16, 16), 8), canonicalizer(c4)
    path = path_through_a_tie(c4)
    jumps = {}
    with torch.no_grad():
        assert len(found(path).argmax(1).unique()) > 1
        for margin in (1e-9, 1.0):
            scores = CanonicalCritic(encoder, found, margin)(path)
            jumps[margin] = float(scores.diff().abs().max() / (scores.max() - scores.min()))
    assert jumps[1.0] < 0.05 * jumps[1e-9]


def test_canonical_scores_cost_less_than_an_orbit() -> None:
    c4 = get_group("c4")
    seen = []
    encoder = Encoder((1, 16, 16), 4)
    encoder.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    upright = torch.rand(200, 1, 16, 16) + torch.linspace(0, 2, 16)
    for margin, most in ((1e-6, 1.01), (1.0, 2.5)):
        CanonicalCritic(encoder, canonicalizer(c4), margin)(upright)
        assert 200 <= seen[-1] <= most * 200
    OrbitCritic(encoder, c4)(upright)
    assert seen[-1] == 800


def test_a_canonicalizer_of_a_continuous_group_makes_critics_invariant_too() -> None:
    gain = get_group("gain")
    critic = CanonicalCritic(Encoder((400,), 4), MomentCanonicalizer(gain))
    x = torch.randn(4, 400) * 0.05
    assert torch.allclose(critic(gain.act(x, torch.tensor([3.0, -4.0, 6.0, 1.0]))), critic(x), atol=1e-3)
    assert critic(x).std() > 1e-4


@pytest.mark.parametrize("kind", ["orbit", "convolution", "canonical", "none"])
def test_the_penalty_has_gradients_through_every_critic(kind: str) -> None:
    c4 = get_group("c4")
    critic = critic_of(kind, c4, (1, 12, 12), 4, canonicalizer(c4))
    steep = lambda x: 1e4 * critic(x)  # noqa: E731
    penalty = gradient_penalty(steep, torch.rand(6, 1, 12, 12), torch.rand(6, 1, 12, 12))
    assert penalty > 0
    penalty.backward()
    trained = [one for one in critic.parameters() if one.requires_grad and one.ndim > 1]
    assert all(one.grad is not None and one.grad.isfinite().all() and one.grad.abs().sum() > 0 for one in trained)


def test_a_frozen_canonicalizer_is_not_trained() -> None:
    c4 = get_group("c4")
    critic = critic_of("canonical", c4, (1, 12, 12), 4, OrbitCanonicalizer(c4, channels=1))
    critic(torch.rand(2, 1, 12, 12)).sum().backward()
    parameters = list(critic.canonicalizer.parameters())  # type: ignore[union-attr]
    assert parameters and all(one.grad is None for one in parameters)


@pytest.mark.parametrize(
    ("kind", "group", "sentence"),
    [
        ("orbit", "so2", "so2 is continuous"),
        ("convolution", "c8", "c8 does not. Take the invariance 'orbit'"),
        ("convolution", "channels", "channels does not"),
        ("canonical", "c8", "needs an equivariant canonicalizer over c8"),
        ("orbits", "c4", "no invariance 'orbits'"),
    ],
)
def test_what_is_no_critic_is_refused(kind: str, group: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        critic_of(kind, get_group(group), (3, 8, 8), 4, canonicalizer(get_group("c4")))
