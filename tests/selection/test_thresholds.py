"""The two thresholds keep their promises over many draws, whatever the scores are."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_canon.selection.thresholds import (
    coverage_threshold,
    fit_temperature,
    harm_threshold,
    items_for_coverage,
    items_for_harm,
)

DRAWS = 4000


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("items", [19, 60, 200])
def test_coverage_is_what_exchangeable_scores_say(alpha: float, items: int) -> None:
    """A new score is as likely to have any rank among n + 1: it is covered with probability k / (n + 1), where k of n
    reach the threshold, and k is the least for which that is 1 - alpha."""
    draws = torch.rand(DRAWS, items + 1, generator=torch.Generator().manual_seed(0)).pow(0.3) / 2
    found = torch.tensor([coverage_threshold(row[:-1], alpha) for row in draws], dtype=torch.float64)
    reached = (draws[:, :-1] >= found.unsqueeze(1)).sum(1)
    least = next(k for k in range(items + 1) if k / (items + 1) >= 1 - alpha - 1e-9)
    assert set(reached.tolist()) == {least}
    share = least / (items + 1)
    covered = float((draws[:, -1] >= found).double().mean())
    assert abs(covered - share) < 4 * math.sqrt(share * (1 - share) / DRAWS)
    # The promise itself, of what was measured: how `share` was chosen has no say in it.
    assert covered > 1 - alpha - 4 * math.sqrt(alpha * (1 - alpha) / DRAWS)


def test_what_is_likelier_than_all_others_together_is_never_left_out() -> None:
    assert coverage_threshold(torch.linspace(0.6, 0.99, 50), 0.2) == 0.5


@pytest.mark.parametrize("harm", [0.05, 0.1, 0.3])
@pytest.mark.parametrize("items", [19, 60, 200])
@pytest.mark.parametrize("informative", [False, True])
def test_harm_is_what_exchangeable_answers_say_and_below_its_bound(harm: float, items: int, informative: bool) -> None:
    """Of the spoiled among n + 1, each is as likely to be the new one, and those acted upon are the m + 1 surest, of
    which m may be among the n: the harm is the mean of min(m + 1, how many are spoiled) / (n + 1)."""
    generator = torch.Generator().manual_seed(1)
    sure = torch.rand(DRAWS, items + 1, generator=generator)
    chance = 1 - sure if informative else torch.full_like(sure, 0.4)
    bad = torch.rand(DRAWS, items + 1, generator=generator) < chance
    happened = torch.tensor(
        [
            float(row[-1] and confidence[-1] > harm_threshold(row[:-1], confidence[:-1], harm))
            for row, confidence in zip(bad, sure, strict=True)
        ]
    )
    most = max(m for m in range(items + 1) if (m + 1) / (items + 1) <= harm + 1e-9)
    expected = float((bad.sum(1).clamp(max=most + 1) / (items + 1)).mean())
    assert 0 < expected <= harm + 1e-6
    assert abs(float(happened.mean()) - expected) < 4 * math.sqrt(expected / DRAWS)


@given(
    sure=st.lists(st.floats(0, 1, width=32), min_size=30, max_size=60),
    seed=st.integers(0, 1000),
    harm=st.floats(0.05, 0.6),
)
@settings(max_examples=80, deadline=None)
def test_the_harm_threshold_is_the_lowest_that_keeps_the_bound(sure: list[float], seed: int, harm: float) -> None:
    confidence = torch.tensor(sure)
    bad = torch.rand(len(sure), generator=torch.Generator().manual_seed(seed)) < 0.3

    def kept(threshold: float) -> bool:
        return (int((bad & (confidence > threshold)).sum()) + 1) / (len(sure) + 1) <= harm + 1e-9

    found = harm_threshold(bad, confidence, harm)
    assert kept(found)
    lower = [0.0, *(float(one) for one in confidence if float(one) < found)]
    if found > 0:
        assert not kept(max(lower))


@pytest.mark.parametrize(("share", "needed"), [(0.5, 1), (0.1, 9), (0.05, 19), (0.01, 99), (0.001, 999)])
def test_how_many_inputs_a_level_takes(share: float, needed: int) -> None:
    assert items_for_coverage(share) == items_for_harm(share) == needed
    coverage_threshold(torch.rand(needed), share)
    harm_threshold(torch.zeros(needed, dtype=torch.bool), torch.rand(needed), share)
    if needed > 1:
        with pytest.raises(ValueError, match=f"takes {needed:,} inputs at least, and there are {needed - 1:,}"):
            coverage_threshold(torch.rand(needed - 1), share)
        with pytest.raises(ValueError, match=f"takes {needed:,} inputs at least"):
            harm_threshold(torch.zeros(needed - 1, dtype=torch.bool), torch.rand(needed - 1), share)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_temperature_that_was_applied_is_found(temperature: float) -> None:
    generator = torch.Generator().manual_seed(2)
    logits = 2 * torch.randn(20_000, 6, generator=generator)
    true = torch.multinomial(logits.softmax(1), 1, generator=generator).squeeze(1)
    near = torch.nn.functional.one_hot(true, 6).bool()
    assert fit_temperature(logits * temperature, near) == pytest.approx(temperature, rel=0.05)
