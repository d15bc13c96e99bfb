"""librosa and torchaudio, whose pitch shifters the figures about audio compare with and test with.

`bash scripts/benchmarks/audio_rivals.sh` fetches them into build/audio-rivals. They run in a process of their own,
because transformers behaves differently where it finds them.
"""

import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from assets.playback import SAMPLING_RATE

RIVALS = Path(__file__).resolve().parents[2] / "build" / "audio-rivals"
# From clips (clips, samples) and semitones to the transformed clips, and how many seconds that took.
Shifter = Callable[[np.ndarray, float], tuple[np.ndarray, float]]


def begin(folder: str) -> None:
    sys.path.append(folder)
    torch.set_num_threads(1)


def own_process() -> ProcessPoolExecutor:
    """The process that finds them."""
    return ProcessPoolExecutor(1, get_context("spawn"), begin, (str(RIVALS),))


def librosa_shift(x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    import librosa

    started = time.process_time()
    transformed = librosa.effects.pitch_shift(x, sr=SAMPLING_RATE, n_steps=semitones)
    return transformed, time.process_time() - started


def torchaudio_shift(x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    import torchaudio

    started = time.process_time()
    transformed = torchaudio.functional.pitch_shift(torch.from_numpy(x), SAMPLING_RATE, semitones)
    return transformed.numpy(), time.process_time() - started


def apart(pool: ProcessPoolExecutor, shift: Shifter, x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    return pool.submit(shift, x, semitones).result()
