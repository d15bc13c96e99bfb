"""What can happen to an input: groups, their composition and their action on tensors."""

import re
from collections.abc import Callable
from functools import lru_cache

from .base import Group, OneParameter
from .kinds import Kind, Pictures, Spectrograms, Waveforms
from .planar import SO2, FinitePlanar, Planar

KNOWN = {
    "c<n>": "rotations by multiples of 360/n degrees (c4, c8, ...)",
    "d<n>": "those rotations and mirror images (d4, d8, ...)",
    "so2": "every rotation",
}

BUILDERS: dict[str, Callable[[int], Group]] = {
    "c<n>": lambda n: FinitePlanar(n, reflections=False),
    "d<n>": lambda n: FinitePlanar(n, reflections=True),
    "so2": lambda n: SO2(),
}
"""For each pattern of `KNOWN`: from its number (0 where it has none) to the group."""

__all__ = [
    "KNOWN",
    "SO2",
    "FinitePlanar",
    "Group",
    "Kind",
    "OneParameter",
    "Pictures",
    "Planar",
    "Spectrograms",
    "Waveforms",
    "get_group",
]


@lru_cache
def get_group(name: str) -> Group:
    """The group of that name.

    Raises:
        ValueError: no group has that name; the sentence lists those that exist.

    Example:
        >>> get_group("d4").order
        8
        >>> get_group("d5").describe(6)
        'mirrored, 72°'
    """
    known = "; ".join(f"{pattern}: {meaning}" for pattern, meaning in KNOWN.items())
    if not isinstance(name, str):
        raise ValueError(f"A group is named by a string such as 'c8', and this is {name!r}. Known groups: {known}.")
    for pattern, build in BUILDERS.items():
        match = re.fullmatch(pattern.replace("<n>", r"([1-9]\d{0,2})"), name)
        if match is not None:
            return build(int(match[1]) if match.groups() else 0)
    raise ValueError(f"There is no group {name!r}. Known groups: {known}.")
