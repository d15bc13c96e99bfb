"""From examples of a data set to a training batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..pictures import class_numbers, image_column, process, stack


class PictureCollator:
    """Makes a batch `{"pixel_values": (batch, channels, height, width), "labels": (batch,)}` from examples.

    Examples hold a PIL image or `pixel_values`, and perhaps a `label`.

    Args:
        processor: the checkpoint's image processor; not needed for examples that hold `pixel_values`.
        model_config: the predictor's, which says how many channels it takes, and which classes there are.
        features: of the data set; where it names its classes and the model knows the names, labels are the model's.

    Raises:
        ValueError: an example has no picture, or pictures come without a processor.
    """

    def __init__(self, processor: Any = None, model_config: Any = None, features: Any = None):
        self.processor = processor
        self.features = features
        self.model_config = model_config

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        first = examples[0]
        column = image_column(first)
        pictures = [example[column] for example in examples]
        ready = column == "pixel_values"
        batch = {"pixel_values": stack(pictures) if ready else process(pictures, self.processor, self.model_config)}
        return {**batch, **class_labels(examples, self.features, self.model_config)}


def class_labels(examples: Sequence[Mapping[str, Any]], features: Any, model_config: Any) -> dict[str, Tensor]:
    """`{"labels": (batch,)}`, the model's numbers; nothing where the examples have none."""
    label = next((name for name in ("label", "labels") if examples[0].get(name) is not None), None)
    if label is None:
        return {}
    numbers = class_numbers(features, label, model_config)
    labels = [int(example[label]) for example in examples]
    return {"labels": torch.tensor(labels if numbers is None else [numbers[one] for one in labels])}
