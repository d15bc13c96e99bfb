"""From whatever holds the pictures to batches of `pixel_values` and right answers."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from operator import length_hint
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..pictures import class_numbers, image_column, process, stack

Answer = tuple[int, ...]
"""The classes that are right for one picture; empty if nobody knows."""


@dataclass(frozen=True)
class Batch:
    """`pixel_values` `(batch, channels, height, width)` and, for data with labels, the right classes of each."""

    pixel_values: Tensor
    answers: list[Answer] | None


class Batches:
    """Reads a data set of items (an image or `pixel_values`, and a label or none), or of finished batches.

    A label is a class, or a list of the classes that are all right. Where the data set names its classes and the model
    knows all of those names, labels are matched by name.

    Args:
        dataset: any iterable of dicts, or a sequence of them without `__iter__`.
        processor: makes `pixel_values` from pictures.
        batch_size: how many items make a batch.
        label_column: where the labels are, if not in `label` or `labels`.
        model_config: the predictor's; says how many channels and which classes there are.

    Raises:
        ValueError: there is nothing in it, no picture in an item, no processor for the pictures, a label that the
            model has no class for, or labels on some items and none on others.
    """

    def __init__(
        self,
        dataset: Any,
        processor: Callable[..., Any] | None = None,
        batch_size: int = 32,
        label_column: str | None = None,
        model_config: Any = None,
    ):
        if batch_size < 1:
            raise ValueError(f"A batch of {batch_size} pictures holds nothing; give a batch_size of 1 or more.")
        first, self.items = _items(dataset)
        self.processor = processor
        self.model_config = model_config
        self.image_column = image_column(first)
        self.label_column = _label_column(first, label_column)
        self.to_answer = _answers(dataset, self.label_column, model_config)
        self.finished = np.ndim(first[self.image_column]) == 4
        self.batch_size = 1 if self.finished else batch_size
        # A loader of a stream has a length that cannot be asked for.
        items = length_hint(dataset, 0)
        self.total = math.ceil(items / self.batch_size) if items else None
        """How many batches there are, if the data set knows its length."""

    def __iter__(self) -> Iterator[Batch]:
        labelled: bool | None = None
        while chunk := list(islice(self.items, self.batch_size)):
            images = [item[self.image_column] for item in chunk]
            labels = [item.get(self.label_column) for item in chunk]
            if self.finished:
                pixel_values = torch.as_tensor(images[0])
                labels = [None] * len(pixel_values) if labels[0] is None else _as_list(labels[0])
            elif self.image_column == "pixel_values":
                pixel_values = stack(images)
            else:
                pixel_values = process(images, self.processor, self.model_config)
            answers = [self.to_answer(label) for label in labels]
            labelled = bool(answers[0]) if labelled is None else labelled
            if any(bool(answer) != labelled for answer in answers):
                raise ValueError(
                    "Some items have a label and some have none; evaluate on those that have one, "
                    "or remove the column to measure agreement alone."
                )
            yield Batch(pixel_values, answers if labelled else None)


def _items(dataset: Any) -> tuple[Mapping[str, Any], Iterator[Any]]:
    """The first item, and an iterator over all of them."""
    if isinstance(dataset, Mapping):
        names = ", ".join(repr(name) for name in dataset)
        raise ValueError(f"This is a dictionary of data sets ({names}); pass one of them, as in dataset['test'].")
    if isinstance(dataset, str) or not (hasattr(dataset, "__iter__") or hasattr(dataset, "__getitem__")):
        raise ValueError(
            f"{dataset!r} is no data set; pass one, such as datasets.load_dataset('mnist', split='test'), "
            "or any iterable of dicts with an image and a label."
        )
    # Not every map-style data set ends with an IndexError, so one without __iter__ is walked by its length.
    items = iter(dataset) if hasattr(dataset, "__iter__") else (dataset[i] for i in range(len(dataset)))
    first = next(items, None)
    if first is None:
        raise ValueError("The data set is empty; there is nothing to evaluate on.")
    if not isinstance(first, Mapping):
        raise ValueError(
            f"An item of the data set is a {type(first).__name__}, and has to be a dict with an 'image' or "
            "'pixel_values' and, if known, a 'label'."
        )
    return first, chain([first], items)


def _label_column(item: Mapping[str, Any], wanted: str | None) -> str | None:
    if wanted is None:
        return next((name for name in ("label", "labels") if name in item), None)
    if wanted not in item:
        columns = ", ".join(repr(name) for name in item)
        raise ValueError(f"There is no column {wanted!r} for the labels; the columns are {columns}.")
    return wanted


def _answers(dataset: Any, label_column: str | None, model_config: Any) -> Callable[[Any], Answer]:
    """What turns a label into the right classes of the model."""
    translation = class_numbers(getattr(dataset, "features", None), label_column, model_config)
    classes = getattr(model_config, "num_labels", None)

    def to_answer(label: Any) -> Answer:
        right = tuple(-1 if one is None else int(one) for one in (label if np.ndim(label) else [label]))
        if any(one < 0 for one in right):  # how data sets mark what has no label
            return ()
        if translation:
            right = tuple(translation[one] for one in right)
        if classes is not None and any(one >= classes for one in right):
            raise ValueError(
                f"The label {max(right)} has no class in this model, which has {classes}; "
                "evaluate on the data that it was trained for, or remove the column to measure agreement alone."
            )
        return right

    return to_answer


def _as_list(labels: Any) -> list[Any]:
    return labels.tolist() if hasattr(labels, "tolist") else list(labels)
