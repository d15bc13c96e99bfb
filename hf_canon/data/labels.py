"""From the labels of a data set to a model's numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .columns import label_column

Answer = tuple[int, ...]
"""The classes that are right for one input."""


def class_names(features: Any, column: str | None) -> list[str]:
    """How a data set calls its classes, in order; nothing where it does not say."""
    return getattr((features or {}).get(column), "names", None) or []


def class_numbers(features: Any, column: str | None, model_config: Any) -> list[int] | None:
    """The model's number for each class of a data set; None where only the order can be meant.

    A folder of images numbers its classes by the alphabet, and a checkpoint as it was trained.

    Args:
        features: what `datasets` knows of the columns.
        column: of labels.
        model_config: names the model's classes.

    Raises:
        ValueError: the model knows some of the names and not the others.
    """
    names, known = class_names(features, column), getattr(model_config, "label2id", None) or {}
    strangers = [name for name in names if name not in known]
    if 0 < len(strangers) < len(names):
        raise ValueError(
            f"The data set and the model share some class names, but the model has no {strangers[0]!r}; "
            "rename the classes of the data set to those of the model."
        )
    return [int(known[name]) for name in names] if names and not strangers else None


def with_known_classes(dataset: Any, config: Any, data: str) -> Any:
    """The data set, when its classes are the checkpoint's; otherwise every answer would count as wrong.

    Args:
        dataset: of `datasets`, with the column `label`; names are encoded.
        config: of the checkpoint.
        data: what the user calls the data set.

    Raises:
        ValueError: a class has a name that the checkpoint does not know.
    """
    import datasets

    if getattr(dataset.features["label"], "dtype", None) in ("string", "large_string"):  # the latter from csv files
        dataset = dataset.cast_column("label", datasets.Value("string")).class_encode_column("label")
    known = config.label2id or {}
    unnamed = all(str(name).startswith("LABEL_") for name in known)  # then only the order can be meant
    stranger = next((name for name in class_names(dataset.features, "label") if name not in known), None)
    if stranger is not None and not unnamed:
        examples = ", ".join(repr(name) for name in list(known)[:3])
        raise ValueError(
            f"The checkpoint has no class {stranger!r}, as {data!r} has it; call the classes what the checkpoint "
            f"calls them ({examples}, ...)."
        )
    return dataset


def class_labels(examples: Sequence[Mapping[str, Any]], features: Any, model_config: Any) -> dict[str, Tensor]:
    """`{"labels": (batch,)}`, the model's numbers; nothing where the examples have none."""
    column = label_column([name for name, value in examples[0].items() if value is not None])
    if column is None:
        return {}
    numbers = class_numbers(features, column, model_config)
    labels = [int(example[column]) for example in examples]
    return {"labels": torch.tensor(labels if numbers is None else [numbers[one] for one in labels])}


def label_reader(kind: str | None, dataset: Any, column: str | None, model_config: Any) -> Callable[[Any], Any]:
    """From a label as a data set holds it to what is right, or None where it has none.

    Args:
        kind: what kind of label the task has: "classes", "maps", "boxes", or None.
        dataset: names its classes, perhaps.
        column: of labels.
        model_config: names the model's classes.
    """
    if kind == "classes":
        return _answers(class_numbers(getattr(dataset, "features", None), column, model_config), model_config)
    return {"maps": _map, "boxes": _boxes, None: lambda label: None}[kind]


def _answers(numbers: list[int] | None, model_config: Any) -> Callable[[Any], Answer | None]:
    classes = getattr(model_config, "num_labels", None)

    def to_answer(label: Any) -> Answer | None:
        right = tuple(-1 if one is None else int(one) for one in (label if np.ndim(label) else [label]))
        if not right or any(one < 0 for one in right):  # how data sets mark what has no label
            return None
        if numbers:
            right = tuple(numbers[one] for one in right)
        if classes is not None and any(one >= classes for one in right):
            raise ValueError(
                f"The label {max(right)} has no class in this model, which has {classes}; "
                "evaluate on the data that it was trained for, or remove the column to measure agreement alone."
            )
        return right

    return to_answer


def _map(label: Any) -> Any:
    """Values at each place; None for a number, which is a class at most."""
    return label if label is not None and np.ndim(label) > 1 else None


def _boxes(label: Any) -> Any:
    return label if isinstance(label, Mapping) and {"boxes", "class_labels"} <= set(label) else None
