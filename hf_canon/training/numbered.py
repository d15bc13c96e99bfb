"""Batches that say which examples of the data set they were made of."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

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
        >>> from hf_canon.data.collators import ImageCollator
        >>> batch = NumberedCollator(ImageCollator())([(7, {"pixel_values": torch.rand(3, 8, 8)})])
        >>> batch[NUMBER]
        tensor([7])
    """

    def __init__(self, collator: Any):
        self.collator = collator

    def __call__(self, numbered: Sequence[tuple[int, Any]]) -> dict[str, Any]:
        numbers, examples = zip(*numbered, strict=True)
        return {**self.collator(list(examples)), NUMBER: torch.tensor(numbers)}
