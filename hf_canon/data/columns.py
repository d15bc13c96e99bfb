"""Which column of a data set holds the images, the audio, the labels."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def image_column(item: Mapping[str, Any]) -> str:
    """The name under which an item of a data set holds its image, finished or as PIL has it.

    Raises:
        ValueError: it holds none, or several under names of their own.
    """
    for name in ("pixel_values", "image", "img"):
        if name in item:
            return name
    images = [name for name, value in item.items() if hasattr(value, "convert")]
    if len(images) == 1:
        return images[0]
    columns = ", ".join(repr(name) for name in item)
    found = "no image" if not images else f"{len(images)} images"
    raise ValueError(f"There is {found} among the columns {columns}; name the right one 'image' or 'pixel_values'.")


def audio_column(item: Mapping[str, Any]) -> str:
    """The name under which an item of a data set holds its audio.

    Raises:
        ValueError: it holds none.
    """
    for name in ("input_values", "input_features", "audio"):
        if name in item:
            return name
    columns = ", ".join(repr(name) for name in item)
    raise ValueError(f"There is no audio among the columns {columns}; name the right one 'audio' or 'input_values'.")


def label_column(columns: Collection[str], *others: str) -> str | None:
    """The usual name of labels that is there; `others` are tried after `label` and `labels`."""
    return next((name for name in ("label", "labels", *others) if name in columns), None)


def declared_image_column(features: Any) -> str | None:
    """The column that `datasets` knows to hold images, if there is one; of several, the one with the usual name."""
    import datasets

    return _usual([name for name, feature in (features or {}).items() if isinstance(feature, datasets.Image)])


def image_column_of(dataset: Any, data: str) -> str:
    """The column of images of a table: declared so, or by the look of its first row (a path, bytes, or both).

    Args:
        dataset: of `datasets`.
        data: what the user calls it.

    Raises:
        ValueError: there is none.
    """
    declared = declared_image_column(dataset.features)
    if declared is not None:
        return declared
    first = first_row(dataset)
    found = _usual([name for name, value in first.items() if _is_stored_image(value)])
    if found is None:
        raise ValueError(f"None of the columns of {data!r} holds images ({', '.join(first)}).")
    return found


def label_column_of(dataset: Any) -> str | None:
    """The column of labels of a table: by its name, or the first that is declared so."""
    import datasets

    classes = (name for name, feature in dataset.features.items() if isinstance(feature, datasets.ClassLabel))
    return label_column(dataset.features) or next(classes, None)


def first_row(dataset: Any) -> dict[str, Any]:
    return next(iter(dataset.with_format(None)), {})


def _usual(columns: list[str]) -> str | None:
    return next((name for name in ("image", "img") if name in columns), columns[0] if columns else None)


def _is_stored_image(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == {"bytes", "path"}
    return isinstance(value, bytes) or (isinstance(value, str) and Path(value).suffix.lower() in IMAGE_SUFFIXES)
