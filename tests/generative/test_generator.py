"""Generators whose distribution a group leaves as it is."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hf_canon import get_group
from hf_canon.generative import (
    Decoder,
    EquivariantGenerator,
    GeneratorConfig,
    InvariantGenerator,
    SymmetrizedGenerator,
    orbit_diversity,
    orbit_uniformity,
)
from hf_canon.groups import Images, Spectrograms
from hf_canon.groups.kinds import describe_kind

DISTRIBUTIONS = [
    ("c4", "output", (1, 12, 12)),
    ("c4", "features", (1, 12, 12)),
    ("d4", "output", (3, 9, 9)),
    ("d4", "features", (3, 9, 9)),
    ("d1", "features", (1, 8, 12)),
    ("c2", "features", (1, 9, 6)),
    ("c8", "output", (1, 12, 12)),
    ("channels", "output", (3, 8, 8)),
    ("negative", "output", (3, 8, 8)),
    ("d4*channels", "output", (3, 8, 8)),
    ("reverse", "output", (200,)),
    ("polarity", "output", (200,)),
    ("time_shift4", "output", (200,)),
]


def generator_of(group: str, symmetry: str, shape: tuple[int, ...], width: int = 4) -> InvariantGenerator:
    config = GeneratorConfig(group=group, symmetry=symmetry, shape=shape, latent_size=6, width=width)
    return InvariantGenerator(config).eval()


@pytest.mark.covering("group", "symmetry")
@pytest.mark.parametrize(("group", "symmetry", "shape"), DISTRIBUTIONS)
def test_generated_orbits_are_uniform_whatever_the_weights_are(
    group: str, symmetry: str, shape: tuple[int, ...]
) -> None:
    generator = generator_of(group, symmetry, shape)
    samples = generator.sample(60 * generator.group.order, torch.Generator().manual_seed(1))
    assert orbit_uniformity(samples, generator.group) > 1e-3
    assert orbit_diversity(samples, generator.group) > 0.9


@pytest.mark.covering()
@pytest.mark.parametrize(("group", "shape"), [(g, s) for g, y, s in DISTRIBUTIONS if y == "output"])
def test_a_plain_generator_does_not_pass_that_test(group: str, shape: tuple[int, ...]) -> None:
    generator = generator_of(group, "none", shape)
    samples = generator.sample(60 * generator.group.order, torch.Generator().manual_seed(1))
    assert orbit_uniformity(samples, generator.group) < 1e-6


@given(
    group=st.sampled_from(["c2", "c4", "d1", "d2", "d4"]),
    height=st.integers(5, 21),
    width=st.integers(5, 21),
    data=st.data(),
)
@settings(max_examples=25, deadline=None)
def test_the_equivariant_form_carries_the_element_to_the_sample(
    group: str, height: int, width: int, data: st.DataObject
) -> None:
    known = get_group(group)
    size = (height, height if known.turns_the_frame else width)  # type: ignore[attr-defined]
    torch.manual_seed(0)
    generator = EquivariantGenerator(Decoder(5, (2, *size), 3, Images(), known), 5).double()  # type: ignore[arg-type]
    noise = torch.randn(1, 5, dtype=torch.float64).expand(known.order, -1)
    first = torch.tensor([data.draw(st.integers(0, known.order - 1))]).expand(known.order)
    made = generator(noise, first)
    transformed = generator(noise, known.compose(known.elements, first))
    assert torch.allclose(transformed, known.act(made, known.elements), atol=1e-10)
    assert known.order == 1 or not torch.allclose(transformed, made, atol=1e-3)


def test_both_forms_move_the_sample_by_the_element_that_they_are_given() -> None:
    for symmetry in ("output", "features"):
        generator = generator_of("d4", symmetry, (1, 10, 10))
        noise = torch.randn(1, 6).expand(8, -1)
        with torch.no_grad():
            out = generator(noise, generator.group.elements)
        upright = out.samples[:1].expand(8, -1, -1, -1)
        assert torch.allclose(out.samples, generator.group.act(upright, out.element), atol=1e-5)


def test_gradients_reach_the_network_through_every_group() -> None:
    for group, symmetry, shape in DISTRIBUTIONS:
        generator = generator_of(group, symmetry, shape)
        generator(torch.randn(3, 6)).samples.square().sum().backward()
        assert all(one.grad is not None and one.grad.abs().sum() > 0 for one in generator.parameters()), group


@pytest.mark.parametrize(
    ("group", "shape"), [("so2", (1, 9, 9)), ("hue", (3, 8, 8)), ("gain", (100,)), ("gamma", (3, 8, 8))]
)
def test_elements_of_continuous_groups_are_drawn_too(group: str, shape: tuple[int, ...]) -> None:
    generator = generator_of(group, "output", shape)
    out = generator(torch.randn(1, 6).expand(20, -1))
    assert len(out.element.unique()) == 20
    assert (out.samples.flatten(1).std(0) > 0).any()


def test_spectrograms_have_a_kind_of_their_own() -> None:
    kind = Spectrograms(tuple(100.0 * 2 ** (i / 12) for i in range(24)), -1, 100.0, 1.0)
    config = GeneratorConfig(group="gain", shape=(30, 24), kind=describe_kind(kind), latent_size=6, width=4)
    assert InvariantGenerator(config).sample(2).shape == (2, 30, 24)


def test_it_is_saved_and_loaded_to_the_bit(tmp_path: Path) -> None:
    generator = generator_of("d4", "features", (1, 10, 10))
    generator.save_pretrained(tmp_path)
    again = InvariantGenerator.from_pretrained(tmp_path)
    again._apply(torch.clone)  # what was read from a file may lie elsewhere, and is summed up in another order then
    ours, theirs = (one.sample(9, torch.Generator().manual_seed(2), batch_size=4) for one in (generator, again))
    assert torch.equal(ours, theirs)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "samples.png",
    ]


def test_a_card_that_somebody_edited_is_kept(tmp_path: Path) -> None:
    generator = generator_of("c4", "output", (1, 8, 8))
    generator.save_pretrained(tmp_path)
    assert "rotations by multiples of 90" in (tmp_path / "README.md").read_text()
    (tmp_path / "README.md").write_text("mine")
    generator.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "mine"


@pytest.mark.parametrize(
    ("symmetry", "said"), [("output", "from a distribution that c4 ("), ("none", "no symmetry is built in")]
)
def test_a_card_says_whether_the_distribution_is_invariant(symmetry: str, said: str, tmp_path: Path) -> None:
    generator_of("c4", symmetry, (1, 8, 8)).save_pretrained(tmp_path)
    first = (tmp_path / "README.md").read_text().split("![Samples]")[0]
    assert said in first and ("leaves as it is" in first) == (symmetry == "output")


def test_a_save_does_not_upload_without_a_look_at_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="would upload without a card. Call generator.push_to_hub"):
        generator_of("c4", "output", (1, 8, 8)).save_pretrained(tmp_path / "x", push_to_hub=True, repo_id="me/x")
    assert not (tmp_path / "x").exists()


def test_another_checkpoint_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "vit"}')
    with pytest.raises(ValueError, match="holds a vit checkpoint, which a generator would overwrite"):
        generator_of("c4", "output", (1, 8, 8)).save_pretrained(tmp_path)
    assert (tmp_path / "config.json").read_text() == '{"model_type": "vit"}'


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        (
            {"group": "c8", "symmetry": "features"},
            "need one that permutes pixels .* c8 does not. Take symmetry='output'",
        ),
        ({"group": "hue12", "symmetry": "features", "shape": (3, 8, 8)}, "hue12 does not"),
        ({"symmetry": "outptu"}, "symmetry is 'output', 'features' or 'none', and this is 'outptu'"),
        ({"shape": (512,), "group": "speed4"}, "speed4 changes how long a clip is"),
        ({"width": 0}, "has noise and channels, and not 64 and 0"),
        ({"kind": describe_kind(Images((2.0,), (-1.0,)))}, r"are from 0 \(black\) to 1"),
        ({"shape": (1, 8, 12)}, "c4 turns height into width"),
        ({"shape": (100,)}, "acts on images"),
        ({"shape": (10, 20), "group": "gain"}, r"shape \(10, 20\) mean is not known"),
        ({"shape": (1, 2, 3, 4), "group": "c2"}, r"shape \(1, 2, 3, 4\)"),
        ({"group": "c0"}, "no group 'c0'"),
    ],
)
def test_what_cannot_be_made_is_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        InvariantGenerator(GeneratorConfig(**settings))  # type: ignore[arg-type]


def test_any_module_can_be_symmetrized() -> None:
    base = torch.nn.Sequential(torch.nn.Linear(4, 64), torch.nn.Unflatten(1, (1, 8, 8)))
    generator = SymmetrizedGenerator(base, get_group("d4"), 4)
    assert orbit_uniformity(generator(torch.randn(800, 4)).detach(), get_group("d4")) > 1e-3
