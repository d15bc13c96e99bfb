"""A data set by the name that a user gives it: a folder, a file, or an id on the Hub."""

import os
from collections.abc import Collection
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .columns import first_row, image_column_of, label_column_of
from .errors import first_line

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig

DATA_HELP = (
    "a folder that holds one folder of images for each class, or images alone; a folder saved by "
    "datasets.save_to_disk; a parquet or csv file; or the id of a data set on the Hub. The image column is found by "
    "itself"
)


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
    from .labels import with_known_classes

    dataset = load_rows(data, split, usual)
    image, label = image_column_of(dataset, data), label_column_of(dataset) if labelled else None
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
    only = list(loaded) if isinstance(loaded, dict) and len(loaded) == 1 else []
    dataset = one_split(loaded, data, split, (*usual, *only))
    if isinstance(dataset, datasets.Dataset) and len(dataset) == 0:
        raise ValueError(f"The data set {data!r} is empty.")
    image = image_column_of(dataset, data)
    feature = (dataset.features or {}).get(image)
    if isinstance(feature, datasets.Value) and isinstance(first_row(dataset)[image], str):
        # A table names its images relative to itself.
        folder = Path(data).resolve().parent
        dataset = dataset.map(lambda path: {image: str(folder / path)}, input_columns=image, features=dataset.features)
    return dataset if feature is None else dataset.cast_column(image, datasets.Image())


def load_clips(data: str, split: str | None, usual: tuple[str, ...]) -> "Dataset":
    """A data set with the column `audio`, as feature extractors take it, and `label` where it has labels.

    Args:
        data: as `DATA_HELP` says.
        split: the one to read, or None for the first of `usual` that exists, or the first of all.
        usual: names of splits.

    Raises:
        ValueError: there is nothing there, no such split, no column `audio`, or nothing that can decode it.
    """
    import datasets

    loaded = read_dataset(data)
    dataset = one_split(loaded, data, split or None, (*usual, *loaded) if isinstance(loaded, dict) else usual)
    if "audio" not in dataset.features:
        raise ValueError(
            f"The checkpoint reads audio, and none of the columns of {data!r} is called 'audio' "
            f"({', '.join(dataset.features)}). Rename the one that holds audio."
        )
    if isinstance(dataset.features["audio"], datasets.Audio):
        if find_spec("torchcodec") is None:
            raise ValueError(f"The clips of {data!r} are encoded files; install torchcodec, which reads them.")
        return dataset
    return dataset.with_transform(_with_sampling_rate) if "sampling_rate" in dataset.features else dataset


def _with_sampling_rate(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Samples and their rate in one column, so that a wrong rate is noticed."""
    clips = zip(rows.pop("audio"), rows.pop("sampling_rate"), strict=True)
    return {**rows, "audio": [{"array": array, "sampling_rate": rate} for array, rate in clips]}


def one_split(loaded: Any, data: str, split: str | None, usual: tuple[str, ...]) -> Any:
    """A data set, or the one of several splits that was asked for, or else the first of `usual` that exists.

    Raises:
        ValueError: there is no such split.
    """
    if not isinstance(loaded, dict):
        return loaded
    if split is None:
        split = next((name for name in usual if name in loaded), usual[0])
    if split not in loaded:
        raise ValueError(f"{data!r} has no split {split!r}; choose with --split from: {', '.join(loaded)}.")
    return loaded[split]


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


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files of a kind in a folder and in those below it, in order."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in suffixes)


def looks_like_path(name: str) -> bool:
    """Whether a name cannot be the id of a Hub repository, `owner/name`, and so has to be a file or folder."""
    return name.startswith((".", os.sep)) or name.count("/") > 1 or name.endswith("/") or os.sep == "\\" in name
