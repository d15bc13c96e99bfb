"""What the benchmark of comodulation measures, and what it says of differences."""

import math

import comodulation_tasks as tasks
import pytest
import torch
from figure_comodulation import Measured, verdict


def rows(*curves: list[float]) -> Measured:
    return Measured(
        [[{"curve": [[5 * i, v] for i, v in enumerate(curve)], "test": {"ap": 1.0}} for curve in curves]], 0.1
    )


def test_calibration_error_is_the_distance_of_confidence_from_accuracy() -> None:
    right = torch.arange(100) < 70
    assert tasks.calibration_error(torch.full((100,), 0.7), right) == pytest.approx(0, abs=1e-6)
    assert tasks.calibration_error(torch.full((100,), 0.9), right) == pytest.approx(0.2, abs=1e-6)
    assert tasks.calibration_error(torch.ones(100), right) == pytest.approx(0.3, abs=1e-6)


def test_measures_of_scores_that_are_known() -> None:
    x, y = torch.tensor([[2.0], [1.0], [-1.0], [-2.0]]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    found = tasks.measured(lambda x: x[:, 0], (x, y))
    assert found["accuracy"] == 50 and found["ap"] == pytest.approx(100 * (1 + 2 / 3) / 2)
    assert found["nll"] == pytest.approx(sum(math.log1p(math.exp(-s)) for s in (2, -1, -1, 2)) / 4, rel=1e-5)
    several = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    assert tasks.measured(lambda x: 9 * x, (several, torch.tensor([0, 1, 2, 0])))["ap"] == pytest.approx(100)


def test_steps_are_those_of_the_mean_curve() -> None:
    measured = rows([10, 50, 90], [10, 30, 90])
    assert measured.curve() == [(0, 10), (5, 40), (10, 90)]
    assert [measured.steps_to(accuracy) for accuracy in (10, 40, 41, 91)] == [0, 5, 10, None]


@pytest.mark.parametrize(
    ("differences", "said"),
    [([1.0, 1.1, 0.9], "+1.0, **win**"), ([-1.0, -1.1, -0.9], "-1.0, loss"), ([3.0, -2.0], "+0.5, level")],
)
def test_five_seeds_can_tell_or_not(differences: list[float], said: str) -> None:
    assert verdict(differences) == said


@pytest.mark.parametrize(("shots", "positives", "expected"), [(10, 50, 5), (30, 50, 15), (30, 4, 4)])
def test_half_of_the_examples_are_positive_as_far_as_there_are_as_many(
    shots: int, positives: int, expected: int
) -> None:
    labels = torch.zeros(200)
    labels[:positives] = 1
    x, y = tasks.balanced((torch.arange(200.0), labels), shots, seed=0)
    assert len(y) == len(x.unique()) == shots and y.sum() == expected
    assert torch.equal(labels[x.long()], y)


def test_a_mosaic_has_its_digits_row_by_row(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.arange(10.0)[:, None, None].expand(10, 28, 28)
    monkeypatch.setattr(tasks, "single_digits", lambda split: (images, torch.arange(10)))
    x, y = tasks.mosaic("train", 5, torch.Generator().manual_seed(0))
    corners = torch.stack([x[:, 0, 3, 3], x[:, 0, 3, 50], x[:, 0, 50, 3], x[:, 0, 50, 50]], 1)
    assert x.shape == (5, 1, 56, 56) and torch.equal(corners.long(), y)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_modulator_finds_the_units_that_tell(seed: int) -> None:
    found = {m: tasks.decoding(m, seed)["test"]["accuracy"] for m in ("sign alone", "modulator-guided", "oracle")}
    assert found["sign alone"] + 5 < found["modulator-guided"] <= found["oracle"] + 2
