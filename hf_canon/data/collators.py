"""From examples of a data set to a training batch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from .audio import extracted
from .images import class_numbers, image_column, process, stack

READY = ("input_values", "input_features")


class ImageCollator:
    """Makes a batch `{"pixel_values": (batch, channels, height, width), "labels": (batch,)}` from examples.

    Examples hold a PIL image or `pixel_values`, and perhaps a `label`.

    Args:
        processor: the checkpoint's image processor; not needed for examples that hold `pixel_values`.
        model_config: the predictor's, which says how many channels it takes, and which classes there are.
        features: of the data set; where it names its classes and the model knows the names, labels are the model's.

    Raises:
        ValueError: an example has no image, or images come without a processor.
    """

    def __init__(self, processor: Any = None, model_config: Any = None, features: Any = None):
        self.processor = processor
        self.features = features
        self.model_config = model_config

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        first = examples[0]
        column = image_column(first)
        images = [example[column] for example in examples]
        ready = column == "pixel_values"
        batch = {"pixel_values": stack(images) if ready else process(images, self.processor, self.model_config)}
        return {**batch, **class_labels(examples, self.features, self.model_config)}


def class_labels(examples: Sequence[Mapping[str, Any]], features: Any, model_config: Any) -> dict[str, Tensor]:
    """`{"labels": (batch,)}`, the model's numbers; nothing where the examples have none."""
    label = next((name for name in ("label", "labels") if examples[0].get(name) is not None), None)
    if label is None:
        return {}
    numbers = class_numbers(features, label, model_config)
    labels = [int(example[label]) for example in examples]
    return {"labels": torch.tensor(labels if numbers is None else [numbers[one] for one in labels])}


class AudioCollator:
    """Makes a batch of clips of one length, with an `attention_mask` that says what of them is padding.

    Examples hold `audio`, an array `(samples,)` at the checkpoint's sampling rate or `{"array": ..., "sampling_rate":
    ...}` as `datasets` gives it; or `input_values` or `input_features`, ready for the checkpoint; and perhaps a
    `label`.

    Args:
        processor: the checkpoint's feature extractor, or a processor that has one; not needed for clips that are
            ready.
        model_config: the predictor's, which says which classes there are.
        features: of the data set; where it names its classes and the model knows the names, labels are the model's.

    Raises:
        ValueError: an example has no audio, of another sampling rate or of several channels; or clips come without a
            processor.

    Example:
        >>> batch = AudioCollator()([{"input_values": torch.ones(3)}, {"input_values": torch.ones(2)}])
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
                f"There is no audio among the columns {', '.join(map(repr, first))}; name it 'audio' or "
                "'input_values'."
            )
        batch = (
            self._extract([example["audio"] for example in examples])
            if ready is None
            else padded(ready, [torch.as_tensor(np.asarray(example[ready])) for example in examples])
        )
        return {**batch, **class_labels(examples, self.features, self.model_config)}

    def _extract(self, clips: list[Any]) -> dict[str, Tensor]:
        if self.extractor is None:
            raise ValueError(
                "These are clips, and there is no feature extractor to prepare them: pass the checkpoint's own, "
                "AutoFeatureExtractor.from_pretrained(...), as processing_class."
            )
        return extracted(clips, self.extractor)


def padded(name: str, clips: list[Tensor]) -> dict[str, Tensor]:
    """Waveforms filled up with zeros, and what of them is none; spectrograms, which are of one size, as they are."""
    if clips[0].ndim > 1:
        return {name: torch.stack(clips).float()}
    lengths = torch.tensor([len(audio) for audio in clips])
    x = pad_sequence(clips, batch_first=True).float()
    return {name: x, "attention_mask": (torch.arange(x.shape[1]) < lengths.unsqueeze(1)).long()}
