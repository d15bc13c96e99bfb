"""From the clips of a data set to the tensors that a predictor takes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def extracted(clips: Sequence[Any], extractor: Any) -> dict[str, Tensor]:
    """Clips as the checkpoint's feature extractor makes them, with a mask that says what is padding.

    Args:
        clips: arrays `(samples,)` at the checkpoint's sampling rate, or `{"array": ..., "sampling_rate": ...}`.
        extractor: the checkpoint's feature extractor.

    Raises:
        ValueError: an audio clip has another sampling rate, several channels, or whole numbers for samples.
    """
    rate = extractor.sampling_rate
    # The extractors of spectrograms know themselves how far to fill up.
    fill = {"padding": True} if extractor.model_input_names[0] == "input_values" else {}
    arrays = [samples(audio, rate) for audio in clips]
    return dict(extractor(arrays, sampling_rate=rate, return_attention_mask=True, return_tensors="pt", **fill))


def samples(audio: Any, rate: int) -> "np.ndarray[Any, Any]":
    """One clip as `(samples,)`.

    Raises:
        ValueError: it was sampled at another rate, or has several channels, or whole numbers for samples.
    """
    if not isinstance(audio, np.ndarray | Tensor | Sequence):  # as datasets decodes it
        its_rate, audio = audio["sampling_rate"], audio["array"]
        if its_rate != rate:
            raise ValueError(
                f"An audio clip was sampled at {its_rate} Hz, and the checkpoint reads {rate} Hz. Resample the data: "
                f"dataset.cast_column('audio', Audio(sampling_rate={rate}))."
            )
    array = np.asarray(audio)
    if np.issubdtype(array.dtype, np.integer):
        raise ValueError(
            f"The samples of an audio clip are whole numbers ({array.dtype}), and feature extractors take them to lie "
            "between -1 and 1. Divide by 32768 (int16)."
        )
    array = array.astype(np.float32, copy=False)
    if array.ndim != 1:
        raise ValueError(
            f"An audio clip has the shape {array.shape}, and one channel (samples,) is wanted. Mix its channels."
        )
    return array


AUDIO_COLUMNS = ("input_values", "input_features", "audio")


def audio_column(item: Mapping[str, Any]) -> str:
    """The name under which an item of a data set holds its audio."""
    for name in AUDIO_COLUMNS:
        if name in item:
            return name
    columns = ", ".join(repr(name) for name in item)
    raise ValueError(f"There is no audio among the columns {columns}; name the right one 'audio' or 'input_values'.")


def unpadded(audio: Any, mask: Any) -> Tensor:
    """A finished waveform or spectrogram; of a waveform, what its mask says is audio."""
    audio = torch.as_tensor(np.asarray(audio)).float()
    return audio if mask is None or audio.ndim > 1 else audio[: int(np.asarray(mask).sum())]


def changed(audio: Any, function: Callable[[Any], Any]) -> Any:
    """An audio clip to whose samples something has happened."""
    if isinstance(audio, Tensor):
        return torch.as_tensor(np.asarray(function(audio.numpy()))).float()
    if isinstance(audio, np.ndarray | Sequence):
        return function(np.asarray(audio, dtype=np.float32))
    return {"array": function(np.asarray(audio["array"], np.float32)), "sampling_rate": audio["sampling_rate"]}
