"""Encoders and backbones: from wrap to reload, by every way that loads them, beside the other tasks."""

from pathlib import Path

import pytest
import torch
from architectures import classifiers
from images import images
from PIL import Image
from transformers import AutoModel, AutoModelForImageClassification, ViTImageProcessorPil, pipeline

from hf_canon import CanonicalizedModel
from hf_canon.tasks import (
    CanonicalizedForBackbone,
    CanonicalizedForFeatureExtraction,
    CanonicalizedForImageClassification,
)


def adapter(name: str, folder: Path) -> str:
    """A tiny checkpoint of that class and its processor, wrapped by its folder and saved."""
    classifiers.build(name).save_pretrained(folder / "base")
    ViTImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder / "base")
    CanonicalizedModel.wrap(folder / "base", group="d4").save_pretrained(folder / "adapter")
    return str(folder / "adapter")


@pytest.mark.parametrize("name", ["ViTModel", "SwinModel", "ResNetModel", "CLIPVisionModel"])
def test_encoders_are_loaded_by_auto_model_and_pipeline(name: str, tmp_path: Path) -> None:
    where, x = adapter(name, tmp_path), images(2, 64)
    model = CanonicalizedModel.from_pretrained(where)
    assert isinstance(model, CanonicalizedForFeatureExtraction)
    out = model(pixel_values=x)
    again = AutoModel.from_pretrained(where)
    assert isinstance(again, CanonicalizedForFeatureExtraction)
    assert torch.equal(again(pixel_values=x).last_hidden_state, out.last_hidden_state)
    extract = pipeline("image-feature-extraction", where)
    assert isinstance(extract.model, CanonicalizedForFeatureExtraction)
    photo = Image.fromarray((torch.rand(64, 64, 3) * 255).byte().numpy())
    turned = photo.transpose(Image.Transpose.ROTATE_90)
    assert extract(photo, pool=True) == extract(turned, pool=True)
    assert torch.tensor(extract(photo)).shape == out.last_hidden_state[:1].shape


def test_backbones_are_loaded_from_folders(tmp_path: Path) -> None:
    where, x = adapter("Dinov2Backbone", tmp_path), images(2, 64)
    model = CanonicalizedModel.from_pretrained(where)
    assert isinstance(model, CanonicalizedForBackbone)
    maps = model(pixel_values=x).feature_maps
    assert [value.shape for value in maps] == [(2, 32, 4, 4)] * 2
    for here, there in zip(maps, model(pixel_values=x.rot90(1, (2, 3))).feature_maps, strict=True):
        assert torch.equal(here.rot90(1, (2, 3)), there)


def test_auto_model_gives_other_adapters_the_class_of_their_own_task(tmp_path: Path) -> None:
    where = adapter("ViTForImageClassification", tmp_path)
    for auto_class in (AutoModel, AutoModelForImageClassification):
        assert isinstance(auto_class.from_pretrained(where), CanonicalizedForImageClassification)


def test_a_pretrained_backbone_still_canonicalizes(tmp_path: Path) -> None:
    """`orbit` loads it by AutoModel, which also knows our own encoders."""
    classifiers.build("ViTModel").save_pretrained(tmp_path)
    settings = {"backbone": str(tmp_path), "resolution": 64}
    model = CanonicalizedModel.wrap(tmp_path, group="c4", canonicalizer_settings=settings)
    assert type(model.canonicalizer.network.model).__name__ == "ViTModel"
    assert model(pixel_values=images(1, 64)).last_hidden_state.shape == (1, 17, 32)
