"""Kinds of input: what the numbers that a checkpoint reads mean. A group acts on some of them."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Images:
    """`(batch, channels, height, width)`.

    Args:
        scale: for each channel, and `offset`: a value is `scale * v + offset`, where v is 0 for black and 1 for white.
            None where that is not known, which matters to colours alone.
        offset: for each channel.
    """

    scale: tuple[float, ...] | None = None
    offset: tuple[float, ...] | None = None

    noun = "images"
    unit = "images"
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

    noun = "audio, as a waveform"
    unit = "clips"
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
        decibel: how much a value rises when the audio becomes louder by a decibel.
    """

    frequencies: tuple[float, ...]
    frequency_axis: int
    frame_rate: float
    decibel: float

    noun = "audio, as a spectrogram"
    unit = "clips"
    item_ndim = 2
    usual_group = "speed12"

    @property
    def time_axis(self) -> int:
        return -3 - self.frequency_axis


Kind = Images | Waveforms | Spectrograms

KINDS: dict[str, type[Kind]] = {
    "images": Images,
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


RENAMED = {"pictures": "images", "shift": "offset"}
"""What versions up to 0.1 called kinds and their settings."""


def kind_from(described: dict[str, Any] | None) -> Kind:
    """What `describe_kind` described; images of unknown values where nothing was.

    Example:
        >>> kind_from({"kind": "pictures", "scale": [2.0], "shift": [-1.0]})
        Images(scale=(2.0,), offset=(-1.0,))
    """
    if described is None:
        return Images()
    settings: Any = {
        RENAMED.get(key, key): tuple(value) if isinstance(value, list) else value
        for key, value in described.items()
        if key != "kind"
    }
    return KINDS[RENAMED.get(described["kind"], described["kind"])](**settings)
