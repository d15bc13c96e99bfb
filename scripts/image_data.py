"""What the training and the evaluation script share: how arguments are given, and how images are read."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset, IterableDataset
from transformers import HfArgumentParser

from hf_canon.data.columns import image_column_of, label_column_of
from hf_canon.data.images import image_mode
from hf_canon.data.labels import with_known_classes
from hf_canon.data.named import DATA_HELP, read_dataset

Images = Dataset | IterableDataset
"""A data set with the column `image`, and `label` where it has labels."""


@dataclass
class DataArguments:
    """Which images."""

    data: str = field(metadata={"help": DATA_HELP})
    streaming: bool = field(
        default=False, metadata={"help": "Read the images as they are needed, and never all of them into memory."}
    )
    image_column: str | None = field(
        default=None, metadata={"help": "The column of images, where it is not found by itself."}
    )
    label_column: str | None = field(
        default=None, metadata={"help": "The column of labels, where it is not found by itself."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Evaluate on so many images at most."})


def parse_arguments(kinds: Sequence[type], argv: Sequence[str] | None) -> tuple[Any, ...]:
    """Instances of these dataclasses, from words (those of this process by default) or from the one file they name."""
    words = sys.argv[1:] if argv is None else list(argv)
    parser = HfArgumentParser(kinds)
    if len(words) == 1 and words[0].endswith((".yaml", ".yml")):
        return parser.parse_yaml_file(words[0])
    if len(words) == 1 and words[0].endswith(".json"):
        return parser.parse_json_file(words[0])
    return parser.parse_args_into_dataclasses(words)


def open_data(args: DataArguments) -> dict[str, Images]:
    """Every split of the data, by its name; data that have none are the split `train`.

    Raises:
        ValueError: there is nothing there that can be read.
    """
    loaded = read_dataset(args.data, args.streaming)
    splits = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    if not args.streaming:
        return splits
    # What lies in memory-mapped files is a stream only by name: nothing of it is read yet.
    return {name: one.to_iterable_dataset() if isinstance(one, Dataset) else one for name, one in splits.items()}


def choose_split(splits: dict[str, Images], wanted: str | None, usual: Sequence[str], args: DataArguments) -> str:
    """The split that was asked for, or the first usual one, or the only one.

    Raises:
        ValueError: there is no such split.
    """
    known = ", ".join(splits)
    if wanted is not None:
        if wanted not in splits:
            raise ValueError(f"{args.data!r} has no split {wanted!r}; choose from: {known}.")
        return wanted
    chosen = next((name for name in usual if name in splits), next(iter(splits)) if len(splits) == 1 else None)
    if chosen is None:
        raise ValueError(f"{args.data!r} has no split called {usual[0]!r}; say which of these to use: {known}.")
    return chosen


def prepare(images: Images, args: DataArguments, config: Any) -> Images:
    """Leaves the columns `image` and, where there are labels, `label`.

    Args:
        config: of the checkpoint, which says what images it takes and how it calls its classes.

    Raises:
        ValueError: there is no image, no such column, or a class that the checkpoint does not know.
    """
    first = sample(images)
    if len(first) == 0:
        raise ValueError(f"The data set {args.data!r} is empty.")
    for wanted in (args.image_column, args.label_column):
        if wanted is not None and wanted not in first.column_names:
            raise ValueError(f"{args.data!r} has no column {wanted!r}; choose from: {', '.join(first.column_names)}.")
    image = args.image_column or image_column_of(first, args.data)
    label = args.label_column or label_column_of(first)
    if images.features is None:  # some streams know their columns by their first row only
        images = images.cast(first.features)
    if isinstance(first.features[image], datasets.Value) and isinstance(first[0][image], str):
        # A table names its images relative to itself.
        folder = Path(args.data).resolve().parent
        images = images.map(lambda path: {image: str(folder / path)}, input_columns=image, features=images.features)
    images = images.select_columns([image] if label is None else [image, label])
    renamed = {old: new for old, new in ((image, "image"), (label, "label")) if old is not None and old != new}
    if renamed:
        images = images.rename_columns(renamed)
    if label is not None:
        images = with_classes(images, config, args.data)
    return images.cast_column("image", datasets.Image(mode=image_mode(config)))


def sample(images: Images) -> Dataset:
    """Something that answers questions about columns: the data set, or the first row of a stream as one."""
    if isinstance(images, Dataset):
        return images
    return Dataset.from_list(list(images.take(1)), features=images.features)


def with_classes(images: Images, config: Any, data: str) -> Images:
    """The images, if their classes are the checkpoint's; names are encoded."""
    named = getattr(images.features["label"], "dtype", None) in ("string", "large_string")
    if isinstance(images, Dataset):
        return with_known_classes(images, config, data)
    with_known_classes(sample(images), config, data)
    # All names cannot be known before the end of a stream, but the checkpoint has them.
    classes = datasets.ClassLabel(names=[config.id2label[index] for index in range(config.num_labels)])
    return images.cast_column("label", classes) if named else images


def limit(images: Images, count: int | None, seed: int) -> Images:
    """At most `count` of them: at random, or the first of a stream."""
    if count is None:
        return images
    if isinstance(images, IterableDataset):
        return images.take(count)
    # Folders and tables are often sorted by class.
    return images.shuffle(seed=seed).select(range(min(count, len(images))))
