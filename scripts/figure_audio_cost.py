"""What moving audio costs, and how near it comes to a tone that was transposed on paper: 16 clips of 2 s at 16 kHz.

    bash scripts/audio_rivals.sh
    python scripts/figure_audio_cost.py --json build/figures/audio_cost.json

The two shifters of others are kept apart, in build/audio-rivals, and run in a process of their own, because
transformers behaves differently where it finds them. Without that folder the script prints our rows only.

Every contender is timed in each round, one after the other, on one thread, in cpu time; printed are the median over
the rounds and the quartiles of the ratio to librosa (to our own pitch shifter without it) in the same round. Every
clip is shifted by the same five semitones, which librosa and torchaudio need to take a batch; ours takes as long for
different ones. Errors are those of tones with up to eight partials, at a random pitch and shifted by -12 to 12
semitones: of the fundamental, in hundredths of a semitone; and of the magnitudes of a spectrogram and of a log-mel
spectrogram (in decibels above a floor 60 dB below the loudest), relative to those of the transposed tone; medians,
and the worst.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

RATE, CLIPS, SECONDS = 16_000, 16, 2
SAMPLES = RATE * SECONDS
SHIFT = 5
MELS, WINDOW, HOP, FLOOR = 64, 1024, 256, 60.0
RIVALS = Path(__file__).resolve().parent.parent / "build" / "audio-rivals"
# From clips (clips, samples) and semitones to the transformed clips, and how many seconds that took.
Shifter = Callable[[np.ndarray, float], tuple[np.ndarray, float]]


# ------------------------------------------------------------------------------------- others, in their own process


def begin(folder: str) -> None:
    sys.path.append(folder)
    torch.set_num_threads(1)


def librosa_shift(x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    import librosa

    started = time.process_time()
    transformed = librosa.effects.pitch_shift(x, sr=RATE, n_steps=semitones)
    return transformed, time.process_time() - started


def torchaudio_shift(x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    import torchaudio

    started = time.process_time()
    transformed = torchaudio.functional.pitch_shift(torch.from_numpy(x), RATE, semitones)
    return transformed.numpy(), time.process_time() - started


def apart(pool: ProcessPoolExecutor, shift: Shifter, x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    return pool.submit(shift, x, semitones).result()


# ---------------------------------------------------------------------------------------------------------------- ours


def our_shift(name: str, x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    from hf_canon import get_group  # not in the process of the others

    group, element = get_group(name), torch.full((len(x),), semitones)
    audio = torch.from_numpy(x)
    started = time.process_time()
    transformed = group.act(audio, element)
    return transformed.numpy(), time.process_time() - started


def our_warp(name: str, x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    """On log-mel spectrograms, which are made before the clock starts: a checkpoint's processor makes them anyway."""
    from hf_canon import get_group
    from hf_canon.groups import Spectrograms

    group = get_group(name).on(Spectrograms(mel_frequencies(), -1, RATE / HOP, 1.0))
    audio, element = log_mel(torch.from_numpy(x)), torch.full((len(x),), semitones)
    started = time.process_time()
    transformed = group.act(audio, element)
    return transformed.numpy(), time.process_time() - started


def our_canonicalization(x: np.ndarray, semitones: float) -> tuple[np.ndarray, float]:
    """Estimate and undo, with a canonicalizer as it is built: what it finds does not change what it costs."""
    from hf_canon import get_group
    from hf_canon.canonicalizers import build_canonicalizer

    torch.manual_seed(0)
    group = get_group("pitch12")
    canonicalizer = build_canonicalizer("shift", group).eval()
    audio = torch.from_numpy(x)
    with torch.inference_mode():
        canonicalizer(audio)  # tables are made once
        started = time.process_time()
        canonicalizer.element(canonicalizer(audio))
        transformed = group.act(audio, torch.full((len(x),), semitones))
    return transformed.numpy(), time.process_time() - started


# -------------------------------------------------------------------------------------------------------------- errors


def tones(frequencies: Tensor, semitones: float, limit: Tensor) -> Tensor:
    """Tones with the partials that `limit` counts, after a shift. `(tones, samples)`."""
    moment = torch.arange(SAMPLES, dtype=torch.double) / RATE
    k = torch.arange(1, 9).view(1, -1, 1)
    partials = (2 * math.pi * k * (frequencies * 2 ** (semitones / 12)).view(-1, 1, 1) * moment + k).sin() / k
    return (partials * (k <= limit.view(-1, 1, 1))).sum(1).float() * 0.3


def magnitudes(x: Tensor) -> Tensor:
    """`(clips, frames, bins)`."""
    window = torch.hann_window(WINDOW)
    return torch.stft(x, WINDOW, HOP, window=window, pad_mode="constant", return_complex=True).abs().mT


def mel_frequencies() -> tuple[float, ...]:
    from transformers.audio_utils import hertz_to_mel, mel_to_hertz

    edges = np.linspace(hertz_to_mel(60.0), hertz_to_mel(7800.0), MELS + 2)
    return tuple(mel_to_hertz(edges[1:-1]).tolist())


def log_mel(x: Tensor) -> Tensor:
    """Decibels above a floor 60 dB below the loudest. `(clips, frames, MELS)`."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(WINDOW // 2 + 1, MELS, 60.0, 7800.0, RATE, norm="slaney", mel_scale="htk")
    decibels = 10 * (magnitudes(x).square() @ torch.from_numpy(filters).float()).clamp(min=1e-12).log10()
    return (decibels - decibels.amax((1, 2), keepdim=True) + FLOOR).clamp(min=0)


def fundamental(x: Tensor, near: Tensor) -> Tensor:
    """In Hz, for each clip: the peak of a long Fourier transform within a semitone of `near`."""
    size = 1 << 19
    power = torch.fft.rfft(x * torch.hann_window(x.shape[1]), size).abs()
    frequency = torch.arange(power.shape[1]) * RATE / size
    return frequency[power.where(((frequency / near.unsqueeze(1)).log2().abs() < 1 / 12), 0).argmax(1)]


def errors(shift: Shifter, speed: bool, warp: bool, steps: list[float]) -> dict[str, list[float]]:
    generator = torch.Generator().manual_seed(0)
    found: dict[str, list[float]] = {"cents": [], "magnitudes": [], "log-mel": []}
    for semitones in steps:
        frequencies = 150 + 450 * torch.rand(4, generator=generator, dtype=torch.double)
        # Partials that would leave the band on the way would have to be compared with nothing.
        limit = (0.45 * RATE / (frequencies * 2 ** (max(semitones, 0) / 12))).floor()
        x, expected = tones(frequencies, 0.0, limit), tones(frequencies, semitones, limit)
        transformed = torch.from_numpy(shift(x.numpy(), semitones)[0])
        if warp:
            pairs = {"log-mel": (transformed, log_mel(expected))}
        else:
            size = min(transformed.shape[1], SAMPLES)
            transformed, expected = transformed[:, :size], expected[:, :size]
            wanted = frequencies * 2 ** (semitones / 12)
            cents = 1200 * (fundamental(transformed[:, 2000:-2000], wanted) / wanted).log2().abs()
            found["cents"] += cents.tolist()
            pairs = {
                "magnitudes": (magnitudes(transformed), magnitudes(expected)),
                "log-mel": (log_mel(transformed), log_mel(expected)),
            }
        for name, (one, other) in pairs.items():
            # Not the ends, whose windows are half empty; nor what a faster audio no longer fills.
            frames = int(one.shape[1] / (2 ** (max(semitones, 0) / 12) if speed and warp else 1))
            one, other = one[:, 8 : frames - 8], other[:, 8 : frames - 8]
            found[name] += ((one - other).flatten(1).norm(dim=1) / other.flatten(1).norm(dim=1)).tolist()
    return found


# --------------------------------------------------------------------------------------------------------------- table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    ours: dict[str, Shifter] = {
        "pitch12, waveforms": partial(our_shift, "pitch12"),
        "pitch12, log-mel": partial(our_warp, "pitch12"),
        "speed12, waveforms": partial(our_shift, "speed12"),
        "speed12, log-mel": partial(our_warp, "speed12"),
        "pitch12, estimated and applied": our_canonicalization,
    }
    with ProcessPoolExecutor(1, get_context("spawn"), begin, (str(RIVALS),)) as pool:
        others: dict[str, Shifter] = {
            "librosa.effects.pitch_shift": partial(apart, pool, librosa_shift),
            "torchaudio.functional.pitch_shift": partial(apart, pool, torchaudio_shift),
        }
        contenders = {**(others if RIVALS.is_dir() else {}), **ours}
        reference = next(iter(contenders))
        generator = torch.Generator().manual_seed(1)
        x = (0.1 * torch.randn(CLIPS, SAMPLES, generator=generator)).numpy()
        for shift in contenders.values():  # tables, and what librosa compiles, are made once
            shift(x[:1], SHIFT)
        seconds = [{name: shift(x, SHIFT)[1] for name, shift in contenders.items()} for _ in range(arguments.rounds)]
        rows = []
        for name, shift in contenders.items():
            # torchaudio takes whole semitones only.
            steps = [-12, -9, -5, -2, 1, 4, 7, 12]
            found = errors(shift, "speed" in name, "log-mel" in name, steps) if "estimated" not in name else {}
            ratios = [one[name] / one[reference] for one in seconds]
            rows.append({"contender": name, "seconds": [one[name] for one in seconds], "ratios": ratios, **found})

    print(f"\n{CLIPS} clips of {SECONDS} s at {RATE} Hz, one thread, cpu time, {arguments.rounds} rounds\n")
    print(f"| | ms | ratio to {reference} (quartiles) | cents, median (worst) | magnitudes, % | log-mel, % |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        low, middle, high = statistics.quantiles(row["ratios"], method="inclusive")
        cells = [f"{1000 * statistics.median(row['seconds']):.1f}", f"{middle:.3g} ({low:.3g} to {high:.3g})"]
        for name, factor in (("cents", 1), ("magnitudes", 100), ("log-mel", 100)):
            values = [factor * value for value in row.get(name, [])]
            cells.append(f"{statistics.median(values):.2f} ({max(values):.2f})" if values else "")
        print(f"| {row['contender']} | " + " | ".join(cells) + " |")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
