"""What is left of an input at the size at which its pose is decided: a small image, of clips as well."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..groups import Group, Images, Kind, Waveforms
from ..groups.constants import constant
from .coordinates.log_frequency import frames_within, log_frequency_levels

OCTAVES = 8
"""That the log-frequency axis of an audio clip's thumbnail has, from 55 Hz."""


def thumbnail_channels(kind: Kind, channels: int) -> int:
    """Of a thumbnail: those of the image; one of a spectrogram; and of a waveform, one more."""
    return channels if isinstance(kind, Images) else 1 + isinstance(kind, Waveforms)


def thumbnail(x: Tensor, resolution: int) -> Tensor:
    """The image at the size at which the pose is decided, with the corners masked.

    Averages over `resolution` x `resolution` cells, and sets what lies outside the inscribed disc to zero: after a
    rotation the corners hold made-up pixels, which would give away that there was one.
    """
    return cell_means(x, resolution) * inscribed_disc(resolution, x.device)


def cell_means(x: Tensor, resolution: int) -> Tensor:
    """Averages over `resolution` x `resolution` cells of the image, in single precision.

    Averages are taken in double precision. A turned image adds up the same pixels in another order, and in single
    precision the last bits of its thumbnail would differ; rounded back from double, they do not.
    """
    wide = x.float() if x.device.type == "mps" else x.double()  # MPS has no double
    return F.adaptive_avg_pool2d(wide, resolution).float()


def image_looks(x: Tensor, group: Group, resolution: int) -> Tensor:
    """Thumbnails of images in every exact pose, `(batch, looks, channels, resolution, resolution)`; corners and all.

    A colour group acts on the means of cells as it does on pixels.
    """
    return group.orbit(cell_means(x, resolution), group.inverse(group.exact_elements))


def audio_looks(x: Tensor, group: Group, lengths: Tensor | None, resolution: int) -> Tensor:
    """Thumbnails of clips in every exact pose, `(batch, looks, channels, resolution, resolution)`.

    The poses are taken of the audio itself: a spectrogram of a reversed audio is not exactly that of the audio
    reversed, whose frames may lie elsewhere.
    """
    poses = group.orbit(x, group.inverse(group.exact_elements), lengths)
    looks = poses.shape[1]
    again = None if lengths is None else lengths.to(x.device).repeat_interleave(looks)
    return audio_thumbnail(poses.flatten(0, 1), group.kind, again, resolution).unflatten(0, (-1, looks))


def audio_thumbnail(x: Tensor, kind: Kind, lengths: Tensor | None, resolution: int) -> Tensor:
    """Frequency upwards and time, which is cut into equal parts of the audio's own length.

    A power spectrum does not see the sign of a waveform, so a waveform has a second channel, of how often each
    amplitude occurs.
    """
    levels, frames = log_frequency_levels(x, kind, lengths, resolution // OCTAVES, OCTAVES)
    spectrum = (part_shares(frames, levels.shape[1], resolution) @ (levels * frames_within(levels, frames))).mT
    if not isinstance(kind, Waveforms):
        return spectrum.unsqueeze(1)
    return torch.stack([spectrum, amplitudes(x, lengths, resolution)], 1)


def part_shares(frames: Tensor, longest: int, parts: int) -> Tensor:
    """How much of each equal part of an audio clip each of its frames covers, `(batch, parts, longest)`."""
    begin = torch.arange(longest, device=frames.device)
    edges = torch.arange(parts + 1, device=frames.device) * (frames[:, None] / parts)
    covered = torch.minimum(edges[:, 1:, None], begin + 1) - torch.maximum(edges[:, :-1, None], begin)
    return covered.clamp(min=0) / (frames[:, None, None] / parts)


def amplitudes(x: Tensor, lengths: Tensor | None, resolution: int) -> Tensor:
    """How often each amplitude occurs in each part of a waveform, `(batch, resolution, resolution)`, up to four times
    the root of its mean power; each sample counts for the two amplitudes around its own."""
    samples = torch.arange(x.shape[1], device=x.device)
    length = torch.full((len(x),), x.shape[1], device=x.device) if lengths is None else lengths.to(x.device)
    x = torch.where(samples < length[:, None], x.float(), 0)
    root = (x.square().sum(1) / length).clamp(min=1e-30).sqrt()
    place = ((x / root[:, None]).clamp(-4, 4) + 4) * ((resolution - 1) / 8)
    below = place.detach().floor().nan_to_num().clamp(max=resolution - 2)
    part = (samples * resolution // length[:, None]).clamp(max=resolution)  # the last one is padding
    inputs = torch.arange(len(x), device=x.device)[:, None]
    at = ((inputs * (resolution + 1) + part) * resolution + below.long()).flatten()
    counts = torch.zeros(len(x) * (resolution + 1) * resolution, device=x.device)
    counts = counts.index_add(0, at, (1 - (place - below)).flatten()).index_add(0, at + 1, (place - below).flatten())
    counts = counts.view(len(x), resolution + 1, resolution)[:, :-1]
    shares = counts / counts.sum(2, keepdim=True).clamp(min=1)
    return shares.clamp(min=1e-12).sqrt().mT  # whose gradient would be infinite at 0


@constant
def per_channel(values: tuple[float, ...], device: torch.device) -> Tensor:
    """`(channels, 1, 1)`."""
    return torch.tensor(values, device=device).view(-1, 1, 1)


@constant
def inscribed_disc(resolution: int, device: torch.device) -> Tensor:
    """1 inside the disc that touches the borders, 0 outside: `(resolution, resolution)`."""
    offset = torch.arange(resolution, device=device) - (resolution - 1) / 2
    return (offset.square()[:, None] + offset.square() <= (resolution / 2) ** 2).float()
