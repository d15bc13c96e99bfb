"""What can happen to an input: groups, their composition and their action on tensors."""

import re
from functools import lru_cache

from .base import Group
from .planar import SO2, FinitePlanar, Planar, wrap_angle

KNOWN = {
    "c<n>": "rotations by multiples of 360/n degrees (c4, c8, ...)",
    "d<n>": "those rotations and mirror images (d4, d8, ...)",
    "so2": "every rotation",
}

__all__ = ["KNOWN", "SO2", "FinitePlanar", "Group", "Planar", "get_group", "wrap_angle"]


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
    if name == "so2":
        return SO2()
    match = re.fullmatch(r"([cd])([1-9]\d{0,2})", name)
    if match is None:
        raise ValueError(f"There is no group {name!r}. Known groups: {known}.")
    return FinitePlanar(int(match[2]), reflections=match[1] == "d")
