"""One suite for every canonicalizer and group: a new row in `ROWS` gets all of it."""

import copy
import pickle

import pytest
import torch
from images import images
from tones import tones
from torch import nn

from hf_canon import check_equivariance, get_group
from hf_canon.canonicalizers import CANONICALIZERS, Canonicalizer, build_canonicalizer
from hf_canon.groups import Group, Images
from hf_canon.quadratic import second_order_parameters, slow_second_order

PLANAR = ["c4", "d4", "c8", "c1", "c2", "c3", "c5", "d1", "d2", "d3", "d8"]
COLORS = ["channels", "negative", "hue4", "hue12", "d4*channels", "d4*negative", "c4*hue12"]
CLIPS = ["reverse", "polarity", "time_shift4", "reverse*polarity"]
# Words behind the name of a canonicalizer, and the settings that they stand for.
WORDS: dict[str, dict[str, str]] = {
    "quadratic": {"neuron": "quadratic"},
    "compact": {"neuron": "compact"},
    "energies": {"head": "quadratic"},
}
QUADRATIC = [
    *(
        (f"{name} {word}", group)
        for name in ("orbit", "equivariant", "shift")
        for word in ("quadratic", "compact")
        for group in ("c4", "d4", "c8")
    ),
    *(("orbit energies", group) for group in ("c4", "d4", "c8", "c1", "channels", "c4*hue12", "reverse")),
    *(("orbit quadratic energies", group) for group in ("d4", "d4*negative", "time_shift4")),
    *(("shift quadratic", group) for group in ("so2", "hue12", "pitch12")),
]
ROWS = [
    *QUADRATIC,
    *((name, group) for name in ("orbit", "equivariant", "shift", "predictor") for group in PLANAR),
    *((name, group) for name in ("orbit", "predictor") for group in COLORS + CLIPS),
    *(("shift", group) for group in ("so2", "hue4", "hue12", "hue", "pitch12", "speed7")),
    *(("moment", group) for group in ("hue12", "hue", "white_balance", "gamma", "gain", "polarity")),
]
TRAINED = [row for row in ROWS if row[0] != "predictor"]
# A moment needs inputs that are alike, and `orbit` many steps for what lies between thirds of the hue circle.
QUICK = [row for row in TRAINED if row[0] != "moment" and row not in [("orbit", "hue4"), ("orbit", "hue12")]]


class Judge(nn.Module):
    """A stand-in for a checkpoint: logits that depend on where things are."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(48, 5)

    def forward(self, pixel_values: torch.Tensor) -> "Judge":
        pooled = nn.functional.adaptive_avg_pool2d(pixel_values.double(), 4).float().flatten(1)
        return self.answer(pooled)

    def answer(self, features: torch.Tensor) -> "Judge":
        answer = copy.copy(self)
        answer.logits = self.head(features)
        return answer


class Listener(Judge):
    main_input_name = "input_values"

    def forward(self, input_values: torch.Tensor) -> Judge:  # type: ignore[override]
        return self.answer(
            nn.functional.adaptive_avg_pool1d(input_values.double().unsqueeze(1), 48).float().flatten(1)
        )


def inputs(group: Group, batch: int, size: int = 40, seed: int = 0) -> torch.Tensor:
    """Images of so many pixels a side, or clips of a hundred samples for each of those."""
    if isinstance(group.kind, Images):
        return (
            0.5 + 0.2 * images(batch, size, seed=seed) if hasattr(group, "moment") else images(batch, size, seed=seed)
        )
    return tones(batch, 100 * size, seed=seed)


def judge(group: Group) -> Judge:
    return Judge() if isinstance(group.kind, Images) else Listener()


def build(name: str, group: str) -> Canonicalizer:
    torch.manual_seed(0)
    name, *words = name.split()
    settings = {key: value for word in words for key, value in WORDS[word].items()}
    canonicalizer = build_canonicalizer(name, get_group(group), **settings)
    with torch.no_grad():  # quadratic neurons begin as linear ones
        for parameter in second_order_parameters(canonicalizer):
            parameter.normal_(0, 0.01)
    if name == "predictor":
        canonicalizer.attach(judge(canonicalizer.group))
    return canonicalizer.eval()


def far(group: Group, found: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    """By how much two elements of a continuous group differ."""
    return group.wrap(found - expected).abs()


def test_the_suite_covers_the_table() -> None:
    assert {name.partition(" ")[0] for name, _ in ROWS} == set(CANONICALIZERS)


@pytest.mark.covering("name", "group_name")
@pytest.mark.parametrize(("name", "group_name"), ROWS)
class TestCanonicalizer:
    def test_shapes(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        logits = canonicalizer(inputs(canonicalizer.group, 3))
        element = canonicalizer.element(logits)
        assert logits.shape[0] == 3 and logits.isfinite().all() and element.shape == (3,)
        if canonicalizer.group.finite:
            assert logits.shape[1] == canonicalizer.group.order and element.dtype == torch.long

    def test_equivariance(self, name: str, group_name: str) -> None:
        """Moving the input by an exact element transforms the logits, for large and small, odd and even inputs."""
        canonicalizer = build(name, group_name)
        group = canonicalizer.group
        if len(group.exact_elements) == 1 and group.order != 1:
            with pytest.raises(ValueError, match="but the identity is exact"):
                check_equivariance(canonicalizer)
            return
        for size in (19, 32, 33, 64, 97):
            assert check_equivariance(canonicalizer, inputs(group, 2, size)) < 1e-4

    def test_element_moves_with_the_input(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        group = canonicalizer.group
        x = inputs(group, 8, 48)
        with torch.no_grad():
            found = canonicalizer.element(canonicalizer(x))
            for one in group.exact_elements:
                transformed = group.act(x, one.expand(8))
                element = canonicalizer.element(canonicalizer(transformed))
                expected = group.compose(one.expand(8), found)
                if group.finite:
                    assert torch.equal(element, expected)
                else:
                    assert far(group, element, expected).max() < 2e-3

    def test_answers_do_not_depend_on_the_batch(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        x = inputs(canonicalizer.group, 4)
        with torch.no_grad():
            together = canonicalizer(x)
            alone = torch.cat([canonicalizer(one[None]) for one in x])
        assert torch.allclose(together, alone, atol=1e-5)

    @pytest.mark.covering("name", "group_name", "dtype")
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
    def test_dtypes_of_the_input(self, name: str, group_name: str, dtype: torch.dtype) -> None:
        canonicalizer = build(name, group_name)
        x = inputs(canonicalizer.group, 2)
        if name == "predictor":
            x = x.to(dtype).float()
        with torch.no_grad():
            assert torch.allclose(canonicalizer(x.to(dtype)).float(), canonicalizer(x), atol=0.3)

    def test_device(self, name: str, group_name: str, second_device: torch.device) -> None:
        canonicalizer = build(name, group_name)
        x = inputs(canonicalizer.group, 2)
        with torch.no_grad():
            here = canonicalizer(x)
            if name == "predictor":
                canonicalizer.attach(judge(canonicalizer.group).to(second_device))
                assert canonicalizer(x.to(second_device)).device.type == second_device.type
            else:
                assert torch.allclose(canonicalizer.to(second_device)(x.to(second_device)).cpu(), here, atol=1e-3)

    def test_rebuilt_from_its_settings(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        again = build_canonicalizer(canonicalizer.name, canonicalizer.group, **canonicalizer.settings).eval()
        again.load_state_dict(canonicalizer.state_dict())
        if name == "predictor":
            again.attach(canonicalizer._predictor[0])
        with torch.no_grad():
            x = inputs(canonicalizer.group, 2)
            assert torch.equal(again(x), canonicalizer(x))


def transformed_at_random(x: torch.Tensor, group: Group) -> tuple[torch.Tensor, ...]:
    """What `pose_loss` takes."""
    if isinstance(group.kind, Images):
        return *group.random_act(x), None
    lengths = torch.full((len(x),), x.shape[1])
    transformed, element, offset = group.random_act(x, None, lengths)
    return transformed, element, offset, group.transformed_lengths(lengths, element)


@pytest.mark.covering("name", "group_name")
@pytest.mark.parametrize(("name", "group_name"), TRAINED)
class TestTrainedCanonicalizer:
    def test_every_parameter_gets_a_gradient(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name).train()
        canonicalizer.pose_loss(*transformed_at_random(inputs(canonicalizer.group, 4), canonicalizer.group)).backward()
        for parameter_name, parameter in canonicalizer.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), parameter_name

    @pytest.mark.covering("name")
    def test_compiles_without_graph_breaks(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        x = inputs(canonicalizer.group, 2)
        compiled = torch.compile(canonicalizer, fullgraph=True, backend="eager")
        with torch.no_grad():
            assert torch.allclose(compiled(x), canonicalizer(x), atol=1e-5)

    def test_nothing_is_remembered(self, name: str, group_name: str) -> None:
        canonicalizer = build(name, group_name)
        x, y = inputs(canonicalizer.group, 2), inputs(canonicalizer.group, 3, 56, seed=1)
        with torch.no_grad():
            first = canonicalizer(x)
            canonicalizer(y)
            assert torch.equal(canonicalizer(x), first)
            assert torch.equal(pickle.loads(pickle.dumps(canonicalizer))(x), first)


@pytest.mark.covering("name")
@pytest.mark.parametrize(("name", "group_name"), QUICK)
def test_learns_the_pose(name: str, group_name: str) -> None:
    """Forty steps on four images that come upright, and it finds how they were turned."""
    canonicalizer = build(name, group_name).train()
    group = canonicalizer.group
    optimizer = torch.optim.AdamW(canonicalizer.parameters(), 5e-3)
    slow_second_order(optimizer, canonicalizer)
    x = inputs(group, 4)
    copies = x.repeat(8, 1, 1, 1) if x.ndim == 4 else x[:, :2000].repeat(4, 1)
    for _ in range(40):
        loss = canonicalizer.pose_loss(*transformed_at_random(copies, group))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    canonicalizer.eval()
    transformed, element, _, lengths = transformed_at_random(copies, group)
    with torch.no_grad():
        found = canonicalizer.element(canonicalizer(transformed, lengths))
    right = found == element if group.finite else far(group, found, element) < group.tolerance
    assert right.float().mean() > 0.7


@pytest.mark.covering("name", "group_name")
@pytest.mark.parametrize(("name", "group_name"), [row for row in QUADRATIC if row[0].split()[1] != "energies"])
def test_quadratic_neurons_start_as_linear_ones(name: str, group_name: str) -> None:
    """With the weights of the canonicalizer whose place it takes, the logits are the same to the bit."""
    canonicalizer, linear = (
        build(name, group_name),
        build(name.replace("quadratic", "").replace("compact", ""), group_name),
    )
    x = inputs(canonicalizer.group, 2)
    with torch.no_grad():
        assert sum(p.numel() for p in canonicalizer.parameters()) > 1.5 * sum(p.numel() for p in linear.parameters())
        canonicalizer.load_state_dict(linear.state_dict())
        assert torch.equal(canonicalizer(x), linear(x))


@pytest.mark.parametrize("name", ["equivariant", "equivariant quadratic"])
def test_cached_kernels_follow_the_weights(name: str) -> None:
    canonicalizer = build(name, "c8")
    x = inputs(canonicalizer.group, 2)
    with torch.no_grad():
        before = canonicalizer(x)
        canonicalizer.layers[0].weight.mul_(-1.5)  # in place, in evaluation mode
        after = canonicalizer(x)
        fresh = copy.deepcopy(canonicalizer)(x)
        half = canonicalizer.bfloat16()(x)  # each kernel is made anew, in float32, and none taken for another
        fresh_half = copy.deepcopy(canonicalizer)(x)
    assert not torch.equal(before, after)
    assert torch.equal(after, fresh)
    assert torch.equal(half, fresh_half)


def test_group_convolutions_begin_anew() -> None:
    layer = build("equivariant quadratic", "c4").layers[0]
    before = layer.weight.clone()
    layer.reset_parameters()
    assert not torch.equal(layer.weight, before) and not layer.gain_weight.any() and not layer.square_weight.any()


def test_cached_kernels_are_kept_for_the_weights_there_are() -> None:
    """Weights that are replaced leave nothing behind, and new ones at their address are not taken for them."""
    canonicalizer = build("equivariant quadratic", "c4")
    x = inputs(canonicalizer.group, 1)
    layer = canonicalizer.layers[0]
    with torch.no_grad():
        for seed in range(20):
            torch.manual_seed(seed)
            state = {name: torch.randn_like(value) for name, value in layer.state_dict().items()}
            layer.load_state_dict(state, assign=True)
            assert torch.equal(layer(x), copy.deepcopy(layer)(x))
    assert len(layer._cache) == 3


@pytest.mark.parametrize("name", ["equivariant", "equivariant quadratic", "equivariant compact"])
def test_group_convolution_is_equivariant_layer_by_layer(name: str) -> None:
    canonicalizer = build(name, "d4")
    group, lift = canonicalizer.group, canonicalizer.layers[0]
    x = images(1, 33)
    with torch.no_grad():
        features = lift(x)
        for one in group.elements:
            transformed = lift(group.act(x, one[None]))
            carried = group.compose(group.inverse(one), group.elements)
            expected = group.act(features[0].transpose(0, 1), one.expand(8)).transpose(0, 1)[:, carried]
            assert torch.allclose(transformed[0], expected, atol=1e-5)


def test_shift_reads_angles_between_its_steps() -> None:
    """A signal transformed by a fraction of a step is found there."""
    bins, sharp = 48, 3.0
    angle = torch.linspace(-3.1, 3.1, 50)
    steps = torch.arange(bins) * (2 * torch.pi / bins)
    logits = sharp * (angle[:, None] - steps).cos()
    assert ((get_group("so2").peak(logits) - angle) / 2).sin().abs().max() < 1e-3


def test_an_adapter_that_names_the_score_of_the_predictor_is_one_that_does_not() -> None:
    saved = build_canonicalizer("predictor", get_group("c4"), channels=1, score="confidence")
    assert saved.settings == {"channels": 1}


@pytest.mark.parametrize(
    ("name", "group", "settings", "sentence"),
    [
        ("nearest", "c4", {}, "no canonicalizer 'nearest'. Known ones: orbit, equivariant, shift, moment, predictor"),
        ("orbit", "so2", {}, "needs a finite group; for so2 use canonicalizer='shift'"),
        ("equivariant", "so2", {}, "so2 is not one. Use canonicalizer='shift'"),
        ("predictor", "so2", {}, "so2 has infinitely many. Use a finite group"),
        ("predictor", "c4", {"score": "energy"}, "by the confidence of the predictor, not by 'energy'. Leave out"),
        ("equivariant", "c4", {"resolution": 32}, "resolution of 32 .* equivariance is lost. Use 29"),
        ("shift", "c4", {"widht": 3}, "cannot be built from .*widht"),
        ("shift", "c4", {"neuron": "cubic"}, "no neuron 'cubic'. Known ones: linear, quadratic, compact"),
        ("equivariant", "c4", {"neuron": "cubic"}, "no neuron 'cubic'"),
        ("orbit", "c4", {"neuron": "cubic"}, "no neuron 'cubic'"),
        ("orbit", "c4", {"neuron": "quadratic", "network": nn.Flatten()}, "of the built-in network, and another one"),
        ("orbit", "c4", {"head": "sine"}, "head 'cosine' or 'quadratic', and not 'sine'"),
    ],
)
def test_refusals(name: str, group: str, settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        build_canonicalizer(name, get_group(group), **settings)
