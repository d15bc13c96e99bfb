"""A word as it is heard: how many samples a second, how much of it, and at another speed."""

import numpy as np
from scipy import signal

SAMPLING_RATE = 16_000
LONGEST_CLIP = 2.0


def at_speed(sound: np.ndarray, semitones: float) -> np.ndarray:
    """The sound played faster, and so higher, by `semitones`; the first two seconds of it."""
    length = round(len(sound) / 2 ** (semitones / 12))
    return signal.resample(sound, length).astype(np.float32)[: round(LONGEST_CLIP * SAMPLING_RATE)]
