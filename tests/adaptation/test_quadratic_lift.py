"""The quadratic lift: nothing at the start, trained alone, saved small, removed without trace."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from adaptation.models import MODELS, VIT, assert_same, copied, logits, make, shake, trace
from images import images
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear
from transformers import (
    AutoModelForImageClassification,
    PreTrainedModel,
    Trainer,
    TrainingArguments,
    ViTForImageClassification,
)

from hf_canon import (
    CanonicalizationArguments,
    CanonicalizationTrainer,
    CanonicalizedModel,
    calibrate,
    check_equivariance,
)
from hf_canon.adaptation import QuadraticLift, quadratic_lift


@pytest.mark.parametrize("name", [name for name, build in MODELS.items() if build().supports_gradient_checkpointing])
def test_gradient_checkpointing(name: str) -> None:
    model, x = make(name)
    lift = quadratic_lift(model)
    shake(lift)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    gradients = []
    for checkpointing in (False, True):
        if checkpointing:
            model.activation_checkpointing_enable()
        model.train().zero_grad()
        model(x, labels=torch.tensor([0, 1])).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in lift.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*gradients, strict=True))


@pytest.mark.parametrize("kind", ["linear", "conv1d", "conv2d"])
def test_formula(kind: str) -> None:
    """y (1 + G x) + S (x * x), with G and S made whole."""
    layer, x = {
        "linear": (nn.Linear(6, 5), torch.randn(3, 6)),
        "conv1d": (nn.Conv1d(3, 5, 4, stride=2, padding=1), torch.randn(2, 3, 20)),
        "conv2d": (nn.Conv2d(3, 5, 3, dilation=2, padding=2, padding_mode="reflect"), torch.randn(2, 3, 9, 8)),
    }[kind]
    model = nn.Sequential(layer).double()
    x = x.double()
    first = model(x)
    lift = quadratic_lift(model, rank=3)
    shake(lift.double())
    (part,) = lift.parts

    def whole(down: torch.Tensor, up: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        one = copy.deepcopy(layer)
        one._forward_hooks.clear()
        with torch.no_grad():
            one.weight.copy_((up @ down.flatten(1)).view_as(layer.weight))
            one.bias.zero_()
        return one(value)

    expected = first * (1 + whole(part.gain_down, part.gain_up, x)) + whole(part.square_down, part.square_up, x * x)
    assert torch.allclose(model(x), expected, atol=1e-12)


def test_parameters_are_those_of_lora_with_twice_the_rank(capsys: pytest.CaptureFixture[str]) -> None:
    counts = []
    targets = ["q_proj", "fc1"]
    model, _ = make("vit")
    total = sum(parameter.numel() for parameter in model.parameters())
    lift = quadratic_lift(model, rank=2, target_modules=targets)
    counts.append(lift.get_nb_trainable_parameters()[0])
    lift.print_trainable_parameters()
    printed = capsys.readouterr().out
    assert printed == (
        f"trainable params: {counts[0]:,} || all params: {total + counts[0]:,} || "
        f"trainable%: {100 * counts[0] / (total + counts[0]):.4f}\n"
    )
    lora, _ = make("vit")
    lora.add_adapter(LoraConfig(r=4, target_modules=targets))
    counts.append(sum(parameter.numel() for name, parameter in lora.named_parameters() if "lora_" in name))
    assert counts[0] == counts[1] == 2 * 4 * (32 + 32 + 32 + 32)


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (["fc1"], ["vit.layers.0.mlp.fc1", "vit.layers.1.mlp.fc1"]),
        (r".*\.0\..*fc\d", ["vit.layers.0.mlp.fc1", "vit.layers.0.mlp.fc2"]),
        (["classifier"], ["classifier"]),
    ],
)
def test_target_modules(targets: Any, expected: list[str]) -> None:
    model, _ = make("vit")
    assert list(quadratic_lift(model, target_modules=targets).layers) == expected


def test_every_layer_by_default() -> None:
    model, _ = make("efficientnet")
    expected = {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.groups == 1)
    }
    assert set(quadratic_lift(model).layers) == expected
    assert len(expected) > 5


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2)
        self.depthwise = nn.Conv1d(8, 8, 3, groups=8)
        self.linear = nn.Linear(8, 8)


def test_layers_that_no_hook_reaches_are_left_out() -> None:
    model = Attention()
    assert isinstance(model.attention.out_proj, NonDynamicallyQuantizableLinear)
    assert quadratic_lift(model).layers == ("linear",)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"rank": 0}, "rank of 1 or more, and this is 0"),
        ({"rank": 2.5}, "whole rank of 1 or more, and this is 2.5"),
        ({"target_modules": "*.fc"}, "'[*].fc' is no regular expression"),
        ({"target_modules": ["nothing"]}, "No layer of Attention matches .*'nothing'.*end in linear"),
        ({"target_modules": []}, "No layer of Attention matches"),
        (
            {"target_modules": ["out_proj"]},
            "attention.out_proj is a NonDynamicallyQuantizableLinear, and what can be",
        ),
        ({"target_modules": ["depthwise"]}, "depthwise is a Conv1d, and what can be lifted .* not in groups"),
        ({"target_modules": "attention"}, "attention is a MultiheadAttention"),
    ],
)
def test_refusals(changes: dict[str, Any], sentence: str) -> None:
    model = Attention()
    before = trace(model)
    with pytest.raises(ValueError, match=sentence):
        quadratic_lift(model, **changes)
    assert_same(trace(model), before)


def test_one_lift_at_a_time() -> None:
    model, _ = make("vit")
    quadratic_lift(model)
    with pytest.raises(ValueError, match="carries a quadratic lift already"):
        quadratic_lift(model)
    plain, _ = make("vit")
    with pytest.raises(ValueError, match="carries no quadratic lift"):
        QuadraticLift.of(plain)


def test_what_cannot_be_loaded_leaves_the_model_as_it_is(tmp_path: Path) -> None:
    model, _ = make("vit")
    quadratic_lift(model, rank=2).save_pretrained(tmp_path)
    torch.manual_seed(5)
    other = ViTForImageClassification(VIT)
    before = trace(other)
    with pytest.raises(ValueError, match="was trained on another checkpoint, and means nothing on these weights"):
        QuadraticLift.from_pretrained(other, tmp_path)
    assert_same(trace(other), before)
    plain, _ = make("vit")
    with pytest.raises(OSError, match="no quadratic lift that can be read: there is no such folder"):
        QuadraticLift.from_pretrained(plain, tmp_path / "nowhere")
    settings = json.loads((tmp_path / "quadratic_lift.json").read_text())
    for changed, sentence in (
        ({**settings, "rank": 3}, "does not fit its quadratic_lift.json"),
        (
            {**settings, "layers": ["vit.layers.7"]},
            "a layer 'vit.layers.7', and this ViTForImageClassification has none",
        ),
        ({**settings, "layers": ["vit.layers"]}, "vit.layers is a ModuleList"),
        ({**settings, "rank": "2"}, "whole rank of 1 or more, and this is '2'"),
        ({"rank": 3}, "is damaged"),
    ):
        (tmp_path / "quadratic_lift.json").write_text(json.dumps(changed))
        before = trace(plain)
        with pytest.raises(ValueError, match=sentence):
            QuadraticLift.from_pretrained(plain, tmp_path)
        assert_same(trace(plain), before)
    (tmp_path / "quadratic_lift.json").write_text(json.dumps(settings))
    (tmp_path / "quadratic_lift.safetensors").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="damaged"):
        QuadraticLift.from_pretrained(plain, tmp_path)
    assert_same(trace(plain), before)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    make("resnet")[0].save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def load(checkpoint: Path) -> PreTrainedModel:
    return AutoModelForImageClassification.from_pretrained(checkpoint)


@pytest.mark.parametrize("lifted_first", [True, False])
def test_behind_a_canonicalizer(checkpoint: Path, tmp_path: Path, lifted_first: bool) -> None:
    """Lifted before it is wrapped, or after: exact, saved with the adapter, and loaded with it."""
    x = images(2, 32)
    predictor = load(checkpoint)
    bare = logits(copied(predictor), x)
    if lifted_first:
        lift = quadratic_lift(predictor, rank=2)
        model = CanonicalizedModel.wrap(predictor, group="d4")
    else:
        model = CanonicalizedModel.wrap(checkpoint, group="d4")
        lift = quadratic_lift(model, rank=2)
        assert all(parameter.requires_grad for parameter in model.canonicalizer.parameters())
    shake(lift)
    assert check_equivariance(model) == 0.0
    tuned = logits(copied(model), x)
    with torch.no_grad():
        assert torch.equal(model(x, canonicalize=False).logits, logits(model.predictor, x))
    model.save_pretrained(tmp_path / "adapter")
    saved = load_file(tmp_path / "adapter" / "model.safetensors")
    assert {name for name in saved if name.startswith("predictor.")} == {
        f"predictor.quadratic_lift.{name}" for name in lift.state_dict()
    }
    assert "quadratic lift | rank 2" in (tmp_path / "adapter" / "README.md").read_text()
    for loaded in (
        CanonicalizedModel.from_pretrained(tmp_path / "adapter"),
        AutoModelForImageClassification.from_pretrained(tmp_path / "adapter"),
        CanonicalizedModel.from_pretrained(tmp_path / "adapter", predictor=load(checkpoint)),
    ):
        assert torch.equal(logits(copied(loaded), x), tuned)
        QuadraticLift.of(loaded).remove()
        with torch.no_grad():
            assert torch.equal(loaded(x, canonicalize=False).logits, bare)
        loaded.save_pretrained(tmp_path / "without")
        assert CanonicalizedModel.from_pretrained(tmp_path / "without").config.predictor_attachments is None
    model.save_pretrained(tmp_path / "full", full=True)
    (checkpoint / "model.safetensors").unlink()
    assert torch.equal(logits(copied(CanonicalizedModel.from_pretrained(tmp_path / "full")), x), tuned)


def test_an_adapter_of_before_there_were_other_attachments(checkpoint: Path, tmp_path: Path) -> None:
    """Its lift is not lost without a word."""
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    shake(quadratic_lift(model, rank=2))
    model.save_pretrained(tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "config.json").read_text())
    config["predictor_lift"] = config.pop("predictor_attachments")["quadratic_lift"]
    (tmp_path / "adapter" / "config.json").write_text(json.dumps(config))
    x = images(2, 32)
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(copied(loaded), x), logits(copied(model), x))
    assert QuadraticLift.of(loaded).rank == 2


def test_an_adapter_moves_without_its_lift(checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    shake(quadratic_lift(model))
    model.save_pretrained(tmp_path / "adapter")
    transformed = CanonicalizedModel.wrap(load(checkpoint), adapter=tmp_path / "adapter")
    assert "also holds a quadratic lift for its own checkpoint, which is left out" in caplog.text
    assert transformed.config.predictor_attachments is None
    assert all(
        torch.equal(a, b)
        for a, b in zip(transformed.canonicalizer.parameters(), model.canonicalizer.parameters(), strict=True)
    )


def test_trained_with_the_canonicalizer_s_trainer(checkpoint: Path, tmp_path: Path) -> None:
    """By the task loss: it learns at its own rate; the checkpoint and its running statistics stay what they are."""
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    lift = quadratic_lift(model, rank=2)
    base = {name: value.clone() for name, value in load(checkpoint).state_dict().items()}
    args = CanonicalizationArguments(
        str(tmp_path / "out"),
        max_steps=3,
        task_weight=1.0,
        train_predictor=True,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    data = [{"pixel_values": one, "labels": index % 2} for index, one in enumerate(images(8, 32))]
    trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data)
    trainer.train()
    rates = {id(p): group["initial_lr"] for group in trainer.optimizer.param_groups for p in group["params"]}
    assert {round(rates[id(parameter)], 9) for parameter in lift.parameters()} == {2e-4}
    assert {rates[id(parameter)] for parameter in model.canonicalizer.parameters()} == {2e-3}
    assert all(parameter.abs().sum() > 0 for parameter in lift.parameters())
    state = model.predictor.state_dict()
    assert all(torch.equal(state[name], value) for name, value in base.items())
    saved = CanonicalizedModel.from_pretrained(tmp_path / "out" / "checkpoint-3")
    x = images(2, 32)
    assert torch.equal(logits(copied(saved), x), logits(copied(model), x))


def test_a_calibration_does_not_outlive_training_of_the_lift(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    lift = quadratic_lift(model)
    data = [{"pixel_values": one, "labels": index % 2} for index, one in enumerate(images(200, 32))]
    calibrate(model, data)
    model.save_pretrained(tmp_path / "calibrated")
    assert CanonicalizedModel.from_pretrained(tmp_path / "calibrated").calibration is not None
    shake(lift)
    model.save_pretrained(tmp_path / "trained")
    assert CanonicalizedModel.from_pretrained(tmp_path / "trained").calibration is None


PEFT_ASKS_FOR_AN_OLD_NAME = pytest.mark.filterwarnings(
    "ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"
)


@PEFT_ASKS_FOR_AN_OLD_NAME
@pytest.mark.parametrize(
    ("order", "saved_head"),
    [("LoRA first", False), ("LoRA first", True), ("get_peft_model", True), ("LoRA last", False)],
)
def test_together_with_lora(tmp_path: Path, order: str, saved_head: bool) -> None:
    """In any order: the lift is on the checkpoint's own layers, and both come back with the adapter."""
    make("vit")[0].save_pretrained(tmp_path / "checkpoint")
    predictor = load(tmp_path / "checkpoint")
    lora = LoraConfig(r=2, target_modules=["q_proj"], modules_to_save=["classifier"] if saved_head else None)
    if order == "LoRA last":
        lift = quadratic_lift(predictor)
        predictor.add_adapter(lora)
    else:
        predictor = get_peft_model(predictor, lora) if order == "get_peft_model" else predictor
        if order == "LoRA first":
            predictor.add_adapter(lora)
        lift = quadratic_lift(predictor)
    assert {"vit.layers.0.attention.q_proj", "vit.layers.0.mlp.fc1"} <= set(lift.layers)
    assert all("lora_" not in name and "original_module" not in name for name in lift.layers)
    model = CanonicalizedModel.wrap(predictor, group="c4")
    with torch.no_grad():
        for name, parameter in model.predictor.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    shake(lift)
    model.save_pretrained(tmp_path / "adapter")
    x = images(2, 32)
    answer = logits(copied(model), x)
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(copied(loaded), x), answer)
    assert loaded.config.predictor_attachments == model.config.predictor_attachments
    model.train_predictor()
    assert all(parameter.requires_grad for parameter in lift.parameters())
    lift.remove()
    assert not torch.equal(logits(model, x), answer)
    assert all(parameter.requires_grad for name, parameter in model.named_parameters() if "lora_" in name)
    lift.remove()  # once is enough, and twice does no harm


@PEFT_ASKS_FOR_AN_OLD_NAME
def test_a_head_that_peft_copies_after_it_was_lifted(checkpoint: Path) -> None:
    predictor = load(checkpoint)
    quadratic_lift(predictor)
    predictor.add_adapter(LoraConfig(r=2, target_modules=["convolution"], modules_to_save=["classifier"]))
    with pytest.raises(
        ValueError, match="PEFT has put its own copy in the place of .classifier.*Attach .* after add_adapter"
    ):
        CanonicalizedModel.wrap(predictor, group="c4")


@PEFT_ASKS_FOR_AN_OLD_NAME
def test_saved_beside_lora_it_fits_the_plain_checkpoint(tmp_path: Path) -> None:
    model, x = make("vit")
    model.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]))  # which does nothing yet
    lift = quadratic_lift(model)
    shake(lift)
    lift.save_pretrained(tmp_path)
    plain, _ = make("vit")
    QuadraticLift.from_pretrained(plain, tmp_path)
    assert torch.allclose(logits(plain, x), logits(model, x), atol=1e-6)


@pytest.mark.covering()
@pytest.mark.parametrize("name", ["vit", "resnet"])
def test_a_plain_trainer_resumes(name: str, tmp_path: Path) -> None:
    """transformers renames layers as it saves them; a lift comes back whole all the same."""
    data = [{"pixel_values": one, "labels": index % 2} for index, one in enumerate(images(8, 32))]
    states = []
    for resume in (None, str(tmp_path / "checkpoint-2")):
        model, _ = make(name)
        lift = quadratic_lift(model, rank=2)
        if resume is not None:
            shake(lift)  # so that what it goes on with has to come from the checkpoint
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        args = TrainingArguments(
            str(tmp_path),
            max_steps=4,
            learning_rate=1e-3,
            save_steps=2,
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        Trainer(model=model, args=args, train_dataset=data).train(resume_from_checkpoint=resume)
        states.append({key: value.clone() for key, value in lift.state_dict().items()})
    assert all(torch.allclose(value, states[1][key], atol=1e-6) for key, value in states[0].items())


def test_norms_follow_the_model_again() -> None:
    """All but the one that somebody has frozen."""
    model, x = make("resnet")
    model.train()
    frozen, *others = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    frozen.eval()
    before = trace(model)
    lift = quadratic_lift(model)
    model(x)
    assert not any(norm.training for norm in others)
    lift.remove()
    assert_same(trace(model), before)
    assert not frozen.training and all(norm.training for norm in others)


def test_a_lift_of_a_part_is_no_lift_of_the_whole(checkpoint: Path, tmp_path: Path) -> None:
    predictor = load(checkpoint)
    quadratic_lift(predictor.resnet)
    with pytest.raises(ValueError, match="Only a part of this ResNetForImageClassification, 'resnet', carries"):
        CanonicalizedModel.wrap(predictor, group="c4")


def test_layers_that_compute_something_else_are_left_out() -> None:
    class Router(nn.Linear):
        def forward(self, x: torch.Tensor) -> Any:
            return x, super().forward(x)

    model = nn.Sequential(nn.Linear(3, 3), Router(3, 3))
    with pytest.raises(ValueError, match="1 is a Router, and what can be lifted is a Linear"):
        quadratic_lift(model, target_modules=["1"])
    assert quadratic_lift(model).layers == ("0",)


def test_offloaded_weights_are_refused() -> None:
    with torch.device("meta"):
        model = nn.Linear(3, 3)
    with pytest.raises(ValueError, match="are offloaded, and a quadratic lift of it could not be trained"):
        quadratic_lift(nn.Sequential(model))


def test_copies_on_other_devices_are_refused() -> None:
    layer = nn.Linear(3, 3)
    quadratic_lift(nn.Sequential(layer))
    replica = layer._replicate_for_data_parallel()
    replica.weight, replica.bias = layer.weight.detach(), layer.bias.detach()
    with pytest.raises(RuntimeError, match="nn.DataParallel.*torchrun"):
        replica(torch.randn(1, 3))
