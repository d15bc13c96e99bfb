"""The rows of a data set in their order, images undecoded: a table by position, a stream from a place in it."""

import math
from collections import deque
from collections.abc import Container, Iterable, Iterator
from itertools import count, islice
from typing import Any, TypeAlias

import datasets
from datasets.features.features import require_decoding
from datasets.iterable_dataset import BufferShuffledExamplesIterable

from ..data.columns import declared_image_column, image_column
from ..groups import Group
from .parts import Progress

Row = dict[str, Any]

SAMPLED_ROWS = 16
"""How many rows tell a table from others."""

ANSWER_COLUMNS = {
    "index": "int64",
    "label": "string",
    "probability": "float32",
    "element": "string",
    "element_index": "int64",
    "element_angle": "float32",
    "pose_probability": "float32",
    "action": "string",
    "error": "string",
}


def encoded_images(dataset: Any, columns: list[str] | None) -> tuple[Any, str, dict[str, Any]]:
    """The data set with the needed columns alone, images undecoded.

    Returns:
        It; the name of its column of images; and the columns to keep, with what they hold.

    Raises:
        ValueError: it is empty or no data set, or has no such columns.
    """
    if not isinstance(dataset, datasets.Dataset | datasets.IterableDataset):
        raise ValueError(
            f"This is a {type(dataset).__name__}, and has to be one datasets.Dataset or IterableDataset, such as "
            "load_dataset(..., split=...) or Dataset.from_list(rows) make."
        )
    # A format of the user's would decode images, and one broken file would end it all.
    dataset = dataset.with_format(None)
    features = dataset.features
    image, names = declared_image_column(features), list(features or ())
    if image is None:
        first = next(iter(dataset), None)
        if first is None:
            raise ValueError("The data set is empty; there is nothing to answer.")
        image, names = image_column(first), list(first)
    kept = {name: kept_feature(name, image, names, features) for name in ([image] if columns is None else columns)}
    if features is not None:
        dataset = dataset.cast_column(image, datasets.Image(decode=False))
    return dataset.select_columns(list(dict.fromkeys([image, *kept]))), image, kept


def kept_feature(name: str, image: str, names: list[str], features: Any) -> Any:
    """What a kept column holds.

    Raises:
        ValueError: it cannot be kept.
    """
    if name not in names:
        raise ValueError(f"The data set has no column {name!r} to keep; it has {', '.join(map(repr, names))}.")
    if name in ANSWER_COLUMNS:
        raise ValueError(
            f"The answers have a column {name!r} of their own; rename that of the data set, with "
            f"rename_column({name!r}, 'given_{name}'), or leave it out and join by 'index'."
        )
    if name == image:
        return datasets.Value("string")
    if features is None:
        raise ValueError(
            f"This stream does not say what its column {name!r} holds; give features= to the map or from_generator "
            "that made it."
        )
    if require_decoding(features[name], ignore_decode_attribute=True):
        raise ValueError(f"The column {name!r} holds images or the like, which answers do not keep; leave it out.")
    return features[name]


def answer_features(kept: dict[str, Any], group: Group) -> datasets.Features:
    """The columns of the answers, and what they hold."""
    other = "element_angle" if group.finite else "element_index"
    own = {name: datasets.Value(dtype) for name, dtype in ANSWER_COLUMNS.items() if name != other}
    return datasets.Features({"index": own.pop("index"), **kept, **own})


class Table:
    """The rows of a `Dataset`, read by their position where they are prepared."""

    def __init__(self, dataset: datasets.Dataset, rows_per_part: int, batch_size: int):
        self.dataset, self.rows_per_part, self.batch_size = dataset, rows_per_part, batch_size
        self.total = len(dataset)
        if not self.total:
            raise ValueError("The data set is empty; there is nothing to answer.")

    def sample(self) -> list[Row]:
        """Rows that tell this data set from others, from the first to the last."""
        steps = SAMPLED_ROWS - 1
        return [self.dataset[i] for i in sorted({step * (self.total - 1) // steps for step in range(steps + 1)})]

    def missing(self, done: Container[int]) -> Iterator[int]:
        """The parts that are not done."""
        return (part for part in range(math.ceil(self.total / self.rows_per_part)) if part not in done)

    def keys(self, parts: Iterable[int], before: Progress) -> Iterator[range]:
        """What `read` takes, for each batch of these parts."""
        for part in parts:
            end = min((part + 1) * self.rows_per_part, self.total)
            for start in range(part * self.rows_per_part, end, self.batch_size):
                yield range(start, min(start + self.batch_size, end))

    def read(self, key: range) -> tuple[int, list[Row]]:
        """The position of a batch, and its rows."""
        return key.start, [self.dataset[i] for i in key]

    def state_after(self, part: int) -> None:
        """A position says it all."""


class Stream:
    """The rows of an `IterableDataset`, read one after the other by the process that answers."""

    total = None

    def __init__(self, dataset: datasets.IterableDataset, rows_per_part: int, batch_size: int):
        self.dataset, self.rows_per_part, self.batch_size = dataset, rows_per_part, batch_size
        # The state of a stream leaves out what waits in a shuffle buffer: those rows would be lost.
        self.resumable = not shuffles(dataset._ex_iterable)
        self.states: dict[int, dict[str, Any]] = {}

    def sample(self) -> list[Row]:
        """The first row; more would have to be read up to."""
        first = next(iter(self.dataset), None)
        if first is None:
            raise ValueError("The data set is empty; there is nothing to answer.")
        return [first]

    def missing(self, done: Container[int]) -> Iterator[int]:
        """The parts that are not done, without end."""
        return (part for part in count() if part not in done)

    def keys(self, parts: Iterable[int], before: Progress) -> Iterator[tuple[int, list[Row]]]:
        """What `read` takes, for each batch of these parts, until the stream ends."""
        position = 0
        if before.state is not None:
            self.dataset.load_state_dict(before.state)
            position = before.unbroken * self.rows_per_part
        rows = iter(self.dataset)
        for part in parts:
            if before.end is not None and part >= before.end:
                return
            deque(islice(rows, part * self.rows_per_part - position), maxlen=0)  # what others answer
            position = (part + 1) * self.rows_per_part
            for start in range(part * self.rows_per_part, position, self.batch_size):
                batch = list(islice(rows, min(self.batch_size, position - start)))
                if not batch:
                    return
                if start + len(batch) == position and self.resumable:
                    self.states[part] = self.dataset.state_dict()
                yield start, batch

    def read(self, key: tuple[int, list[Row]]) -> tuple[int, list[Row]]:
        """The position of a batch, and its rows."""
        return key

    def state_after(self, part: int) -> dict[str, Any] | None:
        """Where the stream stood when this part had been read, if it can be started there."""
        return self.states.pop(part, None)

    def __getstate__(self) -> None:
        """The processes that prepare images are handed rows, and need no stream."""


Source: TypeAlias = Table | Stream


def source_of(dataset: Any, rows_per_part: int, batch_size: int) -> Source:
    streaming = isinstance(dataset, datasets.IterableDataset)
    return (Stream if streaming else Table)(dataset, rows_per_part, batch_size)


def shuffles(examples: Any) -> bool:
    """Whether a stream passes a shuffle buffer anywhere on its way."""
    before = [getattr(examples, "ex_iterable", None), *getattr(examples, "ex_iterables", [])]
    return isinstance(examples, BufferShuffledExamplesIterable) or any(shuffles(one) for one in before if one)
