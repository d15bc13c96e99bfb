"""What can happen to an input: groups, their composition and their action on tensors."""

import re
from collections.abc import Callable
from functools import lru_cache

import torch

from .audio import Gain, Pitch, Polarity, Reverse, Speed, Temporal, TimeShift
from .base import Group, OneParameter
from .color import Channels, Color, FiniteHue, Gamma, Hue, HueCircle, Negative, WhiteBalance
from .kinds import Images, Kind, Spectrograms, Waveforms
from .planar import SO2, FinitePlanar, Planar
from .product import Product

KNOWN = {
    "c<n>": "rotations by multiples of 360/n degrees (c4, c8, ...)",
    "d<n>": "those rotations and mirror images (d4, d8, ...)",
    "so2": "every rotation",
    "channels": "orders of red, green and blue",
    "negative": "photographic negatives",
    "hue<n>": "turns of the hue by multiples of 360/n degrees (hue3, hue12, ...)",
    "hue": "every turn of the hue",
    "white_balance": "warmer and colder light",
    "gamma": "darker and brighter middle tones",
    "reverse": "audio played backwards",
    "polarity": "the sign of a waveform",
    "time_shift<n>": "audio shifted around by multiples of 1/n of its length (time_shift4, ...)",
    "gain": "louder and fainter audio",
    "speed<n>": "playback up to n semitones slower or faster (speed12, ...)",
    "pitch<n>": "pitch up to n semitones lower or higher (pitch12, ...)",
    "<group>*<group>": "finite groups at once (d4*channels, c4*hue12, ...)",
}

BUILDERS: dict[str, Callable[[int], Group]] = {
    "c<n>": lambda n: FinitePlanar(n, reflections=False),
    "d<n>": lambda n: FinitePlanar(n, reflections=True),
    "so2": lambda n: SO2(),
    "channels": lambda n: Channels(),
    "negative": lambda n: Negative(),
    "hue<n>": lambda n: FiniteHue(n),
    "hue": lambda n: HueCircle(),
    "white_balance": lambda n: WhiteBalance(),
    "gamma": lambda n: Gamma(),
    "reverse": lambda n: Reverse(),
    "polarity": lambda n: Polarity(),
    "time_shift<n>": lambda n: TimeShift(n),
    "gain": lambda n: Gain(),
    "speed<n>": lambda n: Speed(n),
    "pitch<n>": lambda n: Pitch(n),
}
"""For each pattern of `KNOWN` but products: from its number (0 where it has none) to the group."""

__all__ = [
    "KNOWN",
    "SO2",
    "Channels",
    "Color",
    "FiniteHue",
    "FinitePlanar",
    "Gain",
    "Gamma",
    "Group",
    "Hue",
    "HueCircle",
    "Images",
    "Kind",
    "Negative",
    "OneParameter",
    "Pitch",
    "Planar",
    "Polarity",
    "Product",
    "Reverse",
    "Spectrograms",
    "Speed",
    "Temporal",
    "TimeShift",
    "Waveforms",
    "WhiteBalance",
    "get_group",
]


@lru_cache
def get_group(name: str) -> Group:
    """The group of that name.

    Names joined by `*` are the product of finite groups; its elements are counted in the order of the names.

    Raises:
        ValueError: no group has that name, and the sentence lists those that exist; or a product is no group.

    Example:
        >>> get_group("d4").order
        8
        >>> get_group("d5").describe(6)
        'mirrored, 72°'
    """
    known = "; ".join(f"{pattern}: {meaning}" for pattern, meaning in KNOWN.items())
    if not isinstance(name, str):
        raise ValueError(f"A group is named by a string such as 'c8', and this is {name!r}. Known groups: {known}.")
    factors = []
    for part in name.split("*"):
        factor = single_group(part)
        if factor is None:
            place = "" if part == name else f" in {name!r}"
            raise ValueError(f"There is no group {part!r}{place}. Known groups: {known}.")
        factors.append(factor)
    if len(factors) == 1:
        return factors[0]
    with torch.device("cpu"):  # and not where a model is being built, which may be no device at all
        return Product(factors)


def single_group(name: str) -> Group | None:
    for pattern, build in BUILDERS.items():
        match = re.fullmatch(pattern.replace("<n>", r"([1-9]\d{0,2})"), name)
        if match is not None:
            return build(int(match[1]) if match.groups() else 0)
    return None
