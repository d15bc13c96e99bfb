"""Calibration of a model on data: what it promises, what it refuses, and what becomes of it in an adapter."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from images import images
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil
from transformers.utils import logging

from hf_canon import CanonicalizedModel, Monitor, calibrate, get_group
from hf_canon.calibration.monitor import same_distribution
from hf_canon.canonicalizers import Canonicalizer
from hf_canon.hub.folder import read_facts
from hf_canon.selection import Calibration

SIZE = 16


class BrightEdge(Canonicalizer):
    """Says which edge of an image is the brightest: exactly equivariant, and as sure as the edge is bright."""

    name = "bright_edge"

    def __init__(self, group):
        super().__init__()
        self.group, self.settings = group, {"channels": 3}
        self.sharpness = torch.nn.Parameter(torch.tensor(3.0))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        edges = [torch.rot90(x, -k, (2, 3))[:, :, 0].mean((1, 2)) for k in range(4)]
        return self.sharpness * torch.stack(edges, 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(3)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=SIZE,
        patch_size=4, num_labels=3, initializer_range=0.5,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("checkpoint")
    ViTForImageClassification(config).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIZE, "width": SIZE}).save_pretrained(folder)
    return folder


@pytest.fixture
def model(checkpoint: Path) -> CanonicalizedModel:
    return CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer=BrightEdge(get_group("c4")))


def upright(count: int, seed: int = 0) -> Tensor:
    """Images whose upper edge is brighter, by more or less."""
    torch.manual_seed(seed)
    x = images(count, SIZE)
    x[:, :, 0] += torch.rand(count, 1, 1) * 1.5
    return x


def labelled(model: CanonicalizedModel, x: Tensor) -> list[dict]:
    """With the checkpoint's own upright answers for labels: it is right on all."""
    with torch.no_grad():
        answers = model.predictor(pixel_values=x).logits.argmax(1)
    return [{"pixel_values": one, "label": int(label)} for one, label in zip(x, answers, strict=True)]


def test_coverage_and_harm_hold_on_new_data_transformed_or_not(model: CanonicalizedModel) -> None:
    alpha, harm = 0.2, 0.03
    held, spoiled, unchecked = [], [], []
    for split in range(20):
        items = labelled(model, upright(400, split))
        record = calibrate(model, items[:200], alpha=alpha, harm=harm, seed=split)
        assert (record.items, record.fitted, record.labelled) == (150, 50, True)
        x = torch.stack([one["pixel_values"] for one in items[200:]])
        right = torch.tensor([one["label"] for one in items[200:]])
        with torch.no_grad():
            for g in range(4):
                element = torch.full((200,), g)
                found = model.canonicalize(model.group.act(x, element))
                covered = found.set.gather(1, element[:, None]).float().mean()
                held.append(float(covered))
            assert len(set(held[-4:])) == 1  # where the group is exact, coverage does not depend on the pose
            spoiled.append(
                float((model(pixel_values=x, decision="identity").logits.argmax(1) != right).float().mean())
            )
            unchecked.append(float((model(pixel_values=x).logits.argmax(1) != right).float().mean()))
    error = 3 * math.sqrt(0.25 / 150 / 20)
    assert np.mean(held) >= 1 - alpha - error
    assert np.mean(spoiled) <= harm + error
    assert np.mean(unchecked) > 2 * harm, "nothing was to be bounded, and this test could not fail"
    assert np.mean(spoiled) > harm / 4


def test_without_labels_every_change_is_harm(model: CanonicalizedModel) -> None:
    items = labelled(model, upright(120))
    with_labels = calibrate(model, items, alpha=0.2, harm=0.1)
    without = calibrate(model, [{"pixel_values": one["pixel_values"]} for one in items], alpha=0.2, harm=0.1)
    assert (with_labels.labelled, without.labelled) == (True, False)
    assert with_labels.threshold == without.threshold
    assert without.confidence == with_labels.confidence  # as the checkpoint was right on all


def test_the_same_data_give_the_same_record_and_other_data_another_fingerprint(model: CanonicalizedModel) -> None:
    items = labelled(model, upright(60))
    one, again = (calibrate(model, items, alpha=0.2, harm=0.2) for _ in range(2))
    assert one == again
    other = calibrate(model, items[1:], alpha=0.2, harm=0.2)
    assert other.data["fingerprint"] != one.data["fingerprint"]


@pytest.mark.parametrize(
    ("bounds", "sentence"),
    [
        ({"alpha": 1.5}, "alpha=1.5 is not a share.*between 0 and 1.*Give alpha=0.1"),
        ({"alpha": 0}, "alpha=0 is not a share"),
        ({"harm": -0.1}, "harm=-0.1 is not a share.*Give harm=0.02"),
        (
            {"alpha": 0.01},
            "alpha=0.01 and harm=0.05 take 131 inputs at least.*there are 40. Give more, or bounds of 0.033 and above",
        ),
        ({"alpha": 0.1, "harm": 0.001}, "take 1,331 inputs at least, a quarter of them for the temperature"),
    ],
)
def test_bounds_that_cannot_be_kept_are_refused(model: CanonicalizedModel, bounds: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        calibrate(model, labelled(model, upright(40)), **bounds)
    assert model.config.calibration is None


def test_the_number_that_is_asked_for_is_enough(model: CanonicalizedModel) -> None:
    items = labelled(model, upright(26))
    assert calibrate(model, items[:25], alpha=0.2, harm=0.05).items == 19
    with pytest.raises(ValueError, match="take 25 inputs at least"):
        calibrate(model, items[:24], alpha=0.2, harm=0.05)


@pytest.mark.parametrize("group", ["so2", "c8", "speed12"])
def test_other_groups_are_calibrated_and_do_not_drift_from_themselves(checkpoint: Path, group: str) -> None:
    torch.manual_seed(0)
    if group == "speed12":
        from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

        config = Wav2Vec2Config(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,),
            conv_stride=(5,), conv_kernel=(10,), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
        )  # fmt: skip
        model = CanonicalizedModel.wrap(Wav2Vec2ForSequenceClassification(config), group=group)
        items = [{"input_values": torch.randn(1600).numpy()} for _ in range(120)]
    else:
        model = CanonicalizedModel.wrap(checkpoint, group=group, canonicalizer="shift")
        items = [{"pixel_values": one} for one in images(120, SIZE)]
    record = calibrate(model, items, alpha=0.25, harm=0.2)
    assert 0 < record.threshold <= 0.5 and record.items == 90
    assert sum(record.seen["element"]) == sum(record.seen["size"]) == sum(record.seen["confidence"]) == 90
    monitor = Monitor(model, window=120)
    name = model.main_input_name
    x = torch.stack([torch.as_tensor(item[name]) for item in items])
    with torch.no_grad():
        out = model(**{name: x})
    monitor(out)
    assert monitor.windows[0].drifted == [], monitor.windows[0]
    acts = out.canonicalization.confidence > record.confidence
    with torch.no_grad():
        assert torch.equal(model(**{name: x}, decision="abstain").canonicalization.abstained, ~acts)


def test_the_record_goes_with_the_adapter_its_card_and_its_decision(model: CanonicalizedModel, tmp_path: Path) -> None:
    record = calibrate(model, labelled(model, upright(60)), alpha=0.2, harm=0.1)
    model.config.decision = "conformal"
    model.save_pretrained(tmp_path)
    loaded = CanonicalizedModel.from_pretrained(tmp_path, canonicalizer=BrightEdge(get_group("c4")))
    assert loaded.calibration == record and loaded.config.decision == "conformal"
    x = upright(5, 7)
    with torch.no_grad():
        assert torch.equal(loaded(pixel_values=x).logits, model(pixel_values=x).logits)
    other = CanonicalizedModel.from_pretrained(
        tmp_path, canonicalizer=BrightEdge(get_group("c4")), decision="identity"
    )
    assert other.rule().name == "identity"
    facts = read_facts(tmp_path, "me/adapter")
    assert facts.calibration == record.to_dict() and facts.decision == "conformal"
    card = (tmp_path / "README.md").read_text()
    for text in (
        "## Calibration",
        "at least 80 %",
        "at most 10 % of upright images",
        record.data["fingerprint"],
        "45 held-back images",
    ):
        assert text in card, text
    assert Calibration.from_dict(json.loads((tmp_path / "config.json").read_text())["calibration"]) == record


def test_an_uncalibrated_adapter_is_not_loaded_with_a_rule_that_needs_one(
    model: CanonicalizedModel, tmp_path: Path
) -> None:
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="decision='conformal' goes by thresholds"):
        CanonicalizedModel.from_pretrained(tmp_path, canonicalizer=BrightEdge(get_group("c4")), decision="conformal")


def test_a_calibration_of_other_weights_is_left_out(
    model: CanonicalizedModel, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calibrate(model, labelled(model, upright(60)), alpha=0.2, harm=0.1)
    model.config.decision = "conformal"
    with torch.no_grad():
        model.canonicalizer.sharpness.add_(1.0)
    logging.enable_propagation()
    try:
        model.save_pretrained(tmp_path)
    finally:
        logging.disable_propagation()
    assert "trained on since they were calibrated" in caplog.text
    assert model.config.calibration is None and model.config.decision == "argmax"


def test_a_calibration_of_another_predictor_is_left_out(model: CanonicalizedModel, tmp_path: Path) -> None:
    """Trained as a whole, with LoRA that stays behind, or behind a full save: the harm was that of other answers."""
    from peft import LoraConfig, inject_adapter_in_model

    edge = BrightEdge(get_group("c4"))
    items = labelled(model, upright(60))
    calibrate(model, items, alpha=0.2, harm=0.1)
    model.config.decision = "abstain"
    model.train_predictor()
    with torch.no_grad():
        for parameter in model.predictor.parameters():
            parameter.add_(0.1)
    model.save_pretrained(tmp_path / "full")
    assert CanonicalizedModel.from_pretrained(tmp_path / "full", canonicalizer=edge).calibration is None

    base = ViTForImageClassification.from_pretrained(model.config.base_name_or_path)
    tuned = ViTForImageClassification.from_pretrained(model.config.base_name_or_path)
    inject_adapter_in_model(LoraConfig(target_modules=["q_proj", "query"], init_lora_weights=False), tuned)
    other = CanonicalizedModel.wrap(tuned, group="c4", canonicalizer=BrightEdge(get_group("c4")))
    calibrate(other, items, alpha=0.2, harm=0.1)
    if not any("lora" in name for name, _ in tuned.named_parameters()):
        pytest.fail("there is no LoRA, and this test could not fail")
    assert other.calibration is not None
    from hf_canon.adapters.pairing import still_holds

    assert still_holds(other.calibration, other.canonicalizer, tuned)
    assert not still_holds(other.calibration, other.canonicalizer, base)


def test_a_live_predictor_keeps_the_calibration_in_another_precision_and_the_rule_that_was_asked_for(
    model: CanonicalizedModel, tmp_path: Path
) -> None:
    record = calibrate(model, labelled(model, upright(60)), alpha=0.2, harm=0.1)
    model.save_pretrained(tmp_path)
    base = model.config.base_name_or_path
    half = ViTForImageClassification.from_pretrained(base, dtype=torch.bfloat16)
    edge = BrightEdge(get_group("c4"))
    loaded = CanonicalizedModel.from_pretrained(tmp_path, predictor=half, canonicalizer=edge, decision="abstain")
    assert loaded.calibration == record and loaded.config.decision == "abstain"
    torch.manual_seed(9)
    stranger = ViTForImageClassification(model.predictor.config)
    loaded = CanonicalizedModel.from_pretrained(tmp_path, predictor=stranger, canonicalizer=edge, decision="orbit")
    assert loaded.config.decision == "orbit"
    with pytest.raises(ValueError, match="decision='abstain' goes by thresholds"):
        CanonicalizedModel.from_pretrained(tmp_path, predictor=stranger, canonicalizer=edge, decision="abstain")


def test_what_is_suggested_is_enough(model: CanonicalizedModel) -> None:
    import re

    items = labelled(model, upright(90))
    for count in (20, 33, 40, 57, 90):
        with pytest.raises(ValueError, match="and above") as refusal:
            calibrate(model, items[:count], alpha=0.001, harm=0.001)
        suggested = float(re.search(r"bounds of ([\d.]+) and above", str(refusal.value))[1])
        calibrate(model, items[:count], alpha=suggested, harm=suggested)


def test_without_a_score_the_coverage_can_be_had_alone(checkpoint: Path) -> None:
    from transformers import ViTModel

    model = CanonicalizedModel.wrap(ViTModel.from_pretrained(checkpoint), group="c4")
    items = [{"pixel_values": one} for one in images(40, SIZE)]
    with pytest.raises(ValueError, match="have no score here.*harm=None"):
        calibrate(model, items)
    assert calibrate(model, items, harm=None).confidence is None
    x = images(3, SIZE)
    with torch.no_grad():
        assert model(pixel_values=x, decision="conformal").canonicalization.passes.shape == (3,)


def test_training_drops_a_calibration(model: CanonicalizedModel, tmp_path: Path) -> None:
    from hf_canon import CanonicalizationArguments, CanonicalizationTrainer

    items = labelled(model, upright(60))
    calibrate(model, items, alpha=0.2, harm=0.1)
    model.config.decision = "abstain"
    args = CanonicalizationArguments(
        str(tmp_path), max_steps=1, save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True
    )
    CanonicalizationTrainer(model=model, args=args, train_dataset=items).train()
    assert model.config.calibration is None and model.config.decision == "argmax"


def test_another_checkpoint_has_to_be_calibrated_anew(model: CanonicalizedModel, tmp_path: Path) -> None:
    calibrate(model, labelled(model, upright(60)), alpha=0.2, harm=0.1)
    model.save_pretrained(tmp_path)
    same = CanonicalizedModel.wrap(model.predictor, adapter=tmp_path, canonicalizer=BrightEdge(get_group("c4")))
    assert same.calibration == model.calibration
    torch.manual_seed(9)
    stranger = ViTForImageClassification(model.predictor.config)
    transformed = CanonicalizedModel.wrap(stranger, adapter=tmp_path, canonicalizer=BrightEdge(get_group("c4")))
    assert transformed.calibration is None and transformed.config.decision == "argmax"


# ---------------------------------------------------------------------------------------------------------- monitoring


@pytest.fixture
def watched(model: CanonicalizedModel) -> CanonicalizedModel:
    calibrate(model, labelled(model, upright(600)), alpha=0.1, harm=0.1)
    return model


def watch(model: CanonicalizedModel, x: Tensor, **settings) -> Monitor:
    monitor = Monitor(model, window=200, **settings)
    with torch.no_grad():
        for part in x.split(50):
            monitor(model(pixel_values=part))
    return monitor


def test_data_like_the_calibration_are_no_drift(watched: CanonicalizedModel, tmp_path: Path) -> None:
    monitor = watch(watched, upright(1000, 5), log=tmp_path / "log.jsonl", on_drift=pytest.fail)
    assert [window.inputs for window in monitor.windows] == [200] * 5
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["counts"] for line in lines] == [window.counts for window in monitor.windows]
    assert {type(value) for line in lines for count in line["counts"].values() for value in count} == {int}


def test_turned_inputs_are_a_drift_of_elements_alone(watched: CanonicalizedModel) -> None:
    seen = []
    watch(watched, torch.rot90(upright(200, 5), 1, (2, 3)), on_drift=seen.append)
    assert [window.drifted for window in seen] == [["element"]]
    assert "which is what the adapter is for" in str(seen[0])


def test_inputs_without_a_pose_are_a_drift_of_confidence(
    watched: CanonicalizedModel, caplog: pytest.LogCaptureFixture
) -> None:
    logging.enable_propagation()
    try:
        monitor = watch(watched, images(200, SIZE) * 0.2)
    finally:
        logging.disable_propagation()
    assert "confidence" in monitor.windows[0].drifted
    assert "calibrate on some of them" in caplog.text


def test_a_monitor_needs_a_calibration_and_a_window(model: CanonicalizedModel, watched: CanonicalizedModel) -> None:
    with pytest.raises(ValueError, match="A window of 3 inputs says nothing"):
        Monitor(watched, window=3)
    model.config.calibration = None
    with pytest.raises(ValueError, match="compares with the data of the calibration"):
        Monitor(model)


def test_threads_share_a_monitor(watched: CanonicalizedModel) -> None:
    from concurrent.futures import ThreadPoolExecutor

    monitor = Monitor(watched, window=10_000)
    with torch.no_grad():
        out = watched(pixel_values=upright(20))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(monitor, [out] * 500))
    assert len(monitor.windows) == 1 and monitor.windows[0].inputs == 10_000


@pytest.mark.parametrize("seed", range(5))
def test_the_test_is_that_of_scipy(seed: int) -> None:
    from scipy.stats import chi2_contingency

    rng = np.random.default_rng(seed)
    one, other = (rng.multinomial(400, rng.dirichlet(np.full(6, 40.0))) for _ in range(2))
    expected = chi2_contingency(np.stack([one, other]), correction=False).pvalue
    assert same_distribution(one.tolist(), other.tolist()) == pytest.approx(expected, rel=1e-6)
