"""A data set by the name that a user gives it: a folder, a file, or an id on the Hub."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig

DATA_HELP = (
    "a folder that holds one folder of images for each class, or images alone; a folder saved by "
    "datasets.save_to_disk; a parquet or csv file; or the id of a data set on the Hub. The image column is found by "
    "itself"
)
IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def load_images(
    data: str, split: str | None, usual: tuple[str, ...], config: "PreTrainedConfig", labelled: bool = True
) -> "Dataset":
    """A data set with the column `image`, and `label` where it has labels.

    Args:
        data: as `DATA_HELP` says.
        split: the one to read, or None for the first of `usual` that exists, or the only one.
        usual: names of splits.
        config: of the checkpoint, which says what images it takes and how it calls its classes.
        labelled: whether labels matter; else they are left out, and may be of other classes.

    Raises:
        ValueError: there is nothing there, no such split, no image in it, or no column of images; or a class has a
            name that the checkpoint does not know.
    """
    import datasets

    from .images import image_mode

    dataset = load_rows(data, split, usual)
    image, label = image_column(dataset, data), label_column(dataset) if labelled else None
    dataset = dataset.select_columns([image] if label is None else [image, label])
    renamed = {old: new for old, new in ((image, "image"), (label, "label")) if old is not None and old != new}
    if renamed:
        dataset = dataset.rename_columns(renamed)
    if label is not None:
        dataset = with_known_classes(dataset, config, data)
    return dataset.cast_column("image", datasets.Image(mode=image_mode(config)))


def load_rows(data: str, split: str | None, usual: tuple[str, ...], streaming: bool = False) -> Any:
    """A data set with all its columns, those of images declared as `datasets.Image`.

    Args:
        data: as `DATA_HELP` says.
        split: the one to read, or None for the first of `usual` that exists, or the only one.
        usual: names of splits.
        streaming: read a Hub data set, a parquet file or a folder as it is used, and not convert it first. Of the
            others, which are ready, this changes nothing.

    Raises:
        ValueError: there is nothing there, no such split, or no column of images.
    """
    import datasets

    loaded = read_dataset(data, streaming)
    if isinstance(loaded, datasets.DatasetDict | datasets.IterableDatasetDict):
        if split is None:
            only = list(loaded) if len(loaded) == 1 else []
            split = next((name for name in [*usual, *only] if name in loaded), usual[0])
        if split not in loaded:
            raise ValueError(f"{data!r} has no split {split!r}; choose with --split from: {', '.join(loaded)}.")
        dataset = loaded[split]
    else:
        dataset = loaded
    if isinstance(dataset, datasets.Dataset) and len(dataset) == 0:
        raise ValueError(f"The data set {data!r} is empty.")
    image = image_column(dataset, data)
    feature = (dataset.features or {}).get(image)
    if isinstance(feature, datasets.Value) and isinstance(first_row(dataset)[image], str):
        # A table names its images relative to itself.
        folder = Path(data).resolve().parent
        dataset = dataset.map(lambda path: {image: str(folder / path)}, input_columns=image, features=dataset.features)
    return dataset if feature is None else dataset.cast_column(image, datasets.Image())


def first_row(dataset: Any) -> dict[str, Any]:
    return next(iter(dataset.with_format(None)), {})


def with_known_classes(dataset: "Dataset", config: "PreTrainedConfig", data: str) -> "Dataset":
    """The data set, when its classes are the checkpoint's; otherwise every answer would count as wrong.

    Raises:
        ValueError: a class has a name that the checkpoint does not know.
    """
    import datasets

    if getattr(dataset.features["label"], "dtype", None) in ("string", "large_string"):  # the latter from csv files
        dataset = dataset.cast_column("label", datasets.Value("string")).class_encode_column("label")
    names = getattr(dataset.features["label"], "names", [])
    known = config.label2id or {}
    unnamed = all(str(name).startswith("LABEL_") for name in known)  # then only the order can be meant
    stranger = next((name for name in names if name not in known), None)
    if stranger is not None and not unnamed:
        examples = ", ".join(repr(name) for name in list(known)[:3])
        raise ValueError(
            f"The checkpoint has no class {stranger!r}, as {data!r} has it; call the classes what the checkpoint "
            f"calls them ({examples}, ...)."
        )
    return dataset


def read_dataset(data: str, streaming: bool = False) -> Any:
    """Whatever `datasets` makes of a folder, a file or a Hub id: a data set or, of several splits, a dictionary."""
    import datasets

    path = Path(data)
    if path.is_dir():
        if (path / "dataset_dict.json").is_file() or (path / "state.json").is_file():
            try:
                return datasets.load_from_disk(path)
            except (IndexError, OSError, ValueError) as error:  # IndexError: there are no rows
                raise ValueError(f"The data set saved in {data!r} is empty or damaged: {first_line(error)}") from error
        if not any(path.iterdir()):
            raise ValueError(f"The folder {data!r} is empty.")
        try:
            return datasets.load_dataset(str(path), streaming=streaming)
        except (datasets.exceptions.DatasetsError, FileNotFoundError, ValueError) as error:
            raise ValueError(f"The folder {data!r} holds no images and no table that names some.") from error
    if path.is_file():
        builder = {".parquet": "parquet", ".csv": "csv"}.get(path.suffix.lower())
        if builder is None:
            raise ValueError(f"{data!r} is neither a folder nor a parquet or csv file.")
        try:
            # A csv file only names images, and does not say what its columns hold before it is read.
            as_used = streaming and builder == "parquet"
            return datasets.load_dataset(builder, data_files=str(path), streaming=as_used)
        except (datasets.exceptions.DatasetsError, ValueError) as error:
            reason = first_line(error.__cause__ or error)
            raise ValueError(f"{data!r} is empty or is no {builder} file: {reason}") from error
    if looks_like_path(data):
        raise ValueError(f"There is no folder or file {data!r}.")
    try:
        return datasets.load_dataset(data, streaming=streaming)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        raise ValueError(
            f"There is no folder or file {data!r}, and the Hub gave no such data set: {first_line(error)}"
        ) from error


def image_column(dataset: Any, data: str) -> str:
    """The column that holds images: declared so, or by the look of its first row (a path, bytes, or both)."""
    import datasets

    features = dataset.features or {}
    columns = [name for name, feature in features.items() if isinstance(feature, datasets.Image)]
    if not columns:
        first = first_row(dataset)
        columns = [name for name, value in first.items() if looks_like_image(value)]
        if not columns:
            raise ValueError(f"None of the columns of {data!r} holds images ({', '.join(first)}).")
    return next((name for name in ("image", "img") if name in columns), columns[0])


def looks_like_image(value: Any) -> bool:
    if isinstance(value, dict):
        return set(value) == {"bytes", "path"}
    return isinstance(value, bytes) or (isinstance(value, str) and Path(value).suffix.lower() in IMAGE_SUFFIXES)


def label_column(dataset: "Dataset") -> str | None:
    import datasets

    named = [name for name in ("label", "labels") if name in dataset.features]
    return next(
        iter(named + [name for name, f in dataset.features.items() if isinstance(f, datasets.ClassLabel)]), None
    )


def looks_like_path(name: str) -> bool:
    """Whether a name cannot be the id of a Hub repository, `owner/name`, and so has to be a file or folder."""
    return name.startswith((".", os.sep)) or name.count("/") > 1 or name.endswith("/") or os.sep == "\\" in name


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."
