"""Colours, clips, products and transforms of one's own."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from audio_models import tiny_audio_model
from evaluation.conftest import SaysAlways
from images import images
from PIL import Image, ImageOps
from torch import Tensor
from transformers import (
    ViTImageProcessorPil,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)

from hf_canon import CanonicalizedModel, RobustnessReport, evaluate_robustness, get_group
from hf_canon.evaluation import Transform, plot_report, plot_robustness
from hf_canon.evaluation.transforms import parse_transforms
from hf_canon.groups import Images

PROCESSOR = ViTImageProcessorPil(size={"height": 16, "width": 16})


@pytest.fixture
def colourful(vit):
    def make(group: str, answer: int | str = "orbit") -> CanonicalizedModel:
        torch.manual_seed(0)
        canonicalizer = SaysAlways(get_group(group), answer) if isinstance(answer, int) else answer
        return CanonicalizedModel.wrap(vit, group=group, canonicalizer=canonicalizer, processor=PROCESSOR)

    return make


def logits_by_hand(model: CanonicalizedModel, x: Tensor, element: int) -> dict[str, Tensor]:
    group = model.group
    with torch.inference_mode():
        shifted = group.act(x, torch.full((len(x),), element))
        orbit = torch.stack(
            [
                model.predictor(pixel_values=group.act(shifted, group.inverse(g.expand(len(x))))).logits
                for g in group.elements
            ]
        )
        return {
            "before": model.predictor(pixel_values=shifted).logits,
            "after": model(pixel_values=shifted).logits,
            "orbit_mean": orbit.mean(0),
            "most_confident": torch.stack(
                [members[members.softmax(-1).amax(-1).argmax()] for members in orbit.unbind(1)]
            ),
            "oracle": orbit[element],
        }


@pytest.mark.parametrize(
    ("group", "answer"), [("channels", 2), ("negative", "orbit"), ("hue6", 1), ("d2*negative", 3)]
)
def test_every_figure_of_any_finite_group_agrees_with_the_long_way(colourful, items, x, group, answer):
    model = colourful(group, answer)
    labels = torch.tensor([item["label"] for item in items])
    report = evaluate_robustness(model, items, batch_size=10)
    assert list(report.sets) == [group] and len(report.sets[group].transforms) == model.group.order
    upright = model.predictor(pixel_values=x).logits.argmax(-1)
    for element, row in enumerate(report.sets[group].transforms):
        assert row.name == model.group.describe(element) and row.parameter is None
        for method, logits in logits_by_hand(model, x, element).items():
            said = logits.argmax(-1)
            # One image of 23 may sit between two answers.
            assert row.scores[method].accuracy == pytest.approx((said == labels).float().mean().item(), abs=0.05)
            assert row.scores[method].agreement == pytest.approx((said == upright).float().mean().item(), abs=0.05)
        if isinstance(answer, int):
            assert row.pose_accuracy == (element == answer)


def test_elements_of_a_continuous_group_are_spread_or_chosen():
    colour = get_group("gamma").on(Images((1.0,) * 3, (0.0,) * 3))
    (spread,) = parse_transforms("gamma", colour).values()
    assert [transform.value for transform in spread] == pytest.approx([k / 4 - 1 for k in range(9)])
    assert sum(transform.identity for transform in spread) == 1
    sets = parse_transforms({"hue": [0, 120], "gamma": [0.5], "c8": [0, 2], "so2": [30]}, colour)
    assert [transform.value for transform in sets["hue"]] == pytest.approx([0, 2 * math.pi / 3])
    assert [transform.parameter for transform in sets["hue"]] == pytest.approx([0, 120])
    assert [transform.angle for transform in sets["c8"]] == [0, 90] and sets["so2"][0].angle == 30
    with pytest.raises(ValueError, match="9 is no element of channels, which has 6"):
        parse_transforms({"channels": [9]}, colour)


def test_a_shift_is_the_element_that_other_groups_call_so():
    colour = get_group("hue").on(Images((1.0,) * 3, (0.0,) * 3))
    hue, hue12, product = get_group("hue"), get_group("hue12"), get_group("c4*hue12")
    (third,) = parse_transforms({"hue12": [4]}, colour)["hue12"]
    assert third.element(hue) == pytest.approx(2 * math.pi / 3) and third.element(get_group("hue6")) == 2
    assert third.element(product) == 4 and third.element(get_group("gamma")) is None
    (both,) = parse_transforms({"c4*hue12": [16]}, colour)["c4*hue12"]
    assert both.element(product) == 16 and both.element(hue12) == 4 and both.element(get_group("c4")) == 1
    assert [(step[0].name, step[1]) for step in both.steps] == [("c4*hue12", 16)]
    assert third.steps == []
    assert parse_transforms(90, colour)["angles"][0].element(product) == 12
    assert parse_transforms(90, colour)["angles"][0].element(hue) is None


def test_what_the_group_does_not_undo_has_no_pose_and_the_oracle_undoes_nothing(colourful, items):
    report = evaluate_robustness(colourful("d4", 0), items, ["hue6", "d4"])
    hues = report.sets["hue6"]
    assert hues.pose_accuracy is None and all(row.pose_accuracy is None for row in hues.transforms)
    assert all(row.scores["oracle"] == row.before == row.after for row in hues.transforms)
    assert report.sets["d4"].pose_accuracy == 1 / 8
    assert RobustnessReport.from_dict(report.to_dict()) == report


def test_colours_need_a_normalization(wrap, items):
    with pytest.raises(ValueError, match="nothing says how these images are normalised"):
        evaluate_robustness(wrap("c4"), items, "hue6")


def test_a_transform_of_ones_own_is_given_what_the_data_set_holds(colourful):
    noise = np.random.default_rng(0).integers(0, 256, (6, 16, 16, 3), dtype=np.uint8)
    photos = [{"image": Image.fromarray(image), "label": i % 5} for i, image in enumerate(noise)]
    model = colourful("d4", 1)
    own = [
        Transform("PIL's quarter", lambda image: image.transpose(Image.Transpose.ROTATE_90), element=1),
        Transform("inverted", ImageOps.invert),
    ]
    report = evaluate_robustness(model, photos, {"by PIL": own, "d4": [1]}, processor=PROCESSOR, batch_size=4)
    quarter, inverted = report.sets["by PIL"].transforms
    assert quarter.scores == report.sets["d4"].transforms[0].scores
    assert quarter.pose_accuracy == 1 and inverted.pose_accuracy is None
    negative = colourful("negative", 1)
    undone = evaluate_robustness(
        negative, photos, Transform("inverted", ImageOps.invert, 1), processor=PROCESSOR, baselines=False
    )
    assert undone.sets["own transforms"].transforms[0].after.agreement == 1


@pytest.mark.covering()
@pytest.mark.parametrize("transforms", [{"gamma": [-1, 0, 0.5]}, "channels", ["d2*negative", "c4", 10], "d2*hue12"])
def test_figures_are_drawn_for_what_is_no_rotation(colourful, items, x, transforms, tmp_path):
    model = colourful("channels", 0)
    report = evaluate_robustness(model, items[:6], transforms, baselines=False)
    plot_robustness(report, tmp_path / "scores.png")
    plot_report(report, model, x[:1], tmp_path / "report.png")
    pixels = np.asarray(Image.open(tmp_path / "scores.png").convert("RGB"))
    assert (pixels[:, 0] == 255).all() and (pixels[:, -1] == 255).all() and (pixels != 255).any(-1).mean() > 0.01
    assert pixels.shape[1] == pytest.approx(688 * (2 if isinstance(transforms, list) else 1), abs=2)


RATE = 16_000


@pytest.fixture
def audio_model() -> Wav2Vec2ForSequenceClassification:
    return tiny_audio_model()


@pytest.fixture
def clips() -> list[dict[str, Any]]:
    noise = np.random.default_rng(0)
    return [
        {"audio": {"array": np.cumsum(noise.normal(size=300 + 40 * i)) / 9, "sampling_rate": RATE}, "label": i % 3}
        for i in range(5)
    ]


def test_clips_of_several_lengths_are_measured_as_if_each_were_alone(audio_model, clips):
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    model = CanonicalizedModel.wrap(
        audio_model, group="reverse", canonicalizer=SaysAlways(get_group("reverse"), 1), processor=extractor
    )
    kinds = ["reverse", "polarity", {"gain": [-6, 6]}]
    together, alone = (
        {
            name: [row.scores for row in one.transforms]
            for kind in kinds
            for name, one in evaluate_robustness(model, clips, kind, processor=extractor, batch_size=size).sets.items()
        }
        for size in (5, 1)
    )
    assert together == alone
    report = evaluate_robustness(model, clips, processor=extractor)
    forwards, backwards = report.sets["reverse"].transforms
    assert (forwards.pose_accuracy, backwards.pose_accuracy) == (0, 1)
    assert backwards.after.agreement == 1 and backwards.scores["oracle"].agreement == 1
    assert forwards.after == backwards.before
    assert "5 clips" in str(report) and "ms per clip" in str(report)


def test_ones_own_transform_of_a_waveform(audio_model, clips):
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True, do_normalize=False)
    model = CanonicalizedModel.wrap(
        audio_model, group="reverse", canonicalizer=SaysAlways(get_group("reverse"), 1), processor=extractor
    )
    seen = []

    def backwards(samples):
        seen.append(samples.shape)
        return samples[::-1].copy()

    own = Transform("backwards", backwards, element=1)
    report = evaluate_robustness(model, clips, [own, "reverse"], processor=extractor, batch_size=2)
    assert seen == [(300 + 40 * i,) for i in range(5)]
    assert report.sets["own transforms"].transforms[0].scores == report.sets["reverse"].transforms[1].scores
    ready = [{"input_values": torch.tensor(s["audio"]["array"]).float(), "label": s["label"]} for s in clips]
    same = evaluate_robustness(model, ready, [own, "reverse"], batch_size=2)
    assert same.sets == report.sets


@pytest.mark.parametrize(("transforms", "sentence"), [("c8", "c8 .* acts on images"), ([10], "waveforms|acts on")])
def test_groups_of_another_kind_are_refused(audio_model, clips, transforms, sentence):
    model = CanonicalizedModel.wrap(audio_model, group="polarity", canonicalizer=SaysAlways(get_group("polarity"), 0))
    with pytest.raises(ValueError, match=sentence):
        evaluate_robustness(model, clips, transforms, processor=Wav2Vec2FeatureExtractor())


def test_no_audio_is_said_by_the_names_of_the_columns(audio_model):
    model = CanonicalizedModel.wrap(audio_model, group="polarity", canonicalizer=SaysAlways(get_group("polarity"), 0))
    with pytest.raises(ValueError, match="no audio among the columns 'image'"):
        evaluate_robustness(model, [{"image": images(1, 8)[0]}], "polarity")
