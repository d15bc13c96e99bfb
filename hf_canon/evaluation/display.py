"""From what a predictor reads back to what a person can look at."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..groups import Images, Spectrograms, Waveforms
from ..groups.kinds import Kind

COLUMNS = 240
"""How wide a waveform is drawn, in pixels, and `ROWS` how high."""
ROWS = 96


def displayed(
    reference: Tensor, processor: Callable[..., Any] | None, kind: Kind | None = None
) -> Callable[[Tensor], np.ndarray]:
    """From pixel values back to an image: by the processor's mean and deviation, or by what is known of the values,
    or else by the range of the reference.

    Args:
        reference: `(batch, channels, height, width)`, as the predictor reads it.
        processor: that made it.
        kind: what the numbers mean.

    Returns:
        From `(channels, height, width)` to `(height, width, 1 or 3)`, 0 to 1.
    """
    mean, deviation = (getattr(processor, name, None) for name in ("image_mean", "image_std"))
    if not getattr(processor, "do_normalize", True):
        mean, deviation = 0.0, 1.0
    if (mean is None or deviation is None) and isinstance(kind, Images) and kind.scale and kind.offset:
        # A value v of an image was read as scale * v + shift.
        deviation = [1 / scale for scale in kind.scale]
        mean = [-transform / scale for scale, transform in zip(kind.scale, kind.offset, strict=True)]
    if mean is None or deviation is None:
        mean = float(reference.min())
        deviation = max(float(reference.max()) - mean, 1e-6)

    def show(image: Tensor) -> np.ndarray:
        scale, offset = (torch.as_tensor(value).reshape(-1, 1, 1) for value in (deviation, mean))
        shown = (image.float().cpu() * scale + offset).clamp(0, 1)
        return (shown if len(shown) in (1, 3) else shown[:1]).permute(1, 2, 0).numpy()

    return show


def drawn_audio(audio: Tensor, kind: Waveforms | Spectrograms, loudest: float, faintest: float) -> np.ndarray:
    """What a predictor reads of audio, to look at: time runs to the right.

    Args:
        audio: `(samples,)`, or a spectrogram: low frequencies are drawn at the bottom, and loud places dark.
        kind: of audio.
        loudest: the value that is drawn darkest; of a waveform, the highest amplitude.
        faintest: the value that is drawn as white.

    Returns:
        `(height, width, 1)`, 0 to 1.
    """
    audio = audio.detach().float().cpu()
    if isinstance(kind, Waveforms):
        return drawn_waveform(audio.flatten(), max(loudest, 1e-6))
    plane = audio.reshape(-1, *audio.shape[-2:])[0]
    plane = plane if kind.frequency_axis == -2 else plane.T
    return (1 - (plane.flip(0) - faintest) / max(loudest - faintest, 1e-6)).clamp(0, 1).unsqueeze(-1).numpy()


def drawn_waveform(audio: Tensor, loudest: float) -> np.ndarray:
    """Between which values it moves, moment by moment."""
    parts = np.array_split(audio.numpy(), min(COLUMNS, len(audio)))
    low, high = (np.array([reduce(part) for part in parts])[None] / loudest for reduce in (np.min, np.max))
    height = np.linspace(1, -1, ROWS)[:, None]
    thick = 1.5 / ROWS
    return np.where((height >= low - thick) & (height <= high + thick), 0.15, 1.0)[..., None]
