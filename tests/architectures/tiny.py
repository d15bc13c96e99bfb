"""What a tiny model is: a configuration, a size of images, and inputs."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
import transformers
from images import images
from torch import Tensor
from transformers import PreTrainedModel

Inputs = dict[str, Tensor | None]


@dataclass(frozen=True)
class Tiny:
    """How to make one architecture tiny.

    Args:
        model_type: its key in the auto-mapping.
        settings: arguments of the configuration class; configurations inside it are dicts with their own `model_type`.
        side: height and width of an image, in pixels.
        inputs: given the size of a batch, what the model takes beside `pixel_values`, or under that name instead of
            plain images; None leaves an input out.
    """

    model_type: str
    settings: dict[str, Any] = field(default_factory=dict)
    side: int = 64
    inputs: Callable[[int], Inputs] | None = None

    def build(self, name: str) -> PreTrainedModel:
        """The model of class `name` as transformers initialises it, in eval mode; the same at every call."""
        model_class = getattr(transformers, name)
        # A copy: some configurations write into the dictionaries that they are given.
        config = model_class.config_class(**deepcopy(self.settings))
        torch.manual_seed(0)
        return model_class(config).eval()

    def example(self, batch: int = 2) -> dict[str, Tensor]:
        """`pixel_values` of shape `(batch, 3, side, side)`, and what else the model needs."""
        inputs: Inputs = {"pixel_values": images(batch, self.side)}
        if self.inputs is not None:
            inputs |= self.inputs(batch)
        return {key: value for key, value in inputs.items() if value is not None}
