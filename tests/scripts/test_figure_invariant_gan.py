"""What the benchmark of invariant GANs measures."""

from pathlib import Path
from typing import Any

import figure_invariant_gan as benchmark
import gan_digits
import gan_tasks as tasks
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from point_groups import PointGroup

from hf_canon.generative import orbit_diversity
from hf_canon.generative.health import ONE_SIDED

GROUPS = ["c1", "c4", "c8", "d3", "d4"]


@given(group=st.sampled_from(GROUPS), dimensions=st.integers(2, 4), data=st.data())
@settings(max_examples=30, deadline=None)
def test_points_are_transformed_by_a_group(group: str, dimensions: int, data: st.DataObject) -> None:
    known = PointGroup(group)  # whose angles are of single precision
    x = torch.randn(5, dimensions, dtype=torch.float64)
    a, b = (torch.tensor([data.draw(st.integers(0, known.order - 1))]).expand(5) for _ in range(2))
    assert torch.allclose(known.act(known.act(x, a), b), known.act(x, known.compose(b, a)), atol=1e-5)
    assert torch.allclose(known.act(known.act(x, a), known.inverse(a)), x, atol=1e-5)
    assert torch.allclose(known.act(x, a).norm(dim=1), x.norm(dim=1), atol=1e-5)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_transport_between_orbits_is_that_between_symmetrized_samples(group: str, dimensions: int) -> None:
    known, generator = PointGroup(group), torch.Generator().manual_seed(dimensions)
    a, b = (tasks.in_ball(15, dimensions, generator) for _ in range(2))

    def symmetrized(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([known.act(x, one.expand(len(x))) for one in known.elements])

    whole = tasks.transport(torch.cdist(symmetrized(a), symmetrized(b)))
    assert tasks.transport(tasks.orbit_distances(known, a, b)) == pytest.approx(whole, abs=1e-6)


def test_the_distribution_is_left_as_it_is_and_fills_the_ball() -> None:
    x = tasks.in_ball(20_000, 3, torch.Generator().manual_seed(0))
    assert float(x.norm(dim=1).max()) <= 1
    assert float((x.norm(dim=1) < 0.5).double().mean()) == pytest.approx(1 / 8, abs=0.01)
    assert float(x.mean(0).norm()) < 0.02


@given(steep=st.floats(-1.0, 0.0), at_one=st.floats(0.1, 2.0))
@settings(max_examples=20, deadline=None)
def test_slopes_of_lines_are_found(steep: float, at_one: float) -> None:
    found = tasks.line(tasks.SIZES, [at_one * n**steep for n in tasks.SIZES])
    assert found == pytest.approx((steep, at_one), abs=1e-4)


def test_points_saved_are_read_off_the_plain_line() -> None:
    plain = [0.9 * n**-0.4 for n in tasks.SIZES]
    assert benchmark.saved(plain, plain) == pytest.approx(1, rel=1e-4)
    assert benchmark.saved(plain, [0.9 * (8 * n) ** -0.4 for n in tasks.SIZES]) == pytest.approx(8, rel=1e-3)


def test_the_canonicalizer_of_points_moves_with_them() -> None:
    x = torch.randn(50, 2)
    found = tasks.Angle()(x).argmax(1)
    for element in tasks.C4.elements:
        turned = tasks.C4.act(x, element.expand(50))
        assert torch.equal(tasks.Angle()(turned).argmax(1), tasks.C4.compose(element.expand(50), found))


@pytest.mark.parametrize("model", tasks.MODELS)
def test_every_model_is_trained_and_measured(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "STEPS", 3)
    monkeypatch.setattr(tasks, "MEASURED", 60)
    row = tasks.points(model, 20, seed=0, lr=1e-3)
    assert row["w1"] > row["floor"] > 0 and 0.25 <= row["diversity"] <= 1
    evaluations = {"critic": 4, "both": 4}.get(model, 1)
    assert row["evaluations"] == evaluations or (model == "canonical" and 1 < row["evaluations"] < 3)
    assert len(row["samples"]) == 60 and len(row["data"]) == (80 if model == "augmented" else 20)
    assert row == tasks.points(model, 20, seed=0, lr=1e-3)


@given(dimensions=st.integers(2, 6), seed=st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_the_frechet_distance_is_that_of_gaussians(dimensions: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(4 * dimensions + 20, dimensions, generator=generator, dtype=torch.float64) for _ in range(2))
    away = torch.randn(dimensions, generator=generator, dtype=torch.float64)
    assert gan_digits.frechet(x, x + away) == pytest.approx(float(away.square().sum()), abs=1e-6)
    assert gan_digits.frechet(x, y) == pytest.approx(gan_digits.frechet(y, x), abs=1e-6)
    # Of A and 9 A, whose means are 2 m apart: tr(A + 9 A - 6 A) + 4 |m|^2.
    known = 4 * float(torch.cov(x.T).trace() + x.mean(0).square().sum())
    assert gan_digits.frechet(x, 3 * x) == pytest.approx(known, abs=1e-6)


def test_the_frechet_distance_of_covariances_that_do_not_commute() -> None:
    root = (
        torch.tensor([[2.0, 0.0], [1.0, 1.0]], dtype=torch.float64),
        torch.tensor([[1.0, -1.0], [0.0, 3.0]]).double(),
    )
    white = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]], dtype=torch.float64)
    white = white / white.var(0).sqrt()
    a, b = (one @ one.T for one in root)
    values = torch.linalg.eigvals(a @ b).real.sqrt().sum()
    known = float(a.trace() + b.trace() - 2 * values)
    assert gan_digits.frechet(white @ root[0].T, white @ root[1].T) == pytest.approx(known, abs=1e-9)


@pytest.mark.slow
def test_digits_to_learn_from_are_turned_and_are_not_those_of_the_classifier() -> None:
    def members(x: torch.Tensor) -> list[bytes]:
        return [one.numpy().tobytes() for one in x]

    x = gan_digits.upright("train")[0]
    of_classifier, pool = x[: gan_digits.FOR_CLASSIFIER], x[gan_digits.FOR_CLASSIFIER :]
    some = members(gan_digits.draw_digits(60, seed=0))
    assert not set(some) & set(members(gan_digits.every_pose(of_classifier)))
    assert set(some) <= set(members(gan_digits.every_pose(pool)))
    assert 5 < len(set(some) & set(members(pool))) < 30
    assert some == members(gan_digits.draw_digits(60, seed=0)) != members(gan_digits.draw_digits(60, seed=1))


def test_digits_in_one_pose_are_told_from_turned_ones() -> None:
    """Which templates of noise see little of, and the mean of other digits shows."""
    upright = gan_digits.upright("test")[0][:512]
    assert orbit_diversity(upright, gan_digits.C4) < ONE_SIDED
    assert orbit_diversity(gan_digits.draw_digits(512, seed=0), gan_digits.C4) > 0.95


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifier")
    told = gan_digits.train_classifier(folder / "classifier.safetensors", steps=40)
    assert told == gan_digits.train_classifier(folder / "classifier.safetensors")  # which is there, and is read
    return folder


@pytest.fixture
def small(classifier: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gan_digits, "FOLDER", classifier)
    for name, value in {"STEPS": 2, "MEASURED": 80, "BATCH": 4, "SHOWN": 3}.items():
        monkeypatch.setattr(gan_digits, name, value)


@pytest.mark.slow
def test_the_distance_sees_kinds_and_poses_that_are_left_out(small: None) -> None:
    x, labels = gan_digits.upright("calibration")
    everything = gan_digits.features_of("test")
    near = gan_digits.frechet(gan_digits.features_of("calibration"), everything)
    assert gan_digits.frechet(gan_digits.features(x), everything) > 3 * near
    assert gan_digits.frechet(gan_digits.features(gan_digits.every_pose(x[labels == 3])), everything) > 3 * near


@pytest.mark.covering()
@pytest.mark.parametrize("model", gan_digits.MODELS)
def test_every_model_of_digits_is_trained_and_measured(model: str, small: None) -> None:
    row = gan_digits.digits(model, 10, seed=0, lr=1e-3)
    assert row["distance"] > row["floor"] > 0 and row["calibration"] > 0 and 0.25 <= row["diversity"] <= 1
    assert torch.tensor(row["samples"]).shape == (3, 16, 16)
    assert row == gan_digits.digits(model, 10, seed=0, lr=1e-3)


def test_rates_are_chosen_by_the_calibration_split_and_seeds_that_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def task(model: str, n: int, seed: int, lr: float) -> dict[str, Any]:
        best = {"a": 1.0, "b": 3.0}[model] if seed >= 100 else 2.0
        return {"calibration": abs(lr - best), "distance": n + seed + lr}

    def run_here(name: str, task: Any, wanted: list[Any], folder: Path, jobs: int) -> dict[str, Any]:
        return {benchmark.key(one): task(**one) for one in wanted}

    monkeypatch.setattr(benchmark, "run_all", run_here)
    places = [("a", 20), ("a", 80), ("b", 20)]
    found, rates = benchmark.learned("x", task, places, [0, 1], (1.0, 2.0, 3.0), (80, (100, 101)), tmp_path, 1)
    assert rates == {"a": 1.0, "b": 3.0}
    assert {place: [row["distance"] for row in rows] for place, rows in found.items()} == {
        ("a", 20): [21, 22],
        ("a", 80): [81, 82],
        ("b", 20): [23, 24],
    }


def test_a_table_names_collapse_and_rates_at_an_edge(capsys: pytest.CaptureFixture[str]) -> None:
    def rows(sentence: str | None, away: float = 0.0) -> list[dict[str, Any]]:
        return [{"distance": 1.0 + i + away, "diversity": 0.5, "sentence": sentence} for i in range(3)]

    found = {(model, n): rows(None) for model in ("plain", "critic", "both") for n in (20, 80)}
    found["critic", 20] = rows("The training shows collapse at step 9: x.", away=3)
    benchmark.print_learned(found, {"plain": 0.1, "critic": 0.2, "both": 0.2}, (0.1, 0.2, 0.3), "distance", 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == "| plain | 2.0 ± 1.0 | 2.0 ± 1.0 | 0.0 [0.0, 0.0] | 50 ± 0 % | trained | 0.1 (at the edge) |"
    assert lines[3].endswith("| 5.0 ± 1.0 | 2.0 ± 1.0 | 1.5 [1.5, 1.5] | 50 ± 0 % | 3 of 6: collapse | 0.2 |")
    assert lines[4] == "| both invariant | 2.0 ± 1.0 | 2.0 ± 1.0 |  | 50 ± 0 % | trained | 0.2 |"
    assert benchmark.interval([1.0, 2.0, 3.0], 2) == "2.00 [-0.48, 4.48]"  # 4.303 deviations of the mean
    assert lines[-1] == "What a training says that collapses: The training shows collapse at step 9: x."


def test_what_was_learned_is_drawn(tmp_path: Path) -> None:
    made = torch.randint(0, 256, (gan_digits.SHOWN, 16, 16)).tolist()
    found = {(model, n): [{"samples": made}] for model in gan_digits.MODELS for n in (40, 160)}
    benchmark.plot_digits(found, tmp_path / "digits.png")
    assert (tmp_path / "digits.png").stat().st_size > 10_000
