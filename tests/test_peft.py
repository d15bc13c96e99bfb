"""Predictors with LoRA and the like: wrapped, trained, saved with the canonicalizer, and inside get_peft_model."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from images import images
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
)

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, check_equivariance

LORA = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
METHODS: dict[str, Callable[[], Any]] = {
    "lora": lambda: LoraConfig(**LORA),
    "lora and a new head": lambda: LoraConfig(**LORA, modules_to_save=["classifier"]),
    "dora": lambda: LoraConfig(**LORA, use_dora=True),
    "ia3": lambda: IA3Config(target_modules=["q_proj", "fc1"], feedforward_modules=["fc1"]),
}
# PEFT asks transformers for a name that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    config = ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
    )
    ViTForImageClassification(config).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def load(checkpoint: Path) -> PreTrainedModel:
    return AutoModelForImageClassification.from_pretrained(checkpoint)


def shake(predictor: nn.Module) -> None:
    """Give every adapter weight a value of its own: LoRA starts where it changes nothing."""
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in predictor.named_parameters():
            if any(mark in name for mark in ("lora_", "ia3_", "modules_to_save")):
                parameter.add_(0.1 * torch.randn_like(parameter))


def logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(pixel_values=x).logits


@pytest.mark.covering("method", "made_by")
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("made_by", ["add_adapter", "get_peft_model"])
def test_round_trip(checkpoint: Path, tmp_path: Path, method: str, made_by: str) -> None:
    plain = load(checkpoint)
    x = images(3, 32)
    bare = logits(plain, x)
    if made_by == "add_adapter":
        plain.add_adapter(METHODS[method]())
        predictor = plain
    else:
        predictor = get_peft_model(plain, METHODS[method]())
    shake(predictor)
    tuned = logits(predictor, x)
    assert not torch.equal(tuned, bare)

    model = CanonicalizedModel.wrap(predictor, group="d4")
    assert check_equivariance(model) == 0.0
    with torch.inference_mode():
        assert torch.equal(model(pixel_values=x, canonicalize=False).logits, tuned)
    model.save_pretrained(tmp_path / "adapter")
    names = load_file(tmp_path / "adapter" / "model.safetensors")
    assert any(name.startswith("predictor.") for name in names)
    assert not any("base_layer" in name or "original_module" in name for name in names)

    for loaded in (
        CanonicalizedModel.from_pretrained(tmp_path / "adapter"),
        AutoModelForImageClassification.from_pretrained(tmp_path / "adapter"),
        CanonicalizedModel.from_pretrained(tmp_path / "adapter", predictor=load(checkpoint)),
    ):
        assert torch.equal(logits(loaded, x), logits(model, x))
    model.save_pretrained(tmp_path / "full", full=True)
    (checkpoint / "model.safetensors").unlink()
    assert torch.equal(logits(CanonicalizedModel.from_pretrained(tmp_path / "full"), x), logits(model, x))


def test_a_saved_peft_repository_is_a_checkpoint(checkpoint: Path, tmp_path: Path) -> None:
    tuned = get_peft_model(load(checkpoint), LoraConfig(**LORA))
    shake(tuned)
    tuned.save_pretrained(tmp_path / "lora")
    x = images(2, 32)
    model = CanonicalizedModel.wrap(tmp_path / "lora", group="c4")
    with torch.inference_mode():
        assert torch.equal(model(pixel_values=x, canonicalize=False).logits, logits(tuned, x))
    assert model.config.base_name_or_path == str(checkpoint)
    model.save_pretrained(tmp_path / "adapter")
    assert torch.equal(logits(CanonicalizedModel.from_pretrained(tmp_path / "adapter"), x), logits(model, x))


@pytest.mark.filterwarnings("ignore:Already found a `peft_config` attribute:UserWarning")
def test_the_active_adapter_is_active_again(checkpoint: Path, tmp_path: Path) -> None:
    predictor = load(checkpoint)
    predictor.add_adapter(LoraConfig(**LORA), adapter_name="first")
    predictor.add_adapter(LoraConfig(**LORA), adapter_name="second")
    shake(predictor)
    predictor.set_adapter("first")
    model = CanonicalizedModel.wrap(predictor, group="c4")
    model.save_pretrained(tmp_path / "adapter")
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    x = images(2, 32)
    assert torch.equal(logits(loaded, x), logits(model, x))
    predictor.set_adapter("second")
    assert not torch.equal(logits(loaded, x), logits(model, x))
    loaded.predictor.set_adapter("second")
    assert torch.equal(logits(loaded, x), logits(model, x))


def test_the_wrapper_inside_get_peft_model(checkpoint: Path, tmp_path: Path) -> None:
    CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(tmp_path / "adapter")
    wrapper = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
    tuned = get_peft_model(wrapper, LoraConfig(**LORA, modules_to_save=["canonicalizer"]))
    with torch.no_grad():
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    x = images(3, 32)
    tuned.save_pretrained(tmp_path / "peft")
    saved = json.loads((tmp_path / "peft" / "adapter_config.json").read_text())
    assert saved["base_model_name_or_path"] == str(tmp_path / "adapter")
    again = PeftModel.from_pretrained(CanonicalizedModel.from_pretrained(tmp_path / "adapter"), tmp_path / "peft")
    assert torch.equal(logits(again, x), logits(tuned, x))
    assert not torch.equal(logits(again, x), logits(CanonicalizedModel.from_pretrained(tmp_path / "adapter"), x))


@pytest.mark.parametrize("architecture", ["vit", "resnet"])
def test_training_it_changes_what_is_saved_and_nothing_else(
    checkpoint: Path, tmp_path: Path, architecture: str
) -> None:
    if architecture == "vit":
        predictor, config = load(checkpoint), LoraConfig(**LORA)
    else:  # running statistics would move, and are not saved with an adapter
        small = ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
        ResNetForImageClassification(small).save_pretrained(tmp_path / "resnet")
        predictor, config = load(tmp_path / "resnet"), LoraConfig(r=2, target_modules=["convolution"])
    before = {name: value.clone() for name, value in predictor.state_dict().items()}
    predictor.add_adapter(config)
    model = CanonicalizedModel.wrap(predictor, group="c4")
    data = [{"pixel_values": x, "label": i % 2} for i, x in enumerate(images(16, 32))]
    arguments = CanonicalizationArguments(
        str(tmp_path / "out"),
        max_steps=3,
        per_device_train_batch_size=8,
        save_steps=3,
        train_predictor=True,
        task_weight=1.0,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    CanonicalizationTrainer(model=model, args=arguments, train_dataset=data).train()
    after = {name.replace("base_layer.", ""): value for name, value in predictor.state_dict().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert any(bool(value.any()) for name, value in after.items() if "lora_B" in name)  # it starts at zero
    x = images(3, 32)
    loaded = CanonicalizedModel.from_pretrained(tmp_path / "out" / "checkpoint-3")
    assert torch.equal(logits(loaded, x), logits(model, x))
    assert (tmp_path / "out" / "checkpoint-3" / "model.safetensors").stat().st_size < 500_000


def merged(model: Any) -> None:
    model.merge_adapter()


def disabled(model: Any) -> None:
    model.base_model.disable_adapter_layers()


@pytest.mark.parametrize(
    ("more", "then", "sentence"),
    [
        ({"bias": "all"}, None, "trains biases of the checkpoint itself. Make it with bias='none'"),
        ({"init_lora_weights": "pissa"}, None, "began with init_lora_weights='pissa', which changes the checkpoint"),
        ({}, merged, "merged into the checkpoint's weights. Unmerge it"),
        ({}, disabled, "The PEFT adapters are disabled. Enable them"),
    ],
)
def test_what_changes_the_checkpoint_itself_is_refused(
    checkpoint: Path, more: dict[str, Any], then: Callable[[Any], None] | None, sentence: str
) -> None:
    predictor = get_peft_model(load(checkpoint), LoraConfig(**LORA, **more))
    if then is not None:
        then(predictor)
    with pytest.raises(ValueError, match=sentence):
        CanonicalizedModel.wrap(predictor, group="c4")
