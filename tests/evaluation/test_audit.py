import copy
import dataclasses
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from architectures.test_places import SIDE
from audio_models import tiny_audio_model
from evaluation.test_dense_robustness import confident
from images import images
from torch import Tensor
from transformers import (
    ViTImageProcessorPil,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
)
from transformers.modeling_outputs import ImageClassifierOutput

from hf_canon import CanonicalizedModel, audit, evaluate_robustness, get_group
from hf_canon.evaluation import AuditReport
from hf_canon.evaluation.auditing import passes as audit_passes
from hf_canon.reports.robustness import Cost

PROCESSOR = ViTImageProcessorPil(size={"height": 16, "width": 16})
MANY = 160
"""Enough for something to be called harmless."""


@pytest.fixture(autouse=True)
def no_clock(monkeypatch) -> None:
    """Time is measured in one test alone."""
    cost = Cost("cpu", 1, 1.0, 1.5, 1.5, 1.1, None)
    monkeypatch.setattr(audit_passes.Trial, "cost", lambda self, group: cost)


@pytest.fixture
def saying(vit) -> Callable[..., Any]:
    """A classifier of five classes whose logits are a function of the images."""

    def make(function: Callable[[Tensor], Tensor]) -> Any:
        model = copy.deepcopy(vit)
        model.forward = lambda pixel_values, **_: ImageClassifierOutput(logits=function(pixel_values))
        return model

    return make


def answered(predictor: Any, x: Tensor) -> list[dict]:
    """Images, and what the predictor says of them for labels."""
    labels = predictor(pixel_values=x).logits.argmax(-1).tolist()
    return [{"pixel_values": one, "label": label} for one, label in zip(x, labels, strict=True)]


def half_lit(n: int, seed: int = 0) -> Tensor:
    """Noise whose upper or lower half is brighter."""
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed)) / 10
    x[::2, :, :8] += 1
    x[1::2, :, 8:] += 1
    return x


def balance(x: Tensor) -> Tensor:
    """How much brighter the upper half is, `(n,)`."""
    return x[:, :, :8].mean((1, 2, 3)) - x[:, :, 8:].mean((1, 2, 3))


def two_classes(evidence: Tensor) -> Tensor:
    """Logits of five classes: the first where the evidence is positive, the second where it is negative."""
    return torch.stack([evidence, -evidence, *[torch.full_like(evidence, -9)] * 3], 1)


# ----------------------------------------------------------------------------------------------------------- measuring


@pytest.mark.covering()
@pytest.mark.parametrize("labelled", [True, False])
def test_scores_are_those_of_an_evaluation(vit, items, labelled):
    groups = ["c4", "d4", "c8", "hue6", "gamma", "hue", "c4*hue6"]
    data = items if labelled else [{"pixel_values": item["pixel_values"]} for item in items]
    report = audit(vit, data, groups, processor=PROCESSOR, batch_size=10)
    assert report.items == len(items) and report.labelled == labelled and list(report.groups) == groups
    for name, group in report.groups.items():
        model = CanonicalizedModel.wrap(vit, group=name, processor=PROCESSOR)
        (expected,) = evaluate_robustness(model, data, name, batch_size=10).sets.values()
        for element, row in zip(group.elements, expected.transforms, strict=True):
            assert (element.name, element.score) == (row.name, row.before)
            # What is undone there with the turn itself, is undone here up to an exact one.
            assert element.oracle.value == pytest.approx(row.scores["oracle"].value, abs=0.05)
        assert group.mean.agreement == pytest.approx(expected.mean["before"].agreement)
        assert group.loss.value == pytest.approx(100 * (report.score.value - group.mean.value))
        if name in ("c4", "d4"):  # exact: the surest pose is that of every member of an orbit
            assert group.oracle.value == report.score.value
            for row in expected.transforms:
                assert group.surest.value == pytest.approx(row.scores["most_confident"].value, abs=0.05)


def test_what_groups_share_is_passed_once_and_what_is_undone_exactly_not_at_all(saying):
    seen = []

    def function(x: Tensor) -> Tensor:
        seen.append(x.clone())
        return x.mean((2, 3)) @ torch.ones(3, 5)

    audit(saying(function), [{"pixel_values": one} for one in images(3, 16)], ["c4", "d1", "d4", "c8"])
    # Eight of d4, four more of c8, and one of those undone, which stands for all four.
    assert len(seen) == 13
    assert not any(torch.equal(one, other) for i, one in enumerate(seen) for other in seen[:i])


def test_an_invariant_predictor_loses_nothing(saying):
    predictor = saying(lambda x: torch.outer(x.amax((1, 2, 3)), torch.arange(1.0, 6)).cos() * 9)
    report = audit(predictor, answered(predictor, images(MANY, 16)), ["c4", "d4"], batch_size=64)
    for group in report.groups.values():
        assert (group.loss.value, group.loss.low, group.loss.high) == (0, 0, 0)
        assert {element.verdict for element in group.moving} == {"harmless"}
        # It has no opinion on poses, and is not taken to have one.
        assert list(group.poses.values()) == pytest.approx([1 / len(group.elements)] * len(group.elements))
        assert not group.spread and group.thin == []
    assert report.advice.group is None and report.advice.command is None and report.advice.caveats == ()
    few = audit(predictor, answered(predictor, images(20, 16)), "c4")
    assert {element.verdict for element in few.groups["c4"].moving} == {"unclear"}
    assert any("20 images are few" in caveat for caveat in few.advice.caveats)


def test_a_live_model_is_left_as_it_was(vit, items):
    model = copy.deepcopy(vit).train()
    model.vit.embeddings.eval()
    model.classifier.bias.requires_grad_(False)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    trained = [parameter.requires_grad for parameter in model.parameters()]
    audit(model, items, "c4")
    assert [module.training for module in model.modules()] == modes
    assert [parameter.requires_grad for parameter in model.parameters()] == trained and not all(trained)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    with pytest.raises(ValueError, match="The data set is empty"):
        audit(model, [], "c4")
    assert [parameter.requires_grad for parameter in model.parameters()] == trained


@pytest.mark.slow
def test_cost_is_that_of_the_canonicalizer_that_fits(vit, items, monkeypatch):
    monkeypatch.undo()
    monkeypatch.setattr("hf_canon.evaluation.cost.TIMED_PASSES", 1)
    report = audit(vit, items, ["c4", "gamma"], processor=PROCESSOR)
    assert set(report.groups) == {"c4", "gamma"}
    for name, group in report.groups.items():
        model = CanonicalizedModel.wrap(vit, group=name, processor=PROCESSOR)
        sizes = [sum(p.numel() for p in module.parameters()) for module in (model, model.predictor)]
        assert group.canonicalizer == model.canonicalizer.name
        assert group.cost.parameter_ratio == pytest.approx(sizes[0] / sizes[1], rel=0.02)
        assert group.cost.latency_ratio > 0 and 4 <= group.cost.batch_size <= len(items)


# ------------------------------------------------------------------------------------------------------- label changes


def test_classes_that_become_each_other_are_suspected(saying):
    predictor = saying(lambda x: two_classes(9 * balance(x)))
    report = audit(predictor, answered(predictor, half_lit(60)), ["c4", "d1"])
    half = report.groups["c4"].elements[2]
    assert half.verdict == "changes the label"
    assert [(change.label, change.becomes, change.items, change.share) for change in half.changes] == [
        ("ant", "bee", 30, 1.0),
        ("bee", "ant", 30, 1.0),
    ]
    others = [element for group in report.groups.values() for element in group.elements if element is not half]
    assert not any(element.changes for element in others)
    assert report.classes == 2
    assert report.advice.group is None and report.advice.command is None
    assert "change labels" in report.advice.reason
    assert any("ant -> bee, bee -> ant under 180" in caveat for caveat in report.advice.caveats)
    assert "ant -> bee under 180° (100 % of 30" in str(report)


def confused(x: Tensor) -> Tensor:
    """Whatever is not upright is the first class, for sure."""
    upright = x[:, 0, 0, 0] > 5
    first = torch.full((len(x),), 9.0)
    return two_classes(torch.where(upright, 9 * balance(x[:, 1:]), first))


def unsure(x: Tensor) -> Tensor:
    """A half turn makes each class the other one, but only just."""
    found = balance(x)
    return two_classes(torch.where(x[:, 0, 0, 0] > 5, 9 * found, 0.1 * found))


@pytest.mark.parametrize("function", [confused, unsure])
def test_a_confused_predictor_is_not_taken_to_change_labels(saying, function):
    x = half_lit(60)
    x[:, 0, 0, 0] = 9  # says what is upright, in a channel that the one above leaves out
    predictor = saying(function)
    report = audit(predictor, answered(predictor, x), "c4")
    assert report.classes == 2 and report.groups["c4"].loss.low > 20
    assert not report.groups["c4"].changes_labels
    assert report.advice.group == "c4"


def test_label_changes_are_not_looked_for_in_a_handful_of_items(saying):
    predictor = saying(lambda x: two_classes(9 * balance(x)))
    report = audit(predictor, answered(predictor, half_lit(18)), "c4")
    assert report.classes == 0 and not report.groups["c4"].changes_labels
    assert "no two classes have 10 inputs" in " ".join(str(report).split())


# --------------------------------------------------------------------------------------------------------------- poses


def reads_upright(x: Tensor) -> Tensor:
    """Right where the image is upright, as its brightest corner says; elsewhere nothing is for sure."""
    kind = torch.stack([x[:, channel, 4:12, 4:12].mean((1, 2)) for channel in range(3)], 1)
    logits = torch.cat([30 * kind, torch.full((len(x), 2), -9.0)], 1)
    upright = x[:, 0, 0, 0] > 5
    return torch.where(upright.unsqueeze(1), logits, 0.05 * logits.roll(1, 1))


def three_kinds(n: int) -> list[dict]:
    x = torch.rand(n, 3, 16, 16, generator=torch.Generator().manual_seed(1)) / 10
    labels = torch.arange(n) % 3
    x[torch.arange(n), labels] += 0.5
    x[:, :, 0, 0] = 9
    return [{"pixel_values": one, "label": int(label)} for one, label in zip(x, labels, strict=True)]


@pytest.mark.parametrize("labelled", [True, False])
def test_upright_and_scrambled_data_are_told_apart(saying, labelled):
    predictor, upright = saying(reads_upright), three_kinds(204)
    c4 = get_group("c4")
    turned = c4.act(torch.stack([item["pixel_values"] for item in upright]), torch.arange(204) // 3 % 4)
    scrambled = [{**item, "pixel_values": one} for item, one in zip(upright, turned, strict=True)]
    if not labelled:
        upright, scrambled = ([{"pixel_values": i["pixel_values"]} for i in data] for data in (upright, scrambled))

    report = audit(predictor, upright, "c4", batch_size=64)
    found = report.groups["c4"]
    assert found.poses == {"0°": 1.0, "90°": 0.0, "180°": 0.0, "270°": 0.0}
    assert found.thin == ["90°", "180°", "270°"] and not found.spread
    assert {element.verdict for element in found.moving} == {"hurts"}
    assert report.advice.group == "c4" and report.advice.caveats == ()
    assert report.advice.command == "hf-canon train CHECKPOINT --data DATA --group c4"
    if labelled:
        assert found.oracle.value == found.surest.value == 1 and found.won.value == pytest.approx(75)

    report = audit(predictor, scrambled, "c4", batch_size=64)
    found = report.groups["c4"]
    assert list(found.poses.values()) == pytest.approx([0.25] * 4, abs=0.01)
    assert found.spread and found.thin == []
    assert "harmless" not in {element.verdict for element in found.moving}
    assert report.advice.group == "c4"
    assert report.advice.command == "hf-canon train CHECKPOINT --data DATA --group c4 --prior predictor"
    assert any('the prior "predictor"' in caveat for caveat in report.advice.caveats)
    if labelled:  # one more turn costs nothing, and still there is as much to win
        assert abs(found.loss.value) < 2 and found.surest.value == 1 and found.won.value == pytest.approx(75, abs=2)


# ---------------------------------------------------------------------------------------------------- what is left out


def test_what_does_not_fit_is_left_out_with_its_reason(vit, items):
    report = audit(vit, items)
    assert list(report.groups) == ["c4", "d1", "d4", "c8"]
    assert list(report.left_out) == ["channels", "negative", "hue12", "white_balance", "gamma"]
    assert all("nothing says how these images are normalised" in reason for reason in report.left_out.values())
    assert str(report).count("nothing says how") == 1  # and not five times
    assert list(audit(vit, items, processor=PROCESSOR).left_out) == []
    with pytest.raises(ValueError, match="nothing says how these images are normalised"):
        audit(vit, items, ["c4", "gamma"])


def test_oblong_images_are_turned_by_half(saying):
    predictor = saying(lambda x: x.mean((2, 3)) @ torch.ones(3, 5))
    oblong = [{"pixel_values": one} for one in torch.rand(3, 3, 16, 20)]
    report = audit(predictor, oblong)
    assert list(report.groups) == ["c2", "d1", "d2"]
    assert all("this input is 16 x 20" in report.left_out[name] for name in ("c4", "d4", "c8"))
    with pytest.raises(ValueError, match="c4 turns height into width, and this input is 16 x 20"):
        audit(predictor, oblong, "c4")


@pytest.fixture
def audio_model() -> Wav2Vec2ForSequenceClassification:
    return tiny_audio_model()


@pytest.fixture
def clips() -> list[dict[str, Any]]:
    noise = np.random.default_rng(0)
    lengths = (800, 840, 881)
    waves = [np.cumsum(noise.normal(size=length)).astype(np.float32) / 9 for length in lengths]
    return [{"audio": {"array": wave, "sampling_rate": 16_000}, "label": i % 3} for i, wave in enumerate(waves)]


def test_a_group_that_fails_late_is_left_out_too(audio_model, clips):
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    report = audit(audio_model, clips, processor=extractor, batch_size=1)
    assert list(report.groups) == ["reverse", "polarity", "gain", "speed12", "pitch12"]
    assert "this one has 881 samples" in report.left_out["time_shift4"]
    assert report.unit == "clips" and report.groups["speed12"].poses is None
    with pytest.raises(ValueError, match="this one has 881 samples"):
        audit(audio_model, clips, "time_shift4", processor=extractor, batch_size=1)
    # Wherever something is padded, the answers are those of an audio clip alone.
    together = audit(audio_model, clips, ["reverse", "speed12"], processor=extractor, batch_size=3)
    for name, group in together.groups.items():
        assert [one.score for one in group.elements] == [one.score for one in report.groups[name].elements]


def test_groups_that_cannot_work_are_refused(vit, audio_model, items, clips):
    with pytest.raises(ValueError, match="There is no group 'b4'. Known groups"):
        audit(vit, items, "b4")
    with pytest.raises(ValueError, match="There is no group in an empty list"):
        audit(vit, items, [])
    with pytest.raises(ValueError, match="so2 cannot be listed"):
        audit(vit, items, "so2")
    with pytest.raises(ValueError, match="c4 .* does not act on what Wav2Vec2ForSequenceClassification reads"):
        audit(audio_model, clips, ["c4"], processor=Wav2Vec2FeatureExtractor())


def test_the_processor_is_the_one_that_was_saved_with_the_checkpoint(vit, tmp_path):
    vit.save_pretrained(tmp_path)
    photos = [{"image": image} for image in map(to_image, images(3, 20))]
    with pytest.raises(ValueError, match="no processor was saved beside that; pass the right one as processor="):
        audit(vit, photos, "c4")
    PROCESSOR.save_pretrained(tmp_path)
    found = audit(tmp_path, photos, ["c4", "negative"])
    ready = [{"pixel_values": PROCESSOR(item["image"], return_tensors="pt")["pixel_values"][0]} for item in photos]
    assert found.groups == audit(str(tmp_path), ready, ["c4", "negative"]).groups
    assert found.advice.command is None or str(tmp_path) in found.advice.command


def to_image(x: Tensor) -> Any:
    from PIL import Image

    return Image.fromarray((x.permute(1, 2, 0).clamp(0, 1) * 255).byte().numpy())


# -------------------------------------------------------------------------------------------------------------- report


def test_a_segmenter_is_measured_without_classes():
    x = images(3, SIDE).clamp(-2, 2)
    x[:, :, 5:9, 3:9] = 9.0  # what it marks
    report = audit(confident("maps"), [{"pixel_values": one} for one in x], ["c4", "d4"])
    for group in report.groups.values():
        assert group.loss.value == pytest.approx(0, abs=1e-6) and group.oracle.value == pytest.approx(1)
        assert group.poses is None and group.surest is None
    assert report.classes is None and report.measure == "mean IoU"
    assert "does not say one class for an input" in " ".join(str(report).split())


@pytest.mark.covering()
@pytest.mark.parametrize("labelled", [True, False])
def test_a_page_fits_a_terminal_and_survives_a_file(vit, items, tmp_path, labelled):
    data = items if labelled else [{"pixel_values": item["pixel_values"]} for item in items]
    report = audit(vit, data, processor=PROCESSOR)
    report.save(tmp_path / "audit.json")
    assert AuditReport.load(tmp_path / "audit.json") == report
    assert json.loads((tmp_path / "audit.json").read_text()) == json.loads(json.dumps(report.to_dict()))
    long = dataclasses.replace(report, model="a/very/long/path" * 10)
    lines = str(long).splitlines()
    assert len(lines) < 70 and all(line == line.rstrip() for line in lines)
    assert max(len(line) for line in lines if not line.startswith("next ")) <= 100  # a command is one line
    for name, group in report.groups.items():
        (row,) = (line for line in lines if line.startswith(f"{name} "))
        assert f" {100 * group.mean.value:.1f} " in row and f" {100 * group.oracle.value:.1f} " in row
    assert ("accuracy" in str(report)) == labelled and ("agreement" in str(report)) != labelled
