"""Clips that sound like something, made on the spot: overtones under a fixed envelope, a beginning and an end."""

import torch
from torch import Tensor


def tones(
    batch: int, samples: int, semitones: Tensor | None = None, sampling_rate: int = 16_000, seed: int = 0
) -> Tensor:
    """Voices of 220 Hz, or as many semitones higher, that differ in their overtones; `(batch, samples)`."""
    generator = torch.Generator().manual_seed(seed)
    time = torch.arange(samples) / sampling_rate
    higher = torch.zeros(batch) if semitones is None else semitones
    pitch = 220 * 2 ** (higher / 12) * 2 ** (torch.randn(batch, generator=generator) * 0.01)
    overtone = torch.arange(1, 11)
    loud = torch.rand(batch, 10, generator=generator) / overtone
    phase = 6.3 * torch.rand(batch, 10, 1, generator=generator)
    frequency = pitch[:, None, None] * overtone[:, None]
    waves = (2 * torch.pi * frequency * time + phase).sin() * loud[..., None] * (frequency < 0.45 * sampling_rate)
    fades = (-3 * time / time[-1] * (0.5 + torch.rand(batch, 1, generator=generator))).exp()
    noise = torch.randn(batch, samples, generator=generator)
    return waves.sum(1) * fades * 0.3 + 1e-3 * noise
