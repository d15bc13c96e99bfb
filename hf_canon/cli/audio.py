"""The clips that a command is given."""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..data.named import read_dataset

if TYPE_CHECKING:
    from datasets import Dataset


def load_clips(data: str, split: str | None, usual: tuple[str, ...]) -> "Dataset":
    """A data set with the column `audio`, as feature extractors take it, and `label` where it has labels.

    Raises:
        ValueError: there is nothing there, no such split, no column `audio`, or nothing that can decode it.
    """
    import datasets

    loaded = read_dataset(data)
    if isinstance(loaded, datasets.DatasetDict):
        chosen = split or next((name for name in (*usual, *loaded) if name in loaded), "")
        if chosen not in loaded:
            raise ValueError(f"{data!r} has no split {chosen!r}; choose with --split from: {', '.join(loaded)}.")
        loaded = loaded[chosen]
    if "audio" not in loaded.features:
        raise ValueError(
            f"The checkpoint reads audio, and none of the columns of {data!r} is called 'audio' "
            f"({', '.join(loaded.features)}). Rename the one that holds audio."
        )
    if isinstance(loaded.features["audio"], datasets.Audio):
        if find_spec("torchcodec") is None:
            raise ValueError(f"The clips of {data!r} are encoded files; install torchcodec, which reads them.")
        return loaded
    if "sampling_rate" not in loaded.features:
        return loaded
    return loaded.with_transform(with_sampling_rate)


def with_sampling_rate(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Samples and their rate in one column, so that a wrong rate is noticed."""
    clips = zip(rows.pop("audio"), rows.pop("sampling_rate"), strict=True)
    return {**rows, "audio": [{"array": array, "sampling_rate": rate} for array, rate in clips]}
