"""From whatever holds the inputs to batches of what a predictor reads, and right answers."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from inspect import signature
from itertools import chain, islice
from operator import length_hint
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ..groups import Images, Kind
from ..predictors.inputs import INPUT_NAMES
from .audio import audio_inputs, changed, unpadded
from .columns import audio_column, image_column, label_column
from .images import image_inputs, upright
from .labels import label_reader


@dataclass(frozen=True)
class Batch:
    """Some inputs, and what is known of them.

    Args:
        inputs: what the predictor is given: `pixel_values`, or another name, and perhaps a mask.
        labels: the right classes of each, maps `(batch, height, width)`, or boxes; None if nobody knows.
        transformed: from what happens to one input as the data set holds it, to the predictor's inputs afterwards.
    """

    inputs: dict[str, Tensor]
    labels: Any
    transformed: Callable[[Callable[[Any], Any]], dict[str, Tensor]]


class Batches:
    """Reads a data set of items (an input, and a label or none), or of finished batches.

    A label of a classifier is a class, or a list of the classes that are all right. Where the data set names its
    classes and the model knows all of those names, labels are matched by name. That of a segmenter or a depth
    estimator is a map, that of a detector a dictionary with `class_labels` and `boxes`.

    Args:
        dataset: any iterable of dicts, or a sequence of them without `__iter__`.
        processor: makes what the predictor reads from images or clips.
        batch_size: how many items make a batch.
        label_column: where the labels are, if not in `label` or `labels` (or `annotation`, for maps).
        model_config: the predictor's; says how many channels and which classes there are.
        labels: what kind of label the task has: "classes", "maps", "boxes", or None.
        kind: what the predictor's inputs are.
        name: what it calls them.

    Raises:
        ValueError: there is nothing in it, no input in an item, no processor for the inputs, a label that the
            model has no class for, or labels on some items and none on others.
    """

    def __init__(
        self,
        dataset: Any,
        processor: Callable[..., Any] | None = None,
        batch_size: int = 32,
        label_column: str | None = None,
        model_config: Any = None,
        labels: str | None = "classes",
        kind: Kind | None = None,
        name: str = "pixel_values",
    ):
        if batch_size < 1:
            raise ValueError(f"A batch of {batch_size} images holds nothing; give a batch_size of 1 or more.")
        first, self.items = _items(dataset)
        self.processor = processor
        self.model_config = model_config
        self.kind = Images() if kind is None else kind
        self.name = name
        self.images = isinstance(self.kind, Images)
        self.input_column = image_column(first) if self.images else audio_column(first)
        self.label_column = _label_column(first, label_column, labels)
        self.labels = labels
        self.to_label = label_reader(labels, dataset, self.label_column, model_config)
        self.ready = self.input_column in INPUT_NAMES
        self.finished = self.ready and np.ndim(first[self.input_column]) == self.kind.item_ndim + 1
        self.batch_size = 1 if self.finished else batch_size
        # A loader of a stream has a length that cannot be asked for.
        items = length_hint(dataset, 0)
        self.total = math.ceil(items / self.batch_size) if items else None
        """How many batches there are, if the data set knows its length."""

    def __iter__(self) -> Iterator[Batch]:
        labelled: bool | None = None
        while chunk := list(islice(self.items, self.batch_size)):
            columns = [[item.get(name) for item in chunk] for name in (self.input_column, self.label_column)]
            masks = [item.get("attention_mask") for item in chunk]
            if self.finished:
                size = len(columns[0][0])
                *columns, masks = ([None] * size if one[0] is None else _as_list(one[0]) for one in (*columns, masks))
            raw, labels = columns
            if self.ready and not self.images:
                raw = [unpadded(audio, mask) for audio, mask in zip(raw, masks, strict=True)]
            known = [self.to_label(label) for label in labels]
            labelled = known[0] is not None if labelled is None else labelled
            if any((one is not None) != labelled for one in known):
                raise ValueError(
                    "Some items have a label and some have none; evaluate on those that have one, "
                    "or remove the column to measure agreement alone."
                )
            yield Batch(self.prepare(raw), self._together(raw, known) if labelled else None, self._moving(raw))

    def prepare(self, raw: list[Any]) -> dict[str, Tensor]:
        """What the predictor is given for inputs as the data set holds them."""
        if self.images:
            return {self.name: image_inputs(raw, self.input_column, self.processor, self.model_config)}
        return audio_inputs(raw, self.input_column, self.processor)

    def _moving(self, raw: list[Any]) -> Callable[[Callable[[Any], Any]], dict[str, Tensor]]:
        def transformed(function: Callable[[Any], Any]) -> dict[str, Tensor]:
            if not self.images:
                return self.prepare([changed(audio, function) for audio in raw])
            images = [upright(one) if isinstance(one, Image.Image) else _as_tensor(one) for one in raw]
            return self.prepare([function(one) for one in images])

        return transformed

    def _together(self, raw: list[Any], known: list[Any]) -> Any:
        """The labels of a batch."""
        if self.labels != "maps":
            return known
        if self.ready:
            return torch.stack([_as_tensor(one) for one in known])
        prepares = getattr(self.processor, "preprocess", self.processor)
        made: Any = {}
        if prepares is not None and "segmentation_maps" in signature(prepares).parameters:
            assert self.processor is not None
            images = [upright(one, "RGB") for one in raw]
            made = self.processor(images=images, segmentation_maps=known, return_tensors="pt")
        if "labels" not in made:
            raise ValueError(
                "These maps belong to images, and the processor does not prepare the two together; give finished "
                "'pixel_values' with 'labels', or remove the column to measure agreement alone."
            )
        return torch.stack([_as_tensor(one) for one in made["labels"]])


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


def _label_column(item: Mapping[str, Any], wanted: str | None, labels: str | None) -> str | None:
    if wanted is None:
        return label_column(item, *(("annotation",) if labels == "maps" else ()))
    if wanted not in item:
        columns = ", ".join(repr(name) for name in item)
        raise ValueError(f"There is no column {wanted!r} for the labels; the columns are {columns}.")
    return wanted


def _as_list(values: Any) -> list[Any]:
    return list(values.tolist() if np.ndim(values) < 2 and hasattr(values, "tolist") else values)


def _as_tensor(values: Any) -> Tensor:
    return values if isinstance(values, Tensor) else torch.as_tensor(np.array(values))
