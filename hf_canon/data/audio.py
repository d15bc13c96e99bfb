"""From audio, wherever it is, to the tensors that a predictor takes."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from ..predictors.inputs import INPUT_NAMES


def extractor_of(processor: Any) -> Any:
    """The feature extractor, which may be a part of a processor that reads texts too."""
    return getattr(processor, "feature_extractor", processor)


def audio_inputs(clips: Sequence[Any], column: str, processor: Any) -> dict[str, Tensor]:
    """The audio of a column, finished or not, as a batch of one length, with a mask that says what is padding."""
    if column in INPUT_NAMES:
        return padded(column, [torch.as_tensor(np.asarray(audio)) for audio in clips])
    if extractor_of(processor) is None:
        raise ValueError(
            "These are clips, and there is no feature extractor to prepare them: pass the checkpoint's own, "
            "AutoFeatureExtractor.from_pretrained(...), as processing_class."
        )
    return extracted(clips, processor)


def extracted(clips: Sequence[Any], processor: Any) -> dict[str, Tensor]:
    """Audio as the checkpoint's feature extractor makes it, with a mask that says what is padding.

    Args:
        clips: arrays `(samples,)` at the checkpoint's sampling rate, or `{"array": ..., "sampling_rate": ...}`.
        processor: the checkpoint's feature extractor, or a processor that has one.

    Raises:
        ValueError: an audio clip has another sampling rate, several channels, or whole numbers for samples.
    """
    extractor = extractor_of(processor)
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


def padded(name: str, clips: list[Tensor]) -> dict[str, Tensor]:
    """Waveforms filled up with zeros, and what of them is none; spectrograms, which are of one size, as they are."""
    if clips[0].ndim > 1:
        return {name: torch.stack(clips).float()}
    lengths = torch.tensor([len(audio) for audio in clips])
    x = pad_sequence(clips, batch_first=True).float()
    return {name: x, "attention_mask": (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).long()}


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
