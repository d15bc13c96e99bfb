"""Log-frequency coordinates: a change of pitch or speed shifts the frequency axis, as in the constant-Q transform
(Brown, 1991, https://doi.org/10.1121/1.400476)."""

import math

import torch
from torch import Tensor

from ...groups import Group, Spectrograms, Waveforms
from ...groups.audio import Transposition
from ...groups.constants import constant
from ...groups.kinds import Kind
from .base import Coordinates

LOWEST = 55.0
"""Hz, where the axis begins."""
OCTAVES = 10
"""How many it has. The last one is silent, so that the ends of the axis may meet: a line becomes a circle."""
PER_OCTAVE = 24
ORIGIN = int(3.5 * PER_OCTAVE)
"""The place whose score is that of no move, in the middle of what is heard. Any other would do."""
QUANTILES = (0.1, 0.5, 0.9, 1.0)
FLOOR = 6.0
"""Powers of ten below the mean power of an audio clip at which it counts as silent."""

DEVIATION = 12.0
"""Decibels, about, of the values in a spectrogram of audio."""


class LogFrequency(Coordinates):
    """How loud an audio clip is at each pitch, in statistics over time: means, deviations and quantiles.

    Levels are relative to the audio's own, so that loudness does not matter, and silence is zero.

    Args:
        group: `pitch<n>` or `speed<n>`, whose elements are semitones upwards.

    Raises:
        ValueError: the group reaches further than the axis.
    """

    width = 48
    depth = 6
    scales = 6  # to hear a voice's pitch and its overtones together takes octaves
    places = PER_OCTAVE * OCTAVES
    features = 2 + len(QUANTILES)

    def __init__(self, group: Group):
        assert isinstance(group, Transposition)
        self.group = group
        self.reach = round(group.reach * PER_OCTAVE / 12)
        self.bins = 2 * self.reach + 1
        self.settings = {}
        if self.bins > self.places:
            raise ValueError(
                f"{group.name} reaches {group.reach:g} semitones, and {self.places * 6 // PER_OCTAVE} "
                "are as far as the 'shift' canonicalizer can tell. Use a smaller number."
            )

    def read(self, group: Group, x: Tensor, lengths: Tensor | None) -> Tensor:
        level, frames = log_frequency_levels(x, group.kind, lengths, PER_OCTAVE, OCTAVES)
        within = frames_within(level, frames)
        mean = (level * within).sum(1) / frames[:, None]
        deviation = ((level - mean[:, None]).abs() * within).sum(1) / frames[:, None]
        rising = level.masked_fill(~within, math.inf).sort(1).values
        statistics = [mean, deviation, *(quantile(rising, frames, share) for share in QUANTILES)]
        return torch.stack(statistics, 1)

    def fine(self, scores: Tensor) -> Tensor:
        """The scores of the places within the group's reach of the origin."""
        places = torch.arange(ORIGIN - self.reach, ORIGIN + self.reach + 1, device=scores.device) % self.places
        return scores.index_select(1, places)

    def target(self, element: Tensor, offset: Tensor | None) -> Tensor:
        """A bell around the true move, one bin wide."""
        bins = self.group.grid(self.bins).to(element.device)
        return (-((element[:, None] - bins) / (bins[1] - bins[0])).square() / 2).softmax(-1)


def log_frequency_levels(
    x: Tensor, kind: Kind, lengths: Tensor | None, per_octave: int, octaves: int
) -> tuple[Tensor, Tensor]:
    """How loud clips are over time and log-frequency.

    Returns:
        Levels, `(batch, frames, per_octave * octaves)`: 0 for silence and about 1 for the mean power of the audio; and
        how many frames are audio, `(batch,)`.
    """
    with torch.autocast(x.device.type, enabled=False):  # the powers of one clip span more than half precision holds
        if isinstance(kind, Waveforms):
            power, frames = waveform_power(x.float(), kind, lengths, per_octave, octaves)
        else:
            assert isinstance(kind, Spectrograms)
            power, frames = spectrogram_power(x.float(), kind, lengths, per_octave, octaves)
        power = torch.where(frames_within(power, frames), power, 0)
        mean = power.sum((1, 2)) / frames
        relative = power / mean.clamp(min=1e-30)[:, None, None]
        return torch.log10(1 + 10**FLOOR * relative) / FLOOR, frames


def waveform_power(
    x: Tensor, kind: Waveforms, lengths: Tensor | None, per_octave: int, octaves: int
) -> tuple[Tensor, Tensor]:
    window = 2 ** round(math.log2(kind.sampling_rate / 8))  # an eighth of a second tells semitones at 200 Hz apart
    hop = window // 2
    if lengths is None:
        lengths = torch.full((len(x),), x.shape[1])
    lengths = lengths.to(x.device)
    x = torch.where(torch.arange(x.shape[1], device=x.device) < lengths[:, None], x, 0)
    bell = hann(window, x.device)
    spectrum = torch.stft(x, window, hop, window=bell, pad_mode="constant", return_complex=True)
    power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)
    return power @ band_shares(kind.sampling_rate, window, per_octave, octaves, x.device), lengths // hop + 1


def spectrogram_power(
    x: Tensor, kind: Spectrograms, lengths: Tensor | None, per_octave: int, octaves: int
) -> tuple[Tensor, Tensor]:
    x = x if kind.frequency_axis == -1 else x.transpose(-1, -2)
    x = x.unflatten(0, (-1, 1)).flatten(1, -3).mean(1)  # of all channels, where there are any
    frames = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths.to(x.device)
    means = band_means(kind.frequencies, per_octave, octaves, x.device)
    # Where every clip is made equally loud, by a factor that nobody knows, values are standard deviations.
    decibel = x @ means / (kind.decibel or 1 / DEVIATION)
    loudest = decibel.masked_fill(~frames_within(decibel, frames), -math.inf).amax((1, 2), keepdim=True)
    return 10 ** ((decibel - loudest).clamp(max=0) / 10) * (means.amax(0) > 0), frames


def frames_within(values: Tensor, frames: Tensor) -> Tensor:
    """Which frames of `(batch, frames, ...)` are audio, `(batch, frames, 1)`."""
    return (torch.arange(values.shape[1], device=values.device) < frames[:, None]).unsqueeze(2)


def quantile(rising: Tensor, frames: Tensor, share: float) -> Tensor:
    """Of the first `frames` of values that rise along the frames, `(batch, places)`."""
    place = share * (frames - 1)
    below = place.floor().long()
    above = torch.minimum(below + 1, frames - 1)
    low, high = (rising[torch.arange(len(rising), device=rising.device), at] for at in (below, above))
    return low + (place - below)[:, None] * (high - low)


@constant
def hann(window: int, device: torch.device) -> Tensor:
    return torch.hann_window(window, device=device)


@constant
def band_shares(sampling_rate: int, window: int, per_octave: int, octaves: int, device: torch.device) -> Tensor:
    """How the power of a Fourier transform is shared out among places, `(window / 2 + 1, places)`."""
    frequencies = torch.arange(window // 2 + 1).double() * (sampling_rate / window)
    shares = triangles(frequencies, per_octave, octaves)
    return (shares / shares.sum(1, keepdim=True).clamp(min=1)).float().to(device)


@constant
def band_means(frequencies: tuple[float, ...], per_octave: int, octaves: int, device: torch.device) -> Tensor:
    """How the bins of a spectrogram are averaged at each place, `(bins, places)`."""
    weights = triangles(torch.tensor(frequencies, dtype=torch.double), per_octave, octaves)
    return (weights / weights.sum(0).clamp(min=1e-9)).float().to(device)


def triangles(frequencies: Tensor, per_octave: int, octaves: int) -> Tensor:
    """Overlapping triangles on the log-frequency axis around each place, as wide as two steps or, where frequencies
    lie further apart, as two of those; `(frequencies, places)`."""
    places = torch.arange(per_octave * octaves) / per_octave  # octaves above the lowest
    spectrum = torch.log2(frequencies.clamp(min=1.0) / LOWEST)
    gaps = spectrum.diff()
    nearest = torch.searchsorted(spectrum.contiguous(), places.double()).clamp(1, len(gaps)) - 1
    half = gaps[nearest].clamp(min=1 / per_octave)
    heard = (places < octaves - 1) & (places <= spectrum[-1]) & (places >= spectrum[0])
    return (1 - (spectrum[:, None] - places).abs() / half).clamp(min=0) * heard
