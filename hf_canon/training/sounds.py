"""From sounds of a data set to a training batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .data import class_labels

READY = ("input_values", "input_features")


class SoundCollator:
    """Makes a batch of sounds of one length, with an `attention_mask` that says what of them is padding.

    Examples hold `audio`, an array `(samples,)` at the checkpoint's sampling rate or `{"array": ..., "sampling_rate":
    ...}` as `datasets` gives it; or `input_values` or `input_features`, ready for the checkpoint; and perhaps a
    `label`.

    Args:
        processor: the checkpoint's feature extractor, or a processor that has one; not needed for sounds that are
            ready.
        model_config: the predictor's, which says which classes there are.
        features: of the data set; where it names its classes and the model knows the names, labels are the model's.

    Raises:
        ValueError: an example has no sound, of another sampling rate or of several channels; or sounds come without a
            processor.

    Example:
        >>> batch = SoundCollator()([{"input_values": torch.ones(3)}, {"input_values": torch.ones(2)}])
        >>> batch["attention_mask"]
        tensor([[1, 1, 1],
                [1, 1, 0]])
    """

    def __init__(self, processor: Any = None, model_config: Any = None, features: Any = None):
        self.extractor = getattr(processor, "feature_extractor", processor)
        self.features = features
        self.model_config = model_config

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        first = examples[0]
        ready = next((name for name in READY if name in first), None)
        if ready is None and "audio" not in first:
            raise ValueError(
                f"There is no sound among the columns {', '.join(map(repr, first))}; name it 'audio' or "
                "'input_values'."
            )
        batch = (
            self._extract([example["audio"] for example in examples])
            if ready is None
            else padded(ready, [torch.as_tensor(np.asarray(example[ready])) for example in examples])
        )
        return {**batch, **class_labels(examples, self.features, self.model_config)}

    def _extract(self, sounds: list[Any]) -> dict[str, Tensor]:
        if self.extractor is None:
            raise ValueError(
                "These are sounds, and there is no feature extractor to prepare them: pass the checkpoint's own, "
                "AutoFeatureExtractor.from_pretrained(...), as processing_class."
            )
        rate = self.extractor.sampling_rate
        # The extractors of spectrograms know themselves how far to fill up.
        fill = {"padding": True} if self.extractor.model_input_names[0] == "input_values" else {}
        arrays = [samples(sound, rate) for sound in sounds]
        made = self.extractor(arrays, sampling_rate=rate, return_attention_mask=True, return_tensors="pt", **fill)
        return dict(made)


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


def padded(name: str, sounds: list[Tensor]) -> dict[str, Tensor]:
    """Waveforms filled up with zeros, and what of them is none; spectrograms, which are of one size, as they are."""
    if sounds[0].ndim > 1:
        return {name: torch.stack(sounds).float()}
    lengths = torch.tensor([len(sound) for sound in sounds])
    x = pad_sequence(sounds, batch_first=True).float()
    return {name: x, "attention_mask": (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).long()}
