"""Architectures that transformers does not know: users register them with its auto classes."""

from pathlib import Path
from typing import Any

import pytest
import torch
from images import images
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForDepthEstimation,
    AutoModelForImageMatting,
    AutoModelForSemanticSegmentation,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.modeling_outputs import SemanticSegmenterOutput

from hf_canon import CanonicalizedModel
from hf_canon.tasks import CanonicalizedForSemanticSegmentation


class StencilConfig(PreTrainedConfig):
    model_type = "stencil"


class StencilSegmenter(PreTrainedModel):
    config_class = StencilConfig

    def __init__(self, config: StencilConfig):
        super().__init__(config)
        self.convolution = nn.Conv2d(3, 2, 3, padding=1)
        self.post_init()

    def forward(self, pixel_values: Tensor, **kwargs: Any) -> SemanticSegmenterOutput:
        return SemanticSegmenterOutput(logits=self.convolution(pixel_values))


class StencilSketch(StencilSegmenter):
    """Registered nowhere."""


@pytest.fixture
def registered() -> Any:
    AutoConfig.register("stencil", StencilConfig, exist_ok=True)
    for auto_class in (AutoModel, AutoModelForSemanticSegmentation):
        auto_class.register(StencilConfig, StencilSegmenter, exist_ok=True)
    yield
    for auto_class in (
        AutoModel,
        AutoModelForDepthEstimation,
        AutoModelForImageMatting,
        AutoModelForSemanticSegmentation,
    ):
        auto_class._model_mapping._extra_content.pop(StencilConfig, None)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("full", [False, True])
def test_it_has_the_task_that_it_was_registered_for(full: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    StencilSegmenter(StencilConfig()).save_pretrained(tmp_path / "base")
    x = images(4, 24)
    for checkpoint in (StencilSegmenter(StencilConfig()), tmp_path / "base"):
        model = CanonicalizedModel.wrap(checkpoint, group="d4")
        assert isinstance(model, CanonicalizedForSemanticSegmentation)
        upright = model(pixel_values=x)
        turned = model(pixel_values=model.group.act(x, torch.full((4,), 5)))
        assert torch.equal(turned.logits, model.group.act(upright.logits, torch.full((4,), 5)))
    model.save_pretrained(tmp_path / "saved", full=full)
    for loader in (CanonicalizedModel, AutoModelForSemanticSegmentation):
        again = loader.from_pretrained(tmp_path / "saved")
        assert isinstance(again, CanonicalizedForSemanticSegmentation)
        assert torch.equal(again(pixel_values=x).logits, upright.logits)


def test_what_is_registered_nowhere_is_refused_as_before(registered: None) -> None:
    with pytest.raises(ValueError, match="This predictor is a StencilSketch.* hf_canon wraps"):
        CanonicalizedModel.wrap(StencilSketch(StencilConfig()), group="c4")
    for auto_class, task in [
        (AutoModel, "image-feature-extraction"),
        (AutoModelForImageMatting, "image-matting"),  # more particular
        (AutoModelForDepthEstimation, "depth-estimation"),
    ]:
        auto_class.register(StencilConfig, StencilSketch, exist_ok=True)
        assert CanonicalizedModel.wrap(StencilSketch(StencilConfig()), group="c4").task == task
