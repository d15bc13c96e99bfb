"""From examples of a data set to a training batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

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


NUMBER = "example_number"
"""In a batch: which examples of the data set it was made of, `(batch,)`."""


class Numbered(Dataset[tuple[int, Any]]):
    """The examples of a map-style data set, each with its number; `NumberedCollator` takes them.

    Args:
        dataset: is left as it is.
    """

    def __init__(self, dataset: Any):
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, number: int) -> tuple[int, Any]:
        return number, self.dataset[number]

    def __getitems__(self, numbers: list[int]) -> list[tuple[int, Any]]:
        """Many at once, which some data sets read faster."""
        many = getattr(self.dataset, "__getitems__", None)
        examples = [self.dataset[number] for number in numbers] if many is None else many(numbers)
        return list(zip(numbers, examples, strict=True))


class NumberedCollator:
    """The batch that another collator makes, and the numbers of its examples.

    Args:
        collator: makes one input of each example, in their order.

    Example:
        >>> batch = NumberedCollator(PictureCollator())([(7, {"pixel_values": torch.rand(3, 8, 8)})])
        >>> batch[NUMBER]
        tensor([7])
    """

    def __init__(self, collator: Any):
        self.collator = collator

    def __call__(self, numbered: Sequence[tuple[int, Any]]) -> dict[str, Any]:
        numbers, examples = zip(*numbered, strict=True)
        return {**self.collator(list(examples)), NUMBER: torch.tensor(numbers)}
