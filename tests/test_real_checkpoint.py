"""The real ImageNet checkpoint on real photographs, as in the quickstart. `make test-assets` builds both."""

import offline_data
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoImageProcessor, EfficientNetForImageClassification

from hf_canon import CanonicalizedModel, check_equivariance

CHECKPOINT = offline_data.checkpoint("efficientnet")
PROCESSOR = AutoImageProcessor.from_pretrained(CHECKPOINT, size={"shortest_edge": 256})


def photograph(name: str) -> Tensor:
    (path,) = (path for path in offline_data.photos() if path.stem == name)
    pixel_values: Tensor = PROCESSOR(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
    return pixel_values


@torch.inference_mode()
def answer(model: CanonicalizedModel, x: Tensor, canonicalize: bool = True) -> str:
    logits = model(pixel_values=x, canonicalize=canonicalize).logits
    return model.config.id2label[int(logits.argmax())].split(",")[0]


@pytest.mark.parametrize(
    ("name", "upright", "turned"), [("rocket", "missile", "crane"), ("camera", "tripod", "violin")]
)
def test_a_turned_photograph_is_repaired_without_training(name: str, upright: str, turned: str) -> None:
    model = CanonicalizedModel.wrap(CHECKPOINT, group="c4", canonicalizer="predictor")
    x = photograph(name)
    for g in model.group.elements[1:]:
        assert answer(model, model.group.act(x, g[None])) == upright
    quarter = model.group.act(x, torch.tensor([1]))
    assert answer(model, x, canonicalize=False) == upright
    assert answer(model, quarter, canonicalize=False) == turned


@pytest.mark.parametrize("canonicalizer", ["orbit", "equivariant", "shift"])
def test_exact_on_photographs(canonicalizer: str) -> None:
    model = CanonicalizedModel.wrap(CHECKPOINT, group="d4", canonicalizer=canonicalizer)
    assert check_equivariance(model, torch.cat([photograph(name) for name in ("rocket", "coffee", "chelsea")])) == 0.0


def test_its_own_features_can_score_the_orbit() -> None:
    settings = {"backbone": str(CHECKPOINT), "resolution": 64}
    model = CanonicalizedModel.wrap(CHECKPOINT, group="c4", canonicalizer_settings=settings)
    original = EfficientNetForImageClassification.from_pretrained(CHECKPOINT)
    before = {name: value.clone() for name, value in original.state_dict().items()}
    model.train()
    transformed, element, _ = model.group.random_act(photograph("rocket").repeat(2, 1, 1, 1))
    model(pixel_values=transformed, element=element).loss.backward()
    assert all(torch.equal(value, before[name]) for name, value in model.predictor.state_dict().items())
    assert check_equivariance(model, photograph("coffee")) == 0.0
