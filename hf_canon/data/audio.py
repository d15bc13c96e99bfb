"""From the sounds of a data set to the tensors that a predictor takes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def extracted(sounds: Sequence[Any], extractor: Any) -> dict[str, Tensor]:
    """Sounds as the checkpoint's feature extractor makes them, with a mask that says what is padding.

    Args:
        sounds: arrays `(samples,)` at the checkpoint's sampling rate, or `{"array": ..., "sampling_rate": ...}`.
        extractor: the checkpoint's feature extractor.

    Raises:
        ValueError: a sound has another sampling rate, several channels, or whole numbers for samples.
    """
    rate = extractor.sampling_rate
    # The extractors of spectrograms know themselves how far to fill up.
    fill = {"padding": True} if extractor.model_input_names[0] == "input_values" else {}
    arrays = [samples(sound, rate) for sound in sounds]
    return dict(extractor(arrays, sampling_rate=rate, return_attention_mask=True, return_tensors="pt", **fill))


def samples(sound: Any, rate: int) -> "np.ndarray[Any, Any]":
    """One sound as `(samples,)`.

    Raises:
        ValueError: it was sampled at another rate, or has several channels, or whole numbers for samples.
    """
    if not isinstance(sound, np.ndarray | Tensor | Sequence):  # as datasets decodes it
        its_rate, sound = sound["sampling_rate"], sound["array"]
        if its_rate != rate:
            raise ValueError(
                f"A sound was sampled at {its_rate} Hz, and the checkpoint listens at {rate} Hz. Resample the data: "
                f"dataset.cast_column('audio', Audio(sampling_rate={rate}))."
            )
    array = np.asarray(sound)
    if np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"The samples of a sound are whole numbers ({array.dtype}), and feature extractors take them to lie "
            "between -1 and 1. Divide by 32768 (int16)."
        )
    array = array.astype(np.float32, copy=False)
    if array.ndim != 1:
        raise ValueError(
            f"A sound has the shape {array.shape}, and one channel (samples,) is wanted. Mix its channels into one."
        )
    return array


SOUND_COLUMNS = ("input_values", "input_features", "audio")


def sound_column(item: Mapping[str, Any]) -> str:
    """The name under which an item of a data set holds its sound."""
    for name in SOUND_COLUMNS:
        if name in item:
            return name
    columns = ", ".join(repr(name) for name in item)
    raise ValueError(f"There is no sound among the columns {columns}; name the right one 'audio' or 'input_values'.")


def unpadded(sound: Any, mask: Any) -> Tensor:
    """A finished waveform or spectrogram; of a waveform, what its mask says is sound."""
    sound = torch.as_tensor(np.asarray(sound)).float()
    return sound if mask is None or sound.ndim > 1 else sound[: int(np.asarray(mask).sum())]


def changed(sound: Any, function: Callable[[Any], Any]) -> Any:
    """A sound to whose samples something has happened."""
    if isinstance(sound, Tensor):
        return torch.as_tensor(np.asarray(function(sound.numpy()))).float()
    if isinstance(sound, np.ndarray | Sequence):
        return function(np.asarray(sound, dtype=np.float32))
    return {"array": function(np.asarray(sound["array"], np.float32)), "sampling_rate": sound["sampling_rate"]}
