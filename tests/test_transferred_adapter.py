"""An adapter on another checkpoint than the one it was trained with."""

from pathlib import Path

import pytest
import torch
from images import images
from torch import Tensor, nn
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    ResNetConfig,
    ResNetForImageClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    Wav2Vec2Config,
    Wav2Vec2ForSequenceClassification,
)

from hf_canon import CanonicalizedModel

TRAINED = [0.5, 0.4, 0.3], [0.5, 0.6, 0.7]
OTHER = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
THIRD = [0.0, 0.1, 0.2], [1.0, 0.9, 0.8]


def save(folder: Path, predictor: nn.Module, normalization: tuple[list[float], list[float]] | None) -> Path:
    predictor.save_pretrained(folder)
    if normalization is not None:
        mean, std = normalization
        ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=mean, image_std=std).save_pretrained(folder)
    return folder


def vit(**settings: int) -> ViTForImageClassification:
    config = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    return ViTForImageClassification(ViTConfig(**{**config, "image_size": 32, "patch_size": 8, **settings}))


def resnet() -> ResNetForImageClassification:
    return ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", num_labels=5)
    )


def normalized(x: Tensor, normalization: tuple[list[float], list[float]]) -> Tensor:
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in normalization)
    return (x - mean) / std


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    model = CanonicalizedModel.wrap(save(tmp_path / "base", vit(), TRAINED), group="c8")
    model.config.training = {"data": {"examples": 7}}
    model.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


@pytest.mark.parametrize("live", [False, True])
def test_it_decides_as_before_whatever_the_normalization(adapter: Path, tmp_path: Path, live: bool) -> None:
    """The same images get the same posterior, through every processor; the answer is the new checkpoint's."""
    x = images(6, 32).sigmoid()
    first = CanonicalizedModel.from_pretrained(adapter)
    expected = first.canonicalize(normalized(x, TRAINED))
    folder = save(tmp_path / "other", resnet(), OTHER)
    other = ResNetForImageClassification.from_pretrained(folder)
    transformed = CanonicalizedModel.wrap(other if live else folder, adapter=adapter)
    seen = normalized(x, OTHER)
    out = transformed(pixel_values=seen)
    torch.testing.assert_close(out.canonicalization.probabilities, expected.probabilities)
    assert torch.equal(out.canonicalization.element, expected.element)
    assert not torch.equal(transformed.canonicalize(x).probabilities, expected.probabilities)
    assert torch.equal(out.logits, transformed.predictor(pixel_values=out.canonicalization.canonical).logits)
    assert out.logits.shape == (6, 5)
    assert transformed.config.base_name_or_path == str(folder) and transformed.config.training == {
        "data": {"examples": 7}
    }

    # Saved and loaded, and moved on once more.
    transformed.save_pretrained(tmp_path / "second")
    again = CanonicalizedModel.from_pretrained(tmp_path / "second")
    assert torch.equal(again(pixel_values=seen).logits, out.logits)
    third = CanonicalizedModel.wrap(save(tmp_path / "third", vit(), THIRD), adapter=tmp_path / "second")
    probabilities = third.canonicalize(normalized(x, THIRD)).probabilities
    torch.testing.assert_close(probabilities, expected.probabilities)
    back = CanonicalizedModel.wrap(tmp_path / "base", adapter=tmp_path / "second")
    torch.testing.assert_close(back.canonicalize(normalized(x, TRAINED)).probabilities, expected.probabilities)


def test_it_stays_exact(tmp_path: Path) -> None:
    CanonicalizedModel.wrap(save(tmp_path / "base", vit(), TRAINED), group="d4").save_pretrained(tmp_path / "adapter")
    convnext = ConvNextForImageClassification(ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1]))
    model = CanonicalizedModel.wrap(save(tmp_path / "other", convnext, OTHER), adapter=tmp_path / "adapter")
    x = images(2, 64)
    with torch.inference_mode():
        upright = model(pixel_values=x).logits
        for g in model.group.elements:
            assert torch.equal(model(pixel_values=model.group.act(x, g.expand(2))).logits, upright)


def test_a_full_checkpoint_is_an_adapter_too(adapter: Path, tmp_path: Path) -> None:
    first = CanonicalizedModel.from_pretrained(adapter)
    first.save_pretrained(tmp_path / "full", full=True)
    transformed = CanonicalizedModel.wrap(resnet(), adapter=tmp_path / "full")
    x = images(2, 32)
    assert torch.equal(transformed.canonicalize(x).probabilities, first.canonicalize(x).probabilities)


def test_without_processors_the_same_normalization_is_taken(tmp_path: Path) -> None:
    first = CanonicalizedModel.wrap(save(tmp_path / "base", vit(), None), group="c4")
    first.save_pretrained(tmp_path / "adapter")
    transformed = CanonicalizedModel.wrap(save(tmp_path / "other", resnet(), OTHER), adapter=tmp_path / "adapter")
    assert transformed.config.canonicalizer_input is None


class TestRefusals:
    def test_other_channels(self, adapter: Path) -> None:
        with pytest.raises(ValueError, match="reads images of 3 channels, and ViTForImageClassification takes 1"):
            CanonicalizedModel.wrap(vit(num_channels=1), adapter=adapter)

    def test_audio(self, adapter: Path) -> None:
        config = Wav2Vec2Config(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            conv_dim=(8,),
            conv_stride=(5,),
            conv_kernel=(10,),
            num_conv_pos_embeddings=16,
            num_conv_pos_embedding_groups=2,
        )
        with pytest.raises(ValueError, match="c8 .* does not act on what Wav2Vec2ForSequenceClassification reads"):
            CanonicalizedModel.wrap(Wav2Vec2ForSequenceClassification(config), adapter=adapter)

    @pytest.mark.parametrize(
        "settings", [{"group": "c4"}, {"canonicalizer": "shift"}, {"canonicalizer_settings": {"width": 3}}]
    )
    def test_a_second_opinion(self, adapter: Path, settings: dict) -> None:
        with pytest.raises(ValueError, match="has its own group and canonicalizer. Leave out"):
            CanonicalizedModel.wrap(resnet(), adapter=adapter, **settings)

    def test_no_adapter(self, adapter: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="holds a vit checkpoint, not an hf_canon adapter"):
            CanonicalizedModel.wrap(resnet(), adapter=tmp_path / "base")
        with pytest.raises(OSError, match="there is no such folder"):
            CanonicalizedModel.wrap(resnet(), adapter="./nowhere")
        with pytest.raises(ValueError, match="is an adapter of hf_canon already.*wrap\\(checkpoint, adapter=...\\)"):
            CanonicalizedModel.wrap(adapter, group="c4")
