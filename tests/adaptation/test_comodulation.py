"""Comodulation: units, tasks that are switched, regions without labels, training, files, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adaptation.models import assert_same, copied, logits, make, shake, trace
from images import images
from peft import LoraConfig
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    SegformerConfig,
    SegformerForSemanticSegmentation,
    Trainer,
    TrainingArguments,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
    YolosConfig,
    YolosForObjectDetection,
)
from transformers.modeling_outputs import ImageClassifierOutput

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, calibrate
from hf_canon.adaptation import Comodulation, comodulate, quadratic_lift, selectivity
from hf_canon.adaptation.coupling import Coupled, Coupling
from hf_canon.adaptation.probing import channel_axis
from hf_canon.adaptation.read_out import gains_of


@pytest.mark.parametrize(
    ("name", "target", "units", "shape"),
    [
        ("vit", ["layers.0"], "channels", (32,)),
        ("vit", ["v_proj"], "heads", (2,)),
        ("vit", ["layers.0"], "places", (17,)),
        ("vit", r".*\.fc1", "channels", (32,)),
        ("vit", "input", "places", (32, 32)),
        ("resnet", ["stages.0"], "channels", (8,)),
        ("resnet", ["stages.0"], "places", (8, 8)),
        ("resnet", ["embedder"], "channels", (8,)),
        ("resnet", "input", "places", (32, 32)),
        ("whisper", ["conv1"], "channels", (16,)),
        ("whisper", ["conv1"], "places", (40,)),
        ("whisper", ["conv2"], "places", (20,)),
        ("whisper", ["v_proj"], "heads", (2,)),
        ("whisper", "input", "places", (8, 32)),
    ],
)
@pytest.mark.parametrize("gain", ["comodulated", "deterministic"])
def test_units(name: str, target: Any, units: Any, shape: tuple[int, ...], gain: Any) -> None:
    """A coupling for each; the deterministic gain multiplies them, whatever the layout of the layer."""
    model, x = make(name)
    before = logits(model, x)
    key = "input_features" if name == "whisper" else "pixel_values"
    one = comodulate(model, target, units, gain, inputs={key: x})
    assert {coupled.shape for coupled in one.layers.values()} == {shape}
    assert torch.equal(logits(model, x), before)
    with torch.no_grad():
        for part in one._couplings:
            part.tasks[0].copy_(torch.rand(shape))
    if gain == "deterministic":
        assert not torch.equal(logits(model, x), before)
        return
    assert torch.equal(logits(model, x), before)  # decisions are made with activity that nothing perturbs
    with one.estimating():
        logits(model, x)
    assert one.read_out_gain().mean() == pytest.approx(1, abs=1e-4)
    assert not torch.equal(logits(model, x), before)


@pytest.mark.parametrize("axis", ["channels", "places"])
def test_a_coupling_reaches_its_own_unit(axis: Any) -> None:
    """exp(k) on one channel or place, against the map multiplied by hand."""
    layer = nn.Conv2d(3, 5, 3, padding=1)
    model = nn.Sequential(layer, nn.Flatten(), nn.LazyLinear(2))
    x = torch.randn(2, 3, 4, 6)
    plain = layer(x).detach()
    model(x)
    one = comodulate(model, ["0"], axis, "deterministic", read_out="2", inputs=x)
    with torch.no_grad():
        k = torch.rand_like(one.parts[0].tasks[0])
        one.parts[0].tasks[0].copy_(k)
        expected = plain * (k[:, None, None] if axis == "channels" else k).exp()
        assert torch.allclose(layer(x), expected)


def test_tasks_are_switched_to_the_bit() -> None:
    model, x = make("efficientnet")
    before, untouched = trace(model), logits(model, x)
    one = comodulate(model, task="one")
    answers = {}
    for seed, name in enumerate(("one", "two", "three")):
        if name != "one":
            one.add_task(name)
            assert torch.equal(logits(model, x), untouched)
        torch.manual_seed(seed)
        with torch.no_grad():
            one.read_out_gain().copy_(2 * torch.rand_like(one.read_out_gain()))
        answers[name] = logits(model, x)
        assert all(not torch.equal(answers[name], other) for key, other in answers.items() if key != name)
    for name in ("one", "three", "one", "two"):
        one.set_task(name)
        assert one.task == name and torch.equal(logits(model, x), answers[name])
    with one.using("three"):
        with one.using(None):
            assert torch.equal(logits(model, x), untouched)
        assert torch.equal(logits(model, x), answers["three"])
    assert one.task == "two"
    one.remove_task("two")
    assert one.task is None and one.tasks == ["one", "three"] and torch.equal(logits(model, x), untouched)
    one.set_task("three")
    one.remove_task("one")
    assert one.task == "three" and torch.equal(logits(model, x), answers["three"])
    one.remove()
    assert_same(trace(model), before)


def test_training_one_task_leaves_the_others_to_the_bit(tmp_path: Path) -> None:
    """Weight decay and all."""
    model, x = make("resnet")
    one = comodulate(model, ["stages.0"], task="first")

    def train(labels: list[int]) -> None:
        data = [{"pixel_values": image, "labels": label} for image, label in zip(x, labels, strict=True)]
        args = TrainingArguments(
            str(tmp_path),
            max_steps=3,
            learning_rate=0.1,
            weight_decay=0.5,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(model=model, args=args, train_dataset=data).train()

    train([0, 1])
    first = logits(model.eval(), x)
    couplings = one.couplings()
    one.add_task("second")
    train([1, 0])
    second = logits(model.eval(), x)
    assert not torch.equal(first, second)
    one.set_task("first")
    assert torch.equal(logits(model, x), first)
    assert all(torch.equal(value, couplings[name]) for name, value in one.couplings().items())
    trained = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    assert trained == ["comodulation.parts.0.tasks.0"]


class Quadrants(nn.Module):
    """Two maps, and a hidden layer each unit of which sees one quadrant of both; or all of them."""

    def __init__(self, local: bool):
        super().__init__()
        self.maps, self.local = nn.Conv2d(1, 2, 1), local
        self.last = nn.Linear(8, 4)

    def forward(self, pixel_values: torch.Tensor, labels: Any = None) -> ImageClassifierOutput:
        h = self.maps(pixel_values).relu()
        pooled = nn.functional.adaptive_avg_pool2d(h, 2 if self.local else 1)
        hidden = pooled.flatten(1) if self.local else pooled.flatten(1).repeat(1, 4)
        return ImageClassifierOutput(logits=self.last(hidden))


@pytest.mark.parametrize("estimator", ["product", "sampling"])
def test_a_region_is_found_without_labels(estimator: Any) -> None:
    """Where the read-out is local its gains are those of the quadrant's units, 4 each, and 0 elsewhere."""
    model = Quadrants(local=True)
    x = torch.rand(16, 1, 8, 8) + 0.1
    with torch.no_grad():
        model.maps.weight.fill_(1.0)
        model.maps.bias.zero_()
    one = comodulate(model, ["maps"], "places", estimator=estimator, samples=50, read_out="last", inputs=x, task=None)
    region = torch.zeros(2, 2)
    region[0, 1] = 1
    one.add_task("top right", region=region)
    assert one.get_nb_trainable_parameters()[0] == 0  # nothing is left to learn
    with one.estimating(), torch.no_grad():
        for part in x.split(4):
            model(part)
    expected = torch.tensor([0.0, 4.0, 0.0, 0.0] * 2)
    assert torch.allclose(one.read_out_gain(), expected, atol=0.6 if estimator == "sampling" else 1e-4)
    assert one.settings()["fixed"] == ["top right"]


def test_tokens_of_a_region() -> None:
    """The class token is none of the image's places."""
    model, _ = make("vit")
    one = comodulate(model, ["layers.0"], "places", "deterministic", task=None)
    region = torch.zeros(32, 32)
    region[:16, 16:] = 1
    one.add_task("top right", region=region)
    (k,) = one.couplings().values()
    assert k.shape == (17,) and k[0] == 0
    assert torch.equal(k[1:].view(4, 4), nn.functional.adaptive_avg_pool2d(region[None], 4)[0])


def test_frequency_bands_of_a_spectrogram() -> None:
    model, x = make("whisper")
    one = comodulate(model, "input", "places", "deterministic", task=None)
    band = torch.zeros(8, 1)
    band[:3] = 1
    one.add_task("low", region=band)
    x_low = x.clone()
    x_low[:, :3] *= torch.tensor(1.0).exp()
    with one.disabled():
        expected = logits(model, x_low)
    assert torch.allclose(logits(model, x), expected, atol=1e-6)
    with one.disabled():
        assert not torch.equal(logits(model, x), expected)


def test_regions_are_those_of_the_canonical_frame(tmp_path: Path) -> None:
    """Behind a canonicalizer that a group acts through, a turned image gets the answer of the upright one."""
    model, x = make("resnet")
    model.save_pretrained(tmp_path / "checkpoint")
    wrapped = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="c4")
    one = comodulate(wrapped, ["stages.0"], "places", inputs=x, task=None)
    region = torch.zeros(2, 2)
    region[0] = 1
    one.add_task("top", region=region)
    bare = logits(wrapped, x)
    with one.estimating(), torch.no_grad():
        wrapped(x)
    assert not torch.equal(logits(wrapped, x), bare)
    for quarter in range(1, 4):
        assert torch.equal(logits(wrapped, x.rot90(quarter, (2, 3))), logits(wrapped, x))
    wrapped.save_pretrained(tmp_path / "adapter")
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    assert Comodulation.of(loaded).task == "top" and Comodulation.of(loaded).fixed == ["top"]
    assert torch.equal(logits(copied(loaded), x), logits(copied(wrapped), x))
    assert "comodulation | 1 task (top), comodulated gain" in (tmp_path / "adapter" / "README.md").read_text()


def test_trained_with_the_canonicalizer_s_trainer(tmp_path: Path) -> None:
    model, x = make("resnet")
    model.save_pretrained(tmp_path / "checkpoint")
    wrapped = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="c4")
    one = comodulate(wrapped, ["stages.0"], task="first")
    one.add_task("second")
    wrapped.canonicalizer.requires_grad_(False)
    base = {name: value.clone() for name, value in model.state_dict().items()}
    learned = {name: value.clone() for name, value in wrapped.canonicalizer.state_dict().items()}
    args = CanonicalizationArguments(
        str(tmp_path / "out"),
        max_steps=3,
        learning_rate=0.1,
        task_weight=1.0,
        train_predictor=True,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    data = [{"pixel_values": image, "labels": index % 2} for index, image in enumerate(images(8, 32))]
    CanonicalizationTrainer(model=wrapped, args=args, train_dataset=data).train()
    assert (one.couplings()["resnet.encoder.stages.0"] != 1).any() and (one.read_out_gain() != 1).any()
    with one.using("first"):
        assert (one.couplings()["resnet.encoder.stages.0"] == 1).all() and (one.read_out_gain() == 1).all()
    state = wrapped.predictor.state_dict()
    assert all(torch.equal(state[name], value) for name, value in base.items())
    assert all(torch.equal(wrapped.canonicalizer.state_dict()[name], value) for name, value in learned.items())
    saved = CanonicalizedModel.from_pretrained(tmp_path / "out" / "checkpoint-3")
    assert torch.equal(logits(copied(saved), x), logits(copied(wrapped), x))
    assert Comodulation.of(saved).tasks == ["first", "second"] and Comodulation.of(saved).task == "second"


@pytest.mark.covering()
@pytest.mark.parametrize("gain", ["comodulated", "deterministic"])
def test_a_plain_trainer_resumes(gain: Any, tmp_path: Path) -> None:
    """Where it was: couplings, and the running mean of the gains with how many batches it has seen."""
    data = [{"pixel_values": one, "labels": index % 2} for index, one in enumerate(images(8, 32))]
    states = []
    for resume in (None, str(tmp_path / "checkpoint-2")):
        model, _ = make("resnet")
        one = comodulate(model, ["stages.0"], gain=gain)
        if resume is not None:
            shake(one)  # so that what it goes on with has to come from the checkpoint
        args = TrainingArguments(
            str(tmp_path),
            max_steps=4,
            learning_rate=0.1,
            save_steps=2,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(model=model, args=args, train_dataset=data).train(resume_from_checkpoint=resume)
        states.append({key: value.clone() for key, value in one.state_dict().items()})
    assert all(torch.allclose(value, states[1][key], atol=1e-6) for key, value in states[0].items())


def test_gradient_checkpointing() -> None:
    model, x = make("vit")
    one = comodulate(model, ["layers.0"])
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train().zero_grad()
        model(x, labels=torch.tensor([0, 1])).loss.backward()
        gradients.append(one.parts[0].tasks[0].grad.clone())
    assert torch.allclose(*gradients, atol=1e-7) and gradients[0].abs().sum() > 0
    assert all(getattr(m, "gradient_checkpointing", True) for m in model.vit.layers)


@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_under_autocast(name: str) -> None:
    model, x = make(name)
    one = comodulate(model, {"vit": ["layers.0"], "resnet": ["stages.0"]}[name])
    model.train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        model(x, labels=torch.tensor([0, 1])).loss.backward()
    gradient = one.parts[0].tasks[0].grad
    assert torch.isfinite(gradient).all() and gradient.abs().sum() > 0
    assert one.read_out_gain().dtype == torch.float32


def test_dense_outputs_and_audio() -> None:
    """A segmenter, whose last hidden layer is a map, and a network on waveforms."""
    config = SegformerConfig(
        num_encoder_blocks=2,
        depths=[1, 1],
        sr_ratios=[2, 1],
        hidden_sizes=[8, 16],
        patch_sizes=[3, 3],
        strides=[2, 2],
        num_attention_heads=[1, 2],
        mlp_ratios=[2, 2],
        decoder_hidden_size=8,
        num_labels=3,
    )
    # Some kernels of torch round otherwise for weights that are not trained.
    segmenter = SegformerForSemanticSegmentation(config).eval().requires_grad_(False)
    x = images(2, 32)
    before = logits(segmenter, x)
    one = comodulate(segmenter, ["linear_fuse"], inputs=x)
    assert one.read_out == "decode_head.classifier" and torch.equal(logits(segmenter, x), before)
    segmenter.train()(x, labels=torch.zeros(2, 32, 32, dtype=torch.long)).loss.backward()
    assert one.parts[0].tasks[0].grad.abs().sum() > 0
    assert one.read_out_gain().shape == (8,) and (one.read_out_gain() != 1).any()
    audio_model = Wav2Vec2ForSequenceClassification(
        Wav2Vec2Config(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            conv_dim=(8, 8),
            conv_kernel=(10, 3),
            conv_stride=(5, 2),
            num_feat_extract_layers=2,
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
            classifier_proj_size=8,
        )
    ).eval()
    audio = torch.randn(2, 2000)
    before = logits(audio_model, audio)
    one = comodulate(audio_model, ["feature_extractor.conv_layers.1"])
    assert next(iter(one.layers.values())).shape == (8,) and torch.equal(logits(audio_model, audio), before)
    audio_model.train()(audio, labels=torch.tensor([0, 1])).loss.backward()
    assert one.parts[0].tasks[0].grad.abs().sum() > 0


def test_a_detector_is_coupled_before_it_answers() -> None:
    """Its box head is a list of layers too, and has no part in what it says of classes."""
    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 32],
        patch_size=8,
    )
    detector = YolosForObjectDetection(config).eval()
    one = comodulate(detector)
    assert one.read_out == "class_labels_classifier.layers.2" and list(one.layers) == ["vit.encoder.layer.1"]
    one.remove()
    assert [found.layer for found in selectivity(detector, torch.rand(2, 3, 32, 32))] == [
        f"vit.encoder.layer.{index}" for index in range(2)
    ]


class ChannelsFirst(nn.LayerNorm):
    data_format = "channels_first"


@pytest.mark.parametrize(
    ("module", "shape", "axis"),
    [
        (nn.Sequential(nn.Conv1d(3, 8, 3), nn.LayerNorm(8)), (2, 8, 50), 1),
        (nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(8)), (2, 50, 8), -1),
        (nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(8, 32), nn.Linear(32, 8)), (2, 8, 5, 6), 1),
        (nn.Sequential(nn.Linear(3, 8)), (2, 5, 6, 8), -1),
        (nn.GroupNorm(2, 8), (2, 8, 50), 1),
        (nn.BatchNorm1d(8), (2, 8, 50), 1),
        (ChannelsFirst(8), (2, 8, 5, 6), 1),
        (nn.LayerNorm(8), (2, 5, 6, 8), -1),
        (nn.ReLU(), (2, 8, 5, 6), 1),
        (nn.ReLU(), (2, 50, 8), -1),
        (nn.ReLU(), (2, 8), -1),
    ],
)
def test_where_channels_are(module: nn.Module, shape: tuple[int, ...], axis: int) -> None:
    assert channel_axis(module, torch.Size(shape)) == axis


def test_windows_in_the_batch_follow_their_own_image() -> None:
    """As Swin has them: a modulator for each image, and so many windows of it one after the other."""
    part = Coupling(Coupled("channels", -1, (3,)), "comodulated")
    part.add(torch.zeros(1), torch.ones(3))
    part.active, part.modulator = 0, torch.tensor([1.0, 2.0])
    h = torch.rand(8, 5, 3)
    expected = torch.cat([h[:4] * torch.tensor(1.0).exp(), h[4:] * torch.tensor(2.0).exp()])
    assert torch.allclose(part.modulated(h), expected)


def test_poses_that_are_asked_about_are_no_inputs(tmp_path: Path) -> None:
    """The predictor canonicalizer shows the predictor every pose: gains are estimated from the canonical one alone."""
    model, x = make("resnet")
    model.save_pretrained(tmp_path)
    wrapped = CanonicalizedModel.wrap(tmp_path, group="c4", canonicalizer="predictor")
    one = comodulate(wrapped, ["stages.0"], inputs=x)
    with one.estimating(), torch.no_grad():
        canonical = wrapped(x).canonicalization.canonical
    assert one._output.running(0).batches == 1
    with torch.no_grad():
        assert torch.allclose(one.read_out_gain(), gains_of(one.tags(canonical)), atol=1e-5)


def test_gains_that_are_not_finite_are_refused_and_forgotten() -> None:
    model, x = make("resnet")
    one = comodulate(model, ["stages.0"])
    model.train()
    with pytest.raises(ValueError, match="The gains of this batch are not finite.*estimator='sampling'"):
        model(x * torch.nan, labels=torch.tensor([0, 1]))
    assert (one.read_out_gain() == 1).all() and one._output.batch_gain is None


def test_what_is_frozen_stays_frozen_when_tasks_are_switched(tmp_path: Path) -> None:
    model, _ = make("resnet")
    model.save_pretrained(tmp_path)
    wrapped = CanonicalizedModel.wrap(tmp_path, group="c4")
    one = comodulate(wrapped, task="a")
    one.set_task(None)
    wrapped.train_predictor(False)
    one.set_task("a")
    assert not any(parameter.requires_grad for parameter in one.parameters())
    wrapped.train_predictor()
    assert [parameter.requires_grad for parameter in one.parameters()] == [True]
    one.add_task("b")
    lift = quadratic_lift(wrapped)
    one.train_again()
    one.set_task("a")
    lift.remove()
    assert [name for name, p in one.named_parameters() if p.requires_grad] == ["parts.0.tasks.0"]


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("lora_first", [True, False])
def test_lora_on_the_output_layer_would_read_past_the_gains(lora_first: bool, tmp_path: Path) -> None:
    model, _ = make("vit")
    model.save_pretrained(tmp_path)
    predictor = AutoModelForImageClassification.from_pretrained(tmp_path)
    lora = LoraConfig(r=2, target_modules=["classifier"])
    if lora_first:
        predictor.add_adapter(lora)
        with pytest.raises(ValueError, match="PEFT has wrapped the output layer, classifier.*Leave that layer out"):
            comodulate(predictor, ["layers.0"])
        return
    one = comodulate(predictor, ["layers.0"])
    predictor.add_adapter(lora)
    with pytest.raises(ValueError, match="PEFT has wrapped 'classifier', whose input is multiplied with gains"):
        one.save_pretrained(tmp_path / "saved")


def test_the_input_among_others() -> None:
    model, x = make("resnet")
    one = comodulate(model, ["input", "stages.0"], "places", inputs=x)
    assert list(one.layers) == ["input", "resnet.encoder.stages.0"]
    with one.estimating(), torch.no_grad():
        model(x)
    assert (one.read_out_gain() != 1).any()


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("lora_first", [True, False])
def test_together_with_lora(lora_first: bool, tmp_path: Path) -> None:
    model, x = make("vit")
    model.save_pretrained(tmp_path / "checkpoint")
    predictor = AutoModelForImageClassification.from_pretrained(tmp_path / "checkpoint")
    lora = LoraConfig(r=2, target_modules=["q_proj"])
    if lora_first:
        predictor.add_adapter(lora)
    one = comodulate(predictor, ["layers.0"])
    if not lora_first:
        predictor.add_adapter(lora)
    shake(one)
    wrapped = CanonicalizedModel.wrap(predictor, group="c4")
    wrapped.save_pretrained(tmp_path / "adapter")
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(copied(loaded), x), logits(copied(wrapped), x))
    one.remove()
    assert any("lora_" in name for name, _ in predictor.named_parameters())


def test_a_calibration_does_not_outlive_another_task(tmp_path: Path) -> None:
    model, _ = make("resnet")
    model.save_pretrained(tmp_path / "checkpoint")
    wrapped = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="c4")
    one = comodulate(wrapped)
    data = [{"pixel_values": image, "labels": index % 2} for index, image in enumerate(images(200, 32))]
    calibrate(wrapped, data)
    wrapped.save_pretrained(tmp_path / "calibrated")
    assert CanonicalizedModel.from_pretrained(tmp_path / "calibrated").calibration is not None
    shake(one)
    wrapped.save_pretrained(tmp_path / "trained")
    assert CanonicalizedModel.from_pretrained(tmp_path / "trained").calibration is None


def test_in_evaluation_nothing_is_estimated_or_learned() -> None:
    model, x = make("resnet")
    one = comodulate(model, ["stages.0"])
    model(x, labels=torch.tensor([0, 1]))
    model.train()
    with torch.no_grad():
        model(x, labels=torch.tensor([0, 1]))
    assert (one.read_out_gain() == 1).all()
    one.set_task(None)
    model(x, labels=torch.tensor([0, 1]))
    assert not any(parameter.requires_grad for parameter in model.parameters())
    one.set_task("default")
    assert (one.read_out_gain() == 1).all()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"target_modules": ["nothing"]},
            "No module .* matches target_modules=.'nothing'.* vit.layers.1, and 'input'",
        ),
        ({"target_modules": "*"}, "is no regular expression"),
        ({"target_modules": ["classifier"], "units": "places"}, "answers with one vector, which has no places"),
        ({"target_modules": ["fc1"], "units": "tokens"}, "'channels', 'heads' or 'places', and these are 'tokens'"),
        ({"target_modules": "input"}, "coupled by its places, and not by its channels"),
        ({"gain": "random"}, "gain='random' is not known. Give one of 'comodulated', 'deterministic'"),
        ({"estimator": "guess"}, "estimator='guess' is not known"),
        ({"noise": 0.0}, "noise above 0 and two samples or more"),
        ({"samples": 1}, "noise above 0 and two samples or more"),
        ({"read_out": "fc9"}, "0 fit 'fc9'.*Name it: read_out=, one of .*classifier"),
        ({"read_out": "fc1"}, "2 fit 'fc1'"),
        ({"task": ""}, "A task is known by its name"),
        ({"inputs": {"pixel_values": [1]}}, "Nothing in inputs= is a tensor"),
        ({"inputs": torch.rand(1, 3, 7, 7)}, "could not be asked.*Pass inputs="),
    ],
)
def test_refusals(changes: dict[str, Any], sentence: str) -> None:
    model, _ = make("vit")
    before = trace(model)
    with pytest.raises(ValueError, match=sentence):
        comodulate(model, **changes)
    assert_same(trace(model), before)


def test_refusals_of_tasks() -> None:
    model, _ = make("resnet")
    one = comodulate(model, ["stages.0"], task="birds")
    with pytest.raises(ValueError, match="There is a task 'birds' already"):
        one.add_task("birds")
    with pytest.raises(ValueError, match="There is no task 'fish' here. Those there are: birds; add_task"):
        one.set_task("fish")
    with pytest.raises(ValueError, match="There is no task 'fish'"), one.using("fish"):
        pass
    with pytest.raises(ValueError, match="A region is a set of places, and these units are channels"):
        one.add_task("left", region=torch.ones(2, 2))
    with pytest.raises(ValueError, match="from 0 to 1, and this one has other values or is empty"):
        one.add_task("left", region=torch.zeros(2, 2))
    with pytest.raises(ValueError, match="known by its name"):
        one.add_task("")
    assert one.tasks == ["birds"] and len(one.parts[0].tasks) == 1
    with pytest.raises(ValueError, match="carries a comodulation already"):
        comodulate(model)
    one.set_task(None)
    with pytest.raises(ValueError, match="No task is active. Choose one with set_task: birds"), one.estimating():
        pass
    one.remove()
    with pytest.raises(ValueError, match="carries no comodulation. Call comodulate"):
        Comodulation.of(model)
    fixed = comodulate(model, gain="deterministic")
    with pytest.raises(ValueError, match="needs no estimate"), fixed.estimating():
        pass


def test_what_is_damaged_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    model, _ = make("resnet")
    comodulate(model, ["stages.0"]).save_pretrained(tmp_path)
    plain, _ = make("resnet")
    before = trace(plain)
    settings = json.loads((tmp_path / "comodulation.json").read_text())
    layer = settings["layers"].pop("resnet.encoder.stages.0")
    for changed, sentence in (
        ({**settings, "layers": {"resnet.encoder.stages.9": layer}}, "a layer 'resnet.encoder.stages.9'"),
        (
            {**settings, "layers": {"resnet.encoder.stages.0": {**layer, "shape": [9]}}},
            "does not fit its comodulation",
        ),
        ({**settings, "layers": {"resnet.encoder.stages.0": {"units": "channels"}}}, "is damaged"),
        ({**settings, "gain": "loud"}, "gain='loud' is not known"),
        ({**settings, "tasks": None}, "is damaged"),
    ):
        (tmp_path / "comodulation.json").write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=sentence):
            Comodulation.from_pretrained(plain, tmp_path)
        assert_same(trace(plain), before)


def test_copies_on_other_devices_are_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    comodulate(model, ["0"], gain="deterministic", read_out="2", inputs=torch.randn(1, 3))
    replica = model[0]._replicate_for_data_parallel()
    replica.weight, replica.bias = model[0].weight.detach(), model[0].bias.detach()
    with pytest.raises(RuntimeError, match="nn.DataParallel.*torchrun"):
        replica(torch.randn(1, 3))


def test_other_sizes_of_images() -> None:
    """Places of a map follow its size; channels have none."""
    model, _ = make("resnet")
    one = comodulate(model, ["stages.0"], "places", "deterministic", inputs=images(1, 32))
    shake(one)
    assert logits(model, images(2, 64)).shape == (2, 2)
    model, _ = make("vit")
    one = comodulate(model, ["layers.0"], "places", "deterministic")
    shake(one)
    with pytest.raises(ValueError, match="A layer has 65 places, and its couplings were made for 17"):
        model(images(2, 64), interpolate_pos_encoding=True)
