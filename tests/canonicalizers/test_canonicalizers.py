"""One suite for every canonicalizer and group: a new row in `ROWS` gets all of it."""

import copy
import pickle

import pytest
import torch
from pictures import pictures
from torch import nn

from hf_canon import check_equivariance, get_group
from hf_canon.canonicalizers import CANONICALIZERS, Canonicalizer, build_canonicalizer

PLANAR = ["c1", "c2", "c3", "c4", "c5", "c8", "d1", "d2", "d3", "d4", "d8"]
ROWS = [(name, group) for name in ("orbit", "equivariant", "shift", "predictor") for group in PLANAR] + [
    ("shift", "so2")
]
TRAINED = [row for row in ROWS if row[0] != "predictor"]


class Judge(nn.Module):
    """A stand-in for a checkpoint: logits that depend on where things are."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(48, 5)

    def forward(self, pixel_values: torch.Tensor) -> "Judge":
        pooled = nn.functional.adaptive_avg_pool2d(pixel_values.double(), 4).float().flatten(1)
        answer = copy.copy(self)
        answer.logits = self.head(pooled)
        return answer


def build(name: str, group: str) -> Canonicalizer:
    canonicalizer = build_canonicalizer(name, get_group(group))
    if name == "predictor":
        canonicalizer.attach(Judge())
    return canonicalizer.eval()


def test_the_suite_covers_the_table() -> None:
    assert {name for name, _ in ROWS} == set(CANONICALIZERS)


@pytest.mark.parametrize(("name", "group_name"), ROWS)
class TestCanonicalizer:
    def test_shapes(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        logits = canonicalizer(pictures(3, 40))
        element = canonicalizer.element(logits)
        assert logits.shape[0] == 3 and logits.isfinite().all() and element.shape == (3,)
        if canonicalizer.group.finite:
            assert logits.shape[1] == canonicalizer.group.order and element.dtype == torch.long

    def test_equivariance(self, name: str, group_name: str) -> None:
        """Moving the input by an exact element moves the logits, for large and small, odd and even inputs."""
        canonicalizer = build(name, group_name)
        for size in (19, 32, 33, 64, 97):
            assert check_equivariance(canonicalizer, pictures(2, size)) < 1e-4

    def test_element_moves_with_the_input(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        group = canonicalizer.group
        x = pictures(8, 48)
        with torch.no_grad():
            found = canonicalizer.element(canonicalizer(x))
            for one in group.exact_elements:
                moved = group.act(x, one.expand(8))
                element = canonicalizer.element(canonicalizer(moved))
                expected = group.compose(one.expand(8), found)
                if group.finite:
                    assert torch.equal(element, expected)
                else:
                    assert ((element - expected) / 2).sin().abs().max() < 1e-3

    def test_answers_do_not_depend_on_the_batch(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        x = pictures(4, 40)
        with torch.no_grad():
            together = canonicalizer(x)
            alone = torch.cat([canonicalizer(one[None]) for one in x])
        assert torch.allclose(together, alone, atol=1e-5)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_dtypes_of_the_input(self, name: str, group_name: str, dtype: torch.dtype) -> None:
        canonicalizer = build(name, group_name)
        x = pictures(2, 40)
        if name == "predictor":
            x = x.to(dtype).float()
        with torch.no_grad():
            assert torch.allclose(canonicalizer(x.to(dtype)).float(), canonicalizer(x), atol=0.3)

    def test_device(self, name: str, group_name: str, device: torch.device) -> None:
        canonicalizer = build(name, group_name)
        x = pictures(2, 40)
        with torch.no_grad():
            here = canonicalizer(x)
            if name == "predictor":
                canonicalizer.attach(Judge().to(device))
                assert canonicalizer(x.to(device)).device.type == device.type
            else:
                assert torch.allclose(canonicalizer.to(device)(x.to(device)).cpu(), here, atol=1e-3)

    def test_rebuilt_from_its_settings(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        again = build_canonicalizer(name, canonicalizer.group, **canonicalizer.settings).eval()
        again.load_state_dict(canonicalizer.state_dict())
        if name == "predictor":
            again.attach(canonicalizer._predictor[0])
        with torch.no_grad():
            assert torch.equal(again(pictures(2, 40)), canonicalizer(pictures(2, 40)))


@pytest.mark.parametrize(("name", "group_name"), TRAINED)
class TestTrainedCanonicalizer:
    def test_every_parameter_gets_a_gradient(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name).train()
        moved, element, offset = canonicalizer.group.random_act(pictures(4, 40))
        canonicalizer.pose_loss(moved, element, offset).backward()
        for parameter_name, parameter in canonicalizer.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name

    def test_learns_the_pose(self, name: str, group_name: str) -> None:
        """Forty steps on four pictures that come upright, and it finds how they were turned."""
        canonicalizer = build(name, group_name).train()
        group = canonicalizer.group
        optimizer = torch.optim.AdamW(canonicalizer.parameters(), 5e-3)
        x = pictures(4, 40)
        for _ in range(40):
            moved, element, offset = group.random_act(x.repeat(8, 1, 1, 1))
            loss = canonicalizer.pose_loss(moved, element, offset)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        canonicalizer.eval()
        moved, element, _ = group.random_act(x.repeat(8, 1, 1, 1))
        with torch.no_grad():
            found = canonicalizer.element(canonicalizer(moved))
        if group.finite:
            assert (found == element).float().mean() > 0.7
        else:
            assert (((found - element) / 2).sin().abs() < 0.2).float().mean() > 0.7

    def test_compiles_without_graph_breaks(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        x = pictures(2, 40)
        compiled = torch.compile(canonicalizer, fullgraph=True, backend="eager")
        with torch.no_grad():
            assert torch.allclose(compiled(x), canonicalizer(x), atol=1e-5)

    def test_nothing_is_remembered(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        x, y = pictures(2, 40), pictures(3, 57, seed=1)
        with torch.no_grad():
            first = canonicalizer(x)
            canonicalizer(y)
            assert torch.equal(canonicalizer(x), first)
            assert torch.equal(pickle.loads(pickle.dumps(canonicalizer))(x), first)


def test_cached_kernels_follow_the_weights() -> None:
    canonicalizer = build("equivariant", "c8")
    x = pictures(2, 40)
    with torch.no_grad():
        before = canonicalizer(x)
        canonicalizer.layers[0].weight.mul_(-1.5)  # in place, in evaluation mode
        after = canonicalizer(x)
        fresh = copy.deepcopy(canonicalizer)(x)
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)


def test_group_convolution_is_equivariant_layer_by_layer() -> None:
    canonicalizer = build("equivariant", "d4")
    group, lift = canonicalizer.group, canonicalizer.layers[0]
    x = pictures(1, 33)
    with torch.no_grad():
        features = lift(x)
        for one in group.elements:
            moved = lift(group.act(x, one[None]))
            carried = group.compose(group.inverse(one), group.elements)
            expected = group.act(features[0].transpose(0, 1), one.expand(8)).transpose(0, 1)[:, carried]
            assert torch.allclose(moved[0], expected, atol=1e-5)


def test_shift_reads_angles_between_its_steps() -> None:
    """A signal moved by a fraction of a step is found there."""
    from hf_canon.canonicalizers.base import peak

    bins, sharp = 48, 3.0
    angle = torch.linspace(-3.1, 3.1, 50)
    steps = torch.arange(bins) * (2 * torch.pi / bins)
    logits = sharp * (angle[:, None] - steps).cos()
    assert ((peak(logits, get_group("so2")) - angle) / 2).sin().abs().max() < 1e-3


@pytest.mark.parametrize(
    ("name", "group", "settings", "sentence"),
    [
        ("nearest", "c4", {}, "no canonicalizer 'nearest'. Known ones: orbit, equivariant, shift, predictor"),
        ("orbit", "so2", {}, "needs a finite group; for so2 use canonicalizer='shift'"),
        ("equivariant", "so2", {}, "so2 is not one. Use canonicalizer='shift'"),
        ("predictor", "so2", {}, "so2 has infinitely many. Use a finite group"),
        ("predictor", "c4", {"score": "luck"}, "no score 'luck'. Known scores: confidence, energy, margin"),
        ("equivariant", "c4", {"resolution": 32}, "resolution of 32 .* equivariance is lost. Use 29"),
        ("shift", "c4", {"widht": 3}, "cannot be built from .*widht"),
    ],
)
def test_refusals(name: str, group: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_canonicalizer(name, get_group(group), **settings)
