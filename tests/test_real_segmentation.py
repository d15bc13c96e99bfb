"""A real segmenter, of an architecture that its user registered: ViT-S/14 that marks what catches the eye.
`make test-assets` builds it."""

import assets.offline_saliency  # noqa: F401  # registers the architecture
import pytest
import torch
from assets import offline_data
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForSemanticSegmentation

from hf_canon import CanonicalizedModel, check_equivariance
from hf_canon.canonicalizers import build_canonicalizer

FOLDER = offline_data.checkpoint("saliency")


@pytest.fixture(scope="module")
def rocket() -> torch.Tensor:
    processor = AutoImageProcessor.from_pretrained(FOLDER, backend="pil")
    (path,) = (path for path in offline_data.photos() if path.stem == "rocket")
    pixel_values: torch.Tensor = processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
    return pixel_values


@torch.inference_mode()
def test_maps_turn_with_a_photograph(rocket: torch.Tensor) -> None:
    model = CanonicalizedModel.wrap(FOLDER, group="c4")
    assert check_equivariance(model, rocket) == 0.0
    turned = model.group.act(rocket, torch.tensor([1]))
    untouched = model(pixel_values=turned, canonicalize=False).logits
    upright = model(pixel_values=rocket, canonicalize=False).logits
    # The checkpoint alone marks other things in the turned photograph.
    assert (untouched.argmax(1) != torch.rot90(upright, 1, (2, 3)).argmax(1)).float().mean() > 0.01


@torch.inference_mode()
def test_what_is_told_the_pose_gives_the_upright_answer_turned(rocket: torch.Tensor) -> None:
    canonicalizer = build_canonicalizer("shift", CanonicalizedModel.wrap(FOLDER, group="c8").group)
    canonicalizer.forward = lambda x, lengths=None: torch.eye(8)[torch.full((len(x),), 3)]  # type: ignore[method-assign]
    model = CanonicalizedModel.wrap(FOLDER, group="c8", canonicalizer=canonicalizer)
    turned = model.group.act(rocket, torch.tensor([3]))
    out = model(pixel_values=turned)
    seen = out.canonicalization.canonical
    predictor = AutoModelForSemanticSegmentation.from_pretrained(FOLDER).eval()
    assert torch.equal(out.logits, model.group.act(predictor(pixel_values=seen).logits, torch.tensor([3])))
