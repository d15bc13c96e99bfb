"""What the benchmark of invariant GANs measures."""

import gan_tasks as tasks
import pytest
import torch
from benchmark_invariant_gan import saved
from hypothesis import given, settings
from hypothesis import strategies as st
from point_groups import PointGroup

GROUPS = ["c1", "c4", "c8", "d3", "d4"]


@given(group=st.sampled_from(GROUPS), dimensions=st.integers(2, 4), data=st.data())
@settings(max_examples=30, deadline=None)
def test_points_are_moved_by_a_group(group: str, dimensions: int, data: st.DataObject) -> None:
    known = PointGroup(group)  # whose angles are of single precision
    x = torch.randn(5, dimensions, dtype=torch.float64)
    a, b = (torch.tensor([data.draw(st.integers(0, known.order - 1))]).expand(5) for _ in range(2))
    assert torch.allclose(known.act(known.act(x, a), b), known.act(x, known.compose(b, a)), atol=1e-6)
    assert torch.allclose(known.act(known.act(x, a), known.inverse(a)), x, atol=1e-6)
    assert torch.allclose(known.act(x, a).norm(dim=1), x.norm(dim=1), atol=1e-6)


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("dimensions", [2, 3])
def test_transport_between_orbits_is_that_between_symmetrized_samples(group: str, dimensions: int) -> None:
    known, generator = PointGroup(group), torch.Generator().manual_seed(dimensions)
    a, b = (tasks.in_ball(15, dimensions, generator) for _ in range(2))

    def symmetrized(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([known.act(x, one.expand(len(x))) for one in known.elements])

    whole = tasks.transport(torch.cdist(symmetrized(a), symmetrized(b)))
    assert tasks.transport(tasks.orbit_distances(known, a, b)) == pytest.approx(whole, abs=1e-6)


def test_the_law_is_left_as_it_is_and_fills_the_ball() -> None:
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
    assert saved(plain, plain) == pytest.approx(1, rel=1e-4)
    assert saved(plain, [0.9 * (8 * n) ** -0.4 for n in tasks.SIZES]) == pytest.approx(8, rel=1e-3)


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
