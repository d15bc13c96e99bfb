"""A classifier that, untrained, says different things to different images and to different turns of one."""

import pytest
import torch
from images import images
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification

from hf_canon import CanonicalizedModel, get_group
from hf_canon.canonicalizers import Canonicalizer

SIZE = 16
CLASSES = 5


class SaysAlways(Canonicalizer):
    """Answers with one element, whatever it sees."""

    name = "says_always"

    def __init__(self, group, answer: int):
        super().__init__()
        self.group = group
        self.settings = {"channels": 3}
        self.answer = answer

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        logits = torch.zeros(len(x), self.group.order, device=x.device)
        logits[:, self.answer] = 1
        return logits


@pytest.fixture(scope="session")
def vit() -> ViTForImageClassification:
    torch.manual_seed(3)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIZE,
        patch_size=4,
        num_labels=CLASSES,
        initializer_range=0.5,
        architectures=["ViTForImageClassification"],
        id2label=dict(enumerate(["ant", "bee", "cat", "dog", "elk, American elk, a name that does not fit anywhere"])),
    )
    return ViTForImageClassification(config).eval()


@pytest.fixture(scope="session")
def wrap(vit):
    def make(group: str, canonicalizer="shift", **kwargs) -> CanonicalizedModel:
        torch.manual_seed(0)
        if isinstance(canonicalizer, int):
            canonicalizer = SaysAlways(get_group(group), canonicalizer)
        return CanonicalizedModel.wrap(vit, group=group, canonicalizer=canonicalizer, **kwargs)

    return make


@pytest.fixture(scope="session")
def x() -> Tensor:
    return images(23, SIZE)


@pytest.fixture(scope="session")
def items(x) -> list[dict]:
    return [{"pixel_values": image, "label": i % CLASSES} for i, image in enumerate(x)]
