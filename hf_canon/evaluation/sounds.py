"""From the sounds of a data set to what a predictor reads."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

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


def prepare_sounds(sounds: Sequence[Any], column: str, processor: Any) -> dict[str, Tensor]:
    """What a predictor is given for the sounds of one column."""
    from ..training.sounds import SoundCollator  # and the trainer with it

    return SoundCollator(processor)([{column: sound} for sound in sounds])


def changed(sound: Any, function: Callable[[Any], Any]) -> Any:
    """A sound to whose samples something has happened."""
    if isinstance(sound, Tensor):
        return torch.as_tensor(np.asarray(function(sound.numpy()))).float()
    if isinstance(sound, np.ndarray | Sequence):
        return function(np.asarray(sound, dtype=np.float32))
    return {"array": function(np.asarray(sound["array"], np.float32)), "sampling_rate": sound["sampling_rate"]}
