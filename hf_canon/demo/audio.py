"""A visitor's audio: read within limits, moved by hand, and answered."""

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..data.audio import extracted, extractor_of
from ..groups import Waveforms, get_group
from ..groups.resampling import resample
from ..outputs import Canonicalization
from .answering import Answer, Inputs, ask
from .checkpoints import Opened

LONGEST = 30.0
"""Seconds."""
SHORTEST = 0.1
MOST_SAMPLES = 12_000_000
"""Of all channels: 30 seconds of stereo at 192 kHz."""
FORMATS = "wav, flac, ogg or mp3"

Waveform = np.ndarray[tuple[int], np.dtype[np.float32]]


def read_audio(path: str | Path, rate: int) -> Waveform:
    """An audio clip in one channel, `(samples,)`, -1 to 1.

    Args:
        path: of the file.
        rate: samples a second that are wanted.

    Raises:
        ValueError: it cannot be read, or is too long or too short.
    """
    import soundfile

    try:
        with soundfile.SoundFile(path) as file:
            seconds = file.frames / file.samplerate
            if seconds > LONGEST:
                raise ValueError(
                    f"This clip lasts {seconds:.0f} seconds, and this page takes {LONGEST:.0f}. Cut out what matters."
                )
            if seconds < SHORTEST:
                raise ValueError(f"This clip lasts {1000 * seconds:.0f} ms, which is too short to be heard as one.")
            if file.frames * file.channels > MOST_SAMPLES:
                raise ValueError(
                    f"This clip has {file.frames * file.channels / 1e6:.0f} million samples, and this page takes "
                    f"{MOST_SAMPLES / 1e6:.0f} million. Save it with fewer channels, or at a lower rate."
                )
            samples, own_rate = file.read(dtype="float32", always_2d=True), file.samplerate
    except (soundfile.LibsndfileError, TypeError) as error:  # the latter of files without a head
        raise ValueError(f"This clip cannot be read. Give a file in {FORMATS}.") from error
    mono = np.ascontiguousarray(samples.mean(1))
    if own_rate == rate:
        return mono
    size = round(len(mono) * rate / own_rate)
    return resample(torch.from_numpy(mono)[None], torch.tensor([own_rate / rate]), size)[0].numpy()


def transformed(
    audio: Waveform, rate: int, pitch: float = 0, speed: float = 0, backwards: bool = False, gain: float = 0
) -> Waveform:
    """An audio clip at another pitch, then at another speed, then backwards, then louder.

    Args:
        audio: `(samples,)`.
        rate: samples a second.
        pitch: semitones upwards, at the same tempo.
        speed: semitones by which it is played too fast.
        backwards: whether it is reversed.
        gain: decibels; what then leaves -1 to 1 is clipped, as a recorder does.
    """
    x = torch.from_numpy(audio)[None]
    for name, element in (("pitch24", pitch), ("speed24", speed), ("reverse", int(backwards)), ("gain", gain)):
        if element:
            group = get_group(name).on(Waveforms(rate))
            length, by = torch.tensor([x.shape[1]]), torch.tensor([element])
            x = group.act(x, by, length)
            x = x[:, : int(group.transformed_lengths(length, by, x))]
    return x[0].clamp(-1, 1).numpy()


def rate_of(opened: Opened) -> int:
    return int(extractor_of(opened.processor).sampling_rate)


def answer_audio(opened: Opened, audio: Waveform, rule: str | None) -> tuple[Answer, Waveform]:
    """Both answers to an audio clip, and its canonical version: what was found is undone in the audio itself, and the
    checkpoint receives that.

    A rule that averages asks about the spectrogram in several poses; the audio is then that of the likeliest.

    Args:
        opened: that is asked.
        audio: `(samples,)`, at the rate of the checkpoint.
        rule: that decides, in place of the model's own.

    Raises:
        ValueError: the audio is too short, or the model cannot decide by that rule.
    """
    model: Any = opened.model

    def undone(found: Canonicalization) -> Waveform:
        (canonical,) = model.undo(found.element, [audio], rate_of(opened))
        return canonical

    answer = ask(model, heard(opened, audio), rule, lambda found: heard(opened, undone(found)))
    return answer, undone(answer.found)


def heard(opened: Opened, *clips: Waveform) -> Inputs:
    """Clips as the checkpoint reads them, with a mask that says what is padding."""
    return extracted(clips, opened.processor)
