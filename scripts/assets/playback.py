"""A word as it is heard: how many samples a second, how much of it, and at another speed."""

import numpy as np
from scipy import signal

SAMPLING_RATE = 16_000
LONGEST_CLIP = 2.0


def at_speed(audio: np.ndarray, semitones: float) -> np.ndarray:
    """The audio played faster, and so higher, by `semitones`; the first two seconds of it."""
    length = round(len(audio) / 2 ** (semitones / 12))
    return signal.resample(audio, length).astype(np.float32)[: round(LONGEST_CLIP * SAMPLING_RATE)]
