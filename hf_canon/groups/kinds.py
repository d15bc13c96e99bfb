"""Kinds of input: what the numbers that a checkpoint reads mean. A group acts on some of them."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Pictures:
    """`(batch, channels, height, width)`.

    Args:
        scale: for each channel, and `shift`: a value is `scale * v + shift`, where v is 0 for black and 1 for white.
            None where that is not known, which matters to colours alone.
        shift: for each channel.
    """

    scale: tuple[float, ...] | None = None
    shift: tuple[float, ...] | None = None

    noun = "pictures"
    unit = "pictures"
    """What several of them are called, in reports."""
    item_ndim = 3
    """Dimensions of a single one."""
    usual_group = "c4"
    """What happens to such inputs most often."""


@dataclass(frozen=True)
class Waveforms:
    """`(batch, samples)`.

    Args:
        sampling_rate: samples a second.
    """

    sampling_rate: int = 16_000

    noun = "sound, as a waveform"
    unit = "sounds"
    item_ndim = 1
    usual_group = "speed12"
    time_axis = -1


@dataclass(frozen=True)
class Spectrograms:
    """`(batch, ..., frames, bins)` or `(batch, ..., bins, frames)`: logarithms of power, over time and frequency.

    Args:
        frequencies: Hz, of the middle of each bin, rising.
        frequency_axis: -1, or -2; the other one is time.
        frame_rate: frames a second.
        decibel: how much a value rises when the sound becomes louder by a decibel.
    """

    frequencies: tuple[float, ...]
    frequency_axis: int
    frame_rate: float
    decibel: float

    noun = "sound, as a spectrogram"
    unit = "sounds"
    item_ndim = 2
    usual_group = "speed12"

    @property
    def time_axis(self) -> int:
        return -3 - self.frequency_axis


Kind = Pictures | Waveforms | Spectrograms

KINDS: dict[str, type[Kind]] = {
    "pictures": Pictures,
    "waveforms": Waveforms,
    "spectrograms": Spectrograms,
}


def describe_kind(kind: Kind) -> dict[str, Any]:
    """As a configuration saves it.

    Example:
        >>> describe_kind(Waveforms(16_000))
        {'kind': 'waveforms', 'sampling_rate': 16000}
    """
    name = next(name for name, one in KINDS.items() if type(kind) is one)
    return {"kind": name, **asdict(kind)}


def kind_from(described: dict[str, Any] | None) -> Kind:
    """What `describe_kind` described; pictures of unknown values where nothing was."""
    if described is None:
        return Pictures()
    settings: Any = {key: tuple(v) if isinstance(v, list) else v for key, v in described.items() if key != "kind"}
    return KINDS[described["kind"]](**settings)
