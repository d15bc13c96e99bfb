"""Tiny checkpoints to attach things to, and what is asked of them."""

from collections.abc import Callable
from typing import Any

import torch
from images import images
from torch import nn
from transformers import (
    EfficientNetConfig,
    EfficientNetForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    WhisperConfig,
    WhisperForAudioClassification,
)

from hf_canon.adaptation import Comodulation, QuadraticLift

VIT = ViTConfig(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8
)
MODELS: dict[str, Callable[[], PreTrainedModel]] = {
    "vit": lambda: ViTForImageClassification(VIT),
    "resnet": lambda: ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    ),
    "efficientnet": lambda: EfficientNetForImageClassification(
        EfficientNetConfig(width_coefficient=0.1, depth_coefficient=0.1, hidden_dim=128, image_size=32)
    ),
    "whisper": lambda: WhisperForAudioClassification(
        WhisperConfig(
            d_model=16,
            encoder_layers=1,
            encoder_attention_heads=2,
            encoder_ffn_dim=16,
            num_mel_bins=8,
            max_source_positions=20,
            classifier_proj_size=8,
        )
    ),
}


def make(name: str) -> tuple[PreTrainedModel, torch.Tensor]:
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    with torch.no_grad():  # tiny ones say nothing as they are made
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model, torch.randn(2, 8, 40) if name == "whisper" else images(2, 32)


def logits(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(x).logits


def copied(model: nn.Module) -> nn.Module:
    """A file's tensors lie where they lay in it, and some kernels round otherwise where memory is not aligned."""
    return model._apply(torch.clone).eval()


def trace(model: nn.Module) -> dict[str, Any]:
    """All that a removal has to bring back."""
    return {
        "state": {name: value.clone() for name, value in model.state_dict().items()},
        "modules": [(name, type(module), sorted(module.__dict__)) for name, module in model.named_modules()],
        "hooks": [
            {kind: len(value) for kind, value in vars(module).items() if "hooks" in kind} for module in model.modules()
        ],
        "modes": {name: module.training for name, module in model.named_modules()},
        "trained": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
    }


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one["state"].keys() == other["state"].keys()
    assert all(torch.equal(value, other["state"][name]) for name, value in one["state"].items())
    assert {**one, "state": None} == {**other, "state": None}


def shake(attachment: QuadraticLift | Comodulation) -> None:
    """Give every part weights of its own, as if it had been trained."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in attachment.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        for gain in attachment.buffers():
            if gain.is_floating_point():
                gain.copy_(2 * torch.rand_like(gain))
