"""From examples of a data set to a training batch."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from .audio import audio_inputs
from .columns import audio_column, image_column
from .images import image_inputs
from .labels import class_labels

Examples = Sequence[Mapping[str, Any]]


class _Collator:
    def __init__(self, processor: Any = None, model_config: Any = None, features: Any = None):
        self.processor = processor
        self.features = features
        self.model_config = model_config

    def __call__(self, examples: Examples) -> dict[str, Tensor]:
        return {**self.inputs(examples), **class_labels(examples, self.features, self.model_config)}

    def inputs(self, examples: Examples) -> dict[str, Tensor]:
        raise NotImplementedError


class ImageCollator(_Collator):
    """Makes a batch `{"pixel_values": (batch, channels, height, width), "labels": (batch,)}` from examples.

    Examples hold a PIL image or `pixel_values`, and perhaps a `label`.

    Args:
        processor: the checkpoint's image processor; not needed for examples that hold `pixel_values`.
        model_config: the predictor's, which says how many channels it takes, and which classes there are.
        features: of the data set; where it names its classes and the model knows the names, labels are the model's.

    Raises:
        ValueError: an example has no image, or images come without a processor.
    """

    def inputs(self, examples: Examples) -> dict[str, Tensor]:
        column = image_column(examples[0])
        images = [example[column] for example in examples]
        return {"pixel_values": image_inputs(images, column, self.processor, self.model_config)}


class AudioCollator(_Collator):
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
        >>> import torch
        >>> batch = AudioCollator()([{"input_values": torch.ones(3)}, {"input_values": torch.ones(2)}])
        >>> batch["attention_mask"]
        tensor([[1, 1, 1],
                [1, 1, 0]])
    """

    def inputs(self, examples: Examples) -> dict[str, Tensor]:
        column = audio_column(examples[0])
        return audio_inputs([example[column] for example in examples], column, self.processor)
