"""How far incoming data are from reference data: the estimate, the tests, what is said, and what is refused."""

import copy
import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch
from audio_models import tiny_audio_model
from evaluation.conftest import SaysAlways
from evaluation.test_page import assert_stands_alone, page_of
from images import images
from peft import LoraConfig, get_peft_model
from PIL import Image
from torch import Tensor
from transformers import (
    ResNetConfig,
    ResNetModel,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from hf_canon import CanonicalizedModel, RobustnessReport, distribution_shift, evaluate_robustness, get_group
from hf_canon.adaptation import comodulate, quadratic_lift
from hf_canon.canonicalizers import Canonicalizer
from hf_canon.evaluation import Distance, Interval, ShiftReport, Side, plot_shift
from hf_canon.evaluation.distribution import samples as shift_samples
from hf_canon.evaluation.distribution.comparison import measured, nearer
from hf_canon.evaluation.distribution.energy import dealt_out, drawn_again, mean_distances, samples, squared_energy

PROCESSOR = ViTImageProcessorPil(size={"height": 16, "width": 16})
N = 40
EXACT = ["c2", "c4", "d1", "d4", "channels", "negative", "c2*negative"]


def lit(n: int, seed: int, size: int = 16) -> Tensor:
    """Images with a right way up: bright above, and redder there."""
    light = torch.linspace(4, -4, size).unsqueeze(-1)
    return images(n, size, seed=seed) + light * torch.tensor([1.0, 0.6, 0.3]).view(3, 1, 1)


def transformed(x: Tensor, group: str, seed: int = 0) -> Tensor:
    acting = get_group(group).on(CanonicalizedModel.wrap(tiny(), group=group, processor=PROCESSOR).group.kind)
    return acting.act(x, acting.sample(len(x), torch.Generator().manual_seed(seed)))


def tiny() -> ViTForImageClassification:
    from transformers import ViTConfig

    torch.manual_seed(3)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=16, patch_size=4,
        initializer_range=0.5,
    )  # fmt: skip
    return ViTForImageClassification(config).eval()


def items(x: Tensor) -> list[dict[str, Any]]:
    return [{"pixel_values": one} for one in x]


def compare(reference: Tensor, incoming: Tensor, group: str | None = "c4", **settings: Any) -> ShiftReport:
    settings = {"model": tiny(), "processor": PROCESSOR, "permutations": 199, **settings}
    return distribution_shift(items(reference), items(incoming), group, **settings)


class SeesLight(Canonicalizer):
    """Knows which way up `lit` is."""

    name = "sees_light"

    def __init__(self) -> None:
        super().__init__()
        self.group = get_group("c4")
        self.settings = {"channels": 3}

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        upright = self.group.orbit(x, self.group.inverse(self.group.elements))
        return upright[..., :8, :].mean((2, 3, 4)) * 9


@pytest.fixture(scope="module")
def reference() -> Tensor:
    return lit(N, 0)


@pytest.fixture(scope="module")
def others() -> Tensor:
    return lit(N + 5, 1)


# -------------------------------------------------------------------------------------------------------- the estimate


@pytest.mark.parametrize("members", [1, 3])
def test_the_estimate_is_the_mean_over_pairs_of_different_items(members):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(6, members, 4)), rng.normal(size=(9, members, 4)) + 0.4

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.mean([np.linalg.norm(a - b) for a in one for b in other]))

    across = np.mean([apart(a, b) for a in x for b in y])
    inside = [
        np.mean([apart(a, b) for i, a in enumerate(side) for j, b in enumerate(side) if i != j]) for side in (x, y)
    ]
    distances = mean_distances(torch.tensor(np.concatenate([x, y])))
    (found,) = squared_energy(distances, *samples(6, 9))
    assert found == pytest.approx(2 * across - sum(inside), abs=1e-9)


def test_it_does_not_matter_where_zero_is():
    x = torch.randn(12, 2, 5, dtype=torch.float64)
    assert mean_distances(x + 1e5) == pytest.approx(mean_distances(x), abs=1e-7)


def test_weights_are_numbers_of_copies_that_are_in_no_pair_with_each_other():
    distances = mean_distances(torch.randn(7, 1, 3))
    a, b = np.array([[2.0, 1, 1, 0, 0, 0, 0]]), np.array([[0, 0, 0, 1, 3.0, 1, 1]])
    one, other = ([i for i, count in enumerate(w[0]) for _ in range(int(count))] for w in (a, b))

    def mean(left: list[int], right: list[int]) -> float:
        return float(np.mean([distances[i, j] for i in left for j in right if i != j]))

    (found,) = squared_energy(distances, a, b)
    assert found == pytest.approx(2 * mean(one, other) - mean(one, one) - mean(other, other))


def test_where_a_share_has_transformed_the_distance_is_that_share_of_what_it_would_be():
    rng = np.random.default_rng(0)
    x, y = torch.tensor(rng.normal(size=(1500, 1, 2))), torch.tensor(rng.normal(size=(1500, 1, 2)))
    far = torch.tensor([4.0, 0.0], dtype=torch.float64)

    def distance(share: float) -> float:
        come = y + far * (torch.arange(1500) < 1500 * share).view(-1, 1, 1)
        return float(squared_energy(mean_distances(torch.cat([x, come])), *samples(1500, 1500))[0]) ** 0.5

    assert distance(0.5) / distance(1.0) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("members", [1, 4])
def test_without_a_shift_every_p_value_is_as_likely(members):
    rng = np.random.default_rng(members)
    found = []
    for seed in range(200):
        # Orbits stay together: members of an item are alike.
        x = rng.normal(size=(40, 1, 3)) + 0.3 * rng.normal(size=(40, members, 3))
        found.append(measured(mean_distances(torch.tensor(x)), 16, 99, seed).p_value)
    values = np.sort(found)
    # Kolmogorov and Smirnov's bound for 200 values and one error in a thousand.
    assert np.abs(values - (np.arange(200) + 0.5) / 200).max() < 1.95 / 200**0.5 + 0.01
    assert abs((values <= 0.05).mean() - 0.05) < 3.3 * (0.05 * 0.95 / 200) ** 0.5


def test_the_estimate_has_no_bias():
    rng = np.random.default_rng(0)
    found = [
        squared_energy(mean_distances(torch.tensor(rng.normal(size=(30, 1, 2)))), *samples(12, 18))[0]
        for _ in range(300)
    ]
    assert abs(np.mean(found)) < 3.3 * np.std(found) / 300**0.5
    assert 0.3 < (np.array(found) < 0).mean() < 0.8


def test_dealing_out_depends_on_the_seed_alone():
    distances = mean_distances(torch.randn(30, 1, 2))
    assert (dealt_out(distances, 12, 50, 3) == dealt_out(distances, 12, 50, 3)).all()
    assert (dealt_out(distances, 12, 50, 3) != dealt_out(distances, 12, 50, 4)).any()
    # And all distances are dealt out alike.
    assert dealt_out(2 * distances, 12, 50, 3) == pytest.approx(2 * dealt_out(distances, 12, 50, 3))


def test_the_interval_holds_what_is_removed():
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(80, 1, 2)), rng.normal(size=(80, 1, 2))
        before, after = (mean_distances(torch.tensor(np.concatenate([x, y + [[far, 0.0]]]))) for far in (1.6, 0.8))
        interval = nearer(before, after, 80, seed)
        assert interval is not None
        held.append(interval.low <= 48.6 <= interval.high)  # of 20,000,000 items
    assert sum(held) >= 34


def test_nothing_is_said_to_be_removed_where_there_might_be_nothing():
    x = torch.randn(60, 1, 2)
    distances = mean_distances(x)
    assert nearer(distances, distances, 30, 0) is None
    assert len(drawn_again([distances], 30, 10, 0)[0]) == 10


# ---------------------------------------------------------------------------------------------------- modulo the group


@pytest.mark.parametrize("group", EXACT)
def test_moving_the_items_changes_nothing_modulo_the_group(group, reference, others):
    still, turned = compare(reference, others, group), compare(reference, transformed(others, group), group)
    assert turned.modulo.squared == pytest.approx(still.modulo.squared, abs=1e-5)
    assert turned.modulo.p_value == pytest.approx(still.modulo.p_value, abs=0.02)
    assert abs(turned.plain.squared - still.plain.squared) > 1e-3
    assert still.members == get_group(group).order


@pytest.mark.parametrize("group", ["c4", "channels"])
def test_averaging_over_the_orbit_is_averaging_over_the_symmetrised_distribution(group, reference):
    """E_P[S_G f] = E_{S^G P}[f], as the features are used here."""
    model = CanonicalizedModel.wrap(tiny(), group=group, processor=PROCESSOR)
    drawn = shift_samples.Drawn(items(reference), "x", model, PROCESSOR, 16, np.random.default_rng(0))
    from hf_canon.evaluation.distribution.features import LastHidden

    with torch.inference_mode():
        look = LastHidden(model, drawn.first)
        orbit = drawn.read(look, torch.Generator(), adapted=False).orbit
        # Every item in every pose, one after the other: the empirical S^G P.
        everything = model.group.orbit(reference).flatten(0, 1)
        distribution = model.predictor.vit(everything).last_hidden_state[:, 0]
    assert (orbit.mean(1).mean(0) - distribution.mean(0)).abs().max() < 1e-6
    k = model.group.order
    apart = torch.cdist(distribution.double(), distribution.double()).view(N, k, N, k).mean((1, 3)).fill_diagonal_(0)
    assert mean_distances(orbit) == pytest.approx(apart.numpy(), abs=1e-6)


def test_a_turn_is_seen_as_pose_and_a_tint_is_not(reference, others):
    turned = compare(reference, transformed(others, "c4"))
    assert turned.plain.seen and not turned.modulo.seen
    assert turned.verdict == [
        f"The shift may be pose alone: it can be seen as they came (p = {turned.plain.p_value:.2g}), and modulo c4 "
        f"nothing can be told from chance (p = {turned.modulo.p_value:.2g}), which hides distances up to "
        f"{turned.modulo.chance:.3f}."
    ]
    both = compare(reference, transformed(others - 1.5, "c4"))
    assert both.plain.seen and both.modulo.seen and "Not all of the shift is pose" in both.verdict[0]
    neither = compare(reference, others)
    assert not neither.plain.seen and not neither.modulo.seen and "No shift can be seen" in neither.verdict[0]
    # Chance is smaller where each item is looked at in every pose.
    assert neither.modulo.chance < neither.plain.chance


@pytest.mark.covering()
@pytest.mark.parametrize("group", ["so2", "c4*hue6", "d12"])
def test_of_many_elements_some_are_drawn_for_each_item(group, reference, others):
    report = compare(reference, transformed(others, group), group)
    assert report.members == 16 and not report.modulo.seen
    assert compare(reference, transformed(others, group), group) == report
    assert compare(reference, transformed(others, group), group, seed=1).modulo != report.modulo


def test_the_order_of_the_items_does_not_matter(reference, others):
    order = torch.randperm(len(others))
    one, other = compare(reference, others), compare(reference.flip(0), others[order], batch_size=7)
    assert one.rows.keys() == other.rows.keys() != set()
    for name, row in one.rows.items():
        assert other.rows[name].squared == pytest.approx(row.squared, abs=1e-6)
        assert other.rows[name].p_value == pytest.approx(row.p_value, abs=0.15)


# ---------------------------------------------------------------------------------------------------------- an adapter


def test_a_perfect_canonicalizer_removes_all_and_one_that_turns_anyhow_removes_nothing(reference, others):
    turned = transformed(others, "c4")
    model = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer=SeesLight())
    assert torch.equal(model.canonicalize(turned).canonical, others)
    report = compare(reference, turned, None, model=model)
    assert report.plain.seen and not report.canonicalized.seen and report.removed.high == 100
    # Quarter turns are exact: it is as if nothing had happened.
    assert report.canonicalized.squared == pytest.approx(compare(reference, others).plain.squared, abs=1e-5)
    assert "The adapter brings them at least" in report.verdict[1] and "canonicalized" in str(report)
    anyhow = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer=SaysAlways(get_group("c4"), 1))
    report = compare(reference, turned, "c4", model=anyhow)
    assert report.plain.seen and report.canonicalized.seen and report.removed.low < 0
    assert "cannot be said" in report.verdict[1] or "farther away" in report.verdict[1]
    spoiled = compare(reference, others, model=anyhow)
    assert not spoiled.plain.seen and spoiled.canonicalized.seen and spoiled.removed is None
    assert "transforms what should stay as it is" in spoiled.verdict[1]


def test_what_is_said_of_an_adapter():
    seen, unseen = Distance(0.25, 0.1, 0.001), Distance(-0.01, 0.1, 0.7)
    report = ShiftReport("vit", "c4", Side(90, 90), Side(80, 80), "images", "logits", 4, 999, seen, seen, unseen)

    def said(canonicalized: Distance, removed: Interval | None, plain: Distance = seen) -> str:
        return dataclasses.replace(report, plain=plain, canonicalized=canonicalized, removed=removed).verdict[1]

    assert said(seen, Interval(43, 30, 56)) == (
        "The adapter brings them 43 % nearer (between 30 and 56); behind it a shift can still be seen (p = 0.001)."
    )
    assert "at least 64 % nearer; behind it no shift can be seen any more" in said(unseen, Interval(100, 64, 100))
    assert "takes them 20 % farther away (between 10 and 30)" in said(seen, Interval(-20, -30, -10))
    assert "between 9 % farther away and 12 % nearer" in said(seen, Interval(2, -9, 12))
    assert "cannot be said; behind it" in said(seen, None)
    assert said(unseen, None, unseen) == "There is nothing that the adapter could remove."
    modulo = dataclasses.replace(report, plain=unseen, modulo=seen).verdict[0]
    assert modulo.startswith("There is a shift that is not pose")


# -------------------------------------------------------------------------------------------------------- the features


def lora(model: Any) -> Any:
    return get_peft_model(
        model, LoraConfig(target_modules=["q_proj", "v_proj", "classifier"], init_lora_weights=False)
    )


# PEFT asks transformers for a name that transformers has renamed.
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("add", [lora, comodulate, quadratic_lift])
def test_what_was_added_to_the_predictor_has_its_say(add, reference, others):
    bare = compare(reference, others)
    model = tiny()
    added = add(model)
    if add is not lora:
        with torch.no_grad():
            for parameter in added.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)) / 3)
    report = compare(reference, others, model=added if add is lora else model)
    assert report.features == bare.features == "the input of classifier (16 numbers)"
    assert (report.plain.squared != bare.plain.squared) == (add is not comodulate)  # which has no task yet


def test_maps_are_averaged_and_what_has_no_output_layer_is_taken_as_it_is(reference, others):
    torch.manual_seed(0)
    small: dict[str, Any] = {"hidden_sizes": [8, 8], "depths": [1, 1]}
    segmenter = SegformerForSemanticSegmentation(
        SegformerConfig(
            **small, num_encoder_blocks=2, num_attention_heads=[1, 1], decoder_hidden_size=12, sr_ratios=[2, 1],
            patch_sizes=[3, 3], strides=[2, 2], mlp_ratios=[2, 2],
        )
    )  # fmt: skip
    report = compare(reference, others, model=segmenter)
    assert report.features == "the input of decode_head.classifier, averaged over places (12 numbers)"
    backbone = ResNetModel(ResNetConfig(embedding_size=8, **small))
    report = compare(reference, transformed(others, "c4"), model=backbone)
    assert report.features == "the last hidden state, averaged over places (8 numbers)"


def test_the_model_is_left_as_it_was(reference, others):
    model = tiny().train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    compare(reference, others, model=model)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


# ------------------------------------------------------------------------------------------------------------ the data


def test_any_kind_of_data_set_will_do(reference, others):
    expected = compare(reference, others)
    batches = [{"pixel_values": part, "labels": torch.zeros(len(part))} for part in others.split(16)]
    for incoming in (
        batches,
        iter(items(others)),
        iter(batches),
        torch.utils.data.DataLoader(batches, batch_size=None),
    ):
        report = distribution_shift(
            items(reference), incoming, "c4", model=tiny(), processor=PROCESSOR, permutations=199
        )
        assert report == dataclasses.replace(expected, incoming=report.incoming)
        assert report.incoming.items == N + 5


def test_of_many_items_some_are_drawn(reference, others, monkeypatch):
    monkeypatch.setattr(shift_samples, "ITEMS", 25)
    for incoming in (items(others), iter(items(others)), [{"pixel_values": others}]):
        report = distribution_shift(items(reference), incoming, "c4", model=tiny(), permutations=19)
        assert report.incoming.items == report.reference.items == 25
        assert (report.reference.of, report.incoming.of) == (N, N + 5)
    assert "25 images drawn from 45" in str(report)


def test_every_item_is_as_likely_to_be_drawn(monkeypatch):
    monkeypatch.setattr(shift_samples, "ITEMS", 5)
    counts = np.zeros((2, 20))
    rng = np.random.default_rng(0)
    for _ in range(400):
        for row, dataset in enumerate(([{"pixel_values": i} for i in range(20)], None)):
            data = iter([{"pixel_values": i} for i in range(20)]) if dataset is None else dataset
            whole = shift_samples.Batches(data, labels=None)
            kept, n, of = shift_samples.drawn(data, whole, rng)
            numbers = [one["pixel_values"] for one in kept]
            assert n == len(set(numbers)) == 5 and of == 20
            counts[row, numbers] += 1
    assert np.abs(counts - 100).max() < 4 * 75**0.5


def test_images_go_through_the_processor_and_labels_are_not_looked_at(reference, others):
    def files(x: Tensor) -> list[dict[str, Any]]:
        drawn = (x * 40 + 128).clamp(0, 255).byte().permute(0, 2, 3, 1).numpy()
        return [{"image": Image.fromarray(one), "label": 99 if i % 2 else None} for i, one in enumerate(drawn)]

    report = distribution_shift(
        files(reference), files(others.rot90(1, (2, 3))), "c4", model=tiny(), processor=PROCESSOR, permutations=199
    )
    assert report.plain.seen and not report.modulo.seen
    with pytest.raises(ValueError, match="no processor was saved beside"):
        distribution_shift(files(reference), files(others), "c4", model=tiny())


def test_clips_are_compared_whatever_they_are_padded_to():
    rng = np.random.default_rng(0)

    def clips(n: int) -> list[dict[str, Any]]:
        # Fading away, each of another length.
        return [
            {"input_values": (rng.normal(size=700 + 10 * i) * np.linspace(2, 0, 700 + 10 * i)).astype(np.float32)}
            for i in range(n)
        ]

    kept, came = clips(30), clips(30)
    back = [{"input_values": one["input_values"][::-1].copy()} for one in came]
    torch.manual_seed(0)
    audio_model = tiny_audio_model()

    def compared(incoming: Any, **settings: Any) -> ShiftReport:
        return distribution_shift(kept, incoming, "reverse", model=audio_model, permutations=199, **settings)

    report, alone = compared(back), compared(back, batch_size=1)
    assert report.unit == "clips" and report.features == "the input of classifier (8 numbers)"
    assert report.plain.squared == pytest.approx(alone.plain.squared, abs=1e-4)
    assert compared(came).modulo.squared == pytest.approx(report.modulo.squared, abs=1e-5)


# ------------------------------------------------------------------------------------------------------------ refusals


def test_what_cannot_be_compared_is_refused(reference, others):
    same, more = items(reference), items(others)

    def refused(sentence: str, one: Any = same, other: Any = more, group: Any = "c4", **settings: Any) -> None:
        with pytest.raises(ValueError, match=sentence):
            distribution_shift(one, other, group, **{"model": tiny(), **settings})

    refused("The incoming data are the reference itself", same, same)
    refused("All incoming images are in the reference too", same, items(reference[:30].clone()))
    refused("The reference has 19 items, among which hardly any shift", items(reference[:19]))
    refused("What is incoming has 3 items", other=items(others[:3]))
    refused("The data set is empty", other=[])
    refused("Give a group, such as group='c4'", group=None)
    refused("There is no group 'b4'", group="b4")
    refused("does not act on what ViTForImageClassification reads", group="pitch12")
    refused("nothing says how these images are normalised", group="hue6")
    refused(r"has the shape \(3, 16, 16\), and one that is incoming \(3, 8, 8\)", other=items(others[..., ::2, ::2]))
    refused("turns height into width", *(items(x[..., :12]) for x in (reference, others)))
    refused("With 18 permutations no p-value can be below 5 %", permutations=18)
    refused("has NaN or infinite numbers in it", other=items(others * float("nan")))
    refused("is the same for all images", items(reference[:1].expand(N, 3, 16, 16)))
    model = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer="shift")
    refused("canonicalizes over c4, and would be compared modulo d4", group="d4", model=model)
    refused("canonicalizes over c4, and would be compared modulo d4", group=get_group("d4"), model=model)


def test_a_predictor_that_answers_to_more_than_an_input_is_refused(reference, others):
    from transformers import CLIPConfig, CLIPModel

    size = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    words = {**size, "vocab_size": 9, "max_position_embeddings": 4, "eos_token_id": 2, "bos_token_id": 1}
    clip = CLIPModel(CLIPConfig(text_config=words, vision_config={**size, "image_size": 16, "patch_size": 4}))
    with pytest.raises(ValueError, match="CLIPModel cannot be asked about one of these inputs alone"):
        compare(reference, others, model=clip)


# ---------------------------------------------------------------------------------------------------------- the report


@pytest.fixture(scope="module")
def found(reference, others) -> ShiftReport:
    model = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer=SeesLight())
    return compare(reference, transformed(others - 0.4, "c4"), None, model=model)


def test_the_file_holds_all(found, tmp_path):
    found.save(tmp_path / "shift.json")
    assert ShiftReport.load(tmp_path / "shift.json") == found
    bare = dataclasses.replace(found, canonicalized=None, removed=None)
    assert ShiftReport.from_dict(json.loads(json.dumps(bare.to_dict()))) == bare
    assert found.removed is not None and len(found.rows) == 3 and len(bare.rows) == 2


def test_the_table_fits_a_page(found):
    lines = str(found).splitlines()
    assert max(map(len, lines)) <= 100
    for name, row in found.rows.items():
        (line,) = (line for line in lines if line.startswith(f"{name} ") and "." in line and ":" not in line)
        assert line.split()[-3:] == [f"{row.distance:.3f}", f"{row.chance:.3f}", f"{row.p_value:.3f}"]
    assert " ".join(found.verdict) in " ".join(str(found).split())


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_figure_is_drawn(found, tmp_path, suffix):
    plot_shift(found, tmp_path / f"shift.{suffix}")
    plot_shift(dataclasses.replace(found, canonicalized=None), tmp_path / f"bare.{suffix}")
    assert (tmp_path / f"shift.{suffix}").stat().st_size > 2000


# ------------------------------------------------------------------------------------------------ within an evaluation


def test_an_evaluation_can_have_a_reference(reference, others, tmp_path):
    model = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer=SeesLight())
    kept, came = items(reference), items(transformed(others, "c4"))
    report = evaluate_robustness(model, came, "c4", reference=kept, report=tmp_path)
    assert report.shift == distribution_shift(kept, came, model=model)
    assert RobustnessReport.load(tmp_path / "report.json") == report
    assert "beside the reference" in str(report) and report.shift.verdict[0][:40] in str(report)
    assert max(map(len, str(report).splitlines())) <= 100
    text = page_of(tmp_path)
    assert_stands_alone(text)
    assert "Do they look like the reference?" in text and "Distances from the reference: as they came" in text
    for row in report.shift.rows.values():
        assert f"<td>{row.distance:.3f}</td><td>{row.chance:.3f}</td>" in text


def test_without_a_reference_nothing_is_said_of_one_and_older_reports_load(reference, tmp_path):
    model = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer="shift")
    report = evaluate_robustness(model, items(reference[:8]), "c4", report=tmp_path)
    data = copy.deepcopy(report.to_dict())
    assert data.pop("shift") is None and RobustnessReport.from_dict(data) == report
    assert "reference" not in page_of(tmp_path) and "reference" not in str(report)


def test_what_can_be_read_but_once_is_not_compared(reference, others):
    model = CanonicalizedModel.wrap(tiny(), group="c4", canonicalizer="shift")
    with pytest.raises(ValueError, match="a list_iterator can be read but once"):
        evaluate_robustness(model, iter(items(others)), "c4", reference=items(reference))
