"""One input, transformed in every way: how the answer to it holds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from .answering import Answer, best
from .audio import Waveform, answer_audio, rate_of
from .audio import transformed as transformed_audio
from .checkpoints import Opened
from .image import answer_image
from .image import transformed as transformed_image

Track = Callable[[Sequence[Any]], Iterable[Any]]
"""Shows how far a loop is."""


@dataclass(frozen=True)
class Way:
    """A way to move an input.

    Args:
        values: by how much.
        unit: of them.
        argument: of `image.transformed` or `audio.transformed`.
    """

    values: tuple[float, ...]
    unit: str
    argument: str


IMAGE_WAYS = {
    "rotation": Way(tuple(range(0, 360, 5)), "degrees", "turn"),
    "tint": Way(tuple(range(0, 360, 10)), "degrees", "tint"),
}
AUDIO_WAYS = {
    "speed": Way(tuple(range(-12, 13)), "semitones too fast", "speed"),
    "pitch": Way(tuple(range(-12, 13)), "semitones too high", "pitch"),
    "loudness": Way(tuple(range(-20, 21, 2)), "decibels louder", "gain"),
}


@dataclass(frozen=True)
class Sweep:
    """What became of an answer.

    Args:
        way: the input was transformed.
        label: what the checkpoint alone says of the input as it came.
        curves: the probability of that label after each move, by the checkpoint alone ("before") and behind the
            canonicalizer ("after").
        kept: how often it is the answer, of either.
    """

    way: Way
    label: str
    curves: dict[str, list[float]]
    kept: dict[str, float]


def sweep_image(opened: Opened, image: Image.Image, name: str, rule: str | None, track: Track) -> Sweep:
    """An image in every rotation, or every tint.

    Raises:
        ValueError: the checkpoint sees no colours, or the model cannot decide by that rule.
    """
    way = IMAGE_WAYS[name]
    if name == "tint" and image.mode != "RGB":
        raise ValueError(f"{opened.title} reads images without colours. Try rotations.")
    return sweep(way, lambda by: answer_image(opened, transformed_image(image, **by), rule)[0], track)


def sweep_audio(opened: Opened, audio: Waveform, name: str, rule: str | None, track: Track) -> Sweep:
    """An audio clip at every speed, pitch or loudness.

    Raises:
        ValueError: the audio is too short, or the model cannot decide by that rule.
    """
    rate = rate_of(opened)
    way = AUDIO_WAYS[name]
    return sweep(way, lambda by: answer_audio(opened, transformed_audio(audio, rate, **by), rule)[0], track)


def sweep(way: Way, answer: Callable[[dict[str, Any]], Answer], track: Track) -> Sweep:
    label = best(answer({}).before)
    curves: dict[str, list[float]] = {"before": [], "after": []}
    kept = dict.fromkeys(curves, 0)
    for value in track(way.values):
        said = answer({way.argument: value})
        for name, classes in (("before", said.before), ("after", said.after)):
            curves[name].append(classes[label])
            kept[name] += best(classes) == label
    return Sweep(way, label, curves, {name: count / len(way.values) for name, count in kept.items()})
