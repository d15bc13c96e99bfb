"""Coordinates in which a group acts by translation: one file for each."""

from typing import Any

from ...groups import Group, Planar
from ...groups.audio import Transposition
from ...groups.color import Hue
from .base import Coordinates
from .hue import HueHistogram
from .log_frequency import LogFrequency
from .polar import LogPolar

__all__ = ["Coordinates", "HueHistogram", "LogFrequency", "LogPolar", "coordinates_for"]


def coordinates_for(group: Group, **settings: Any) -> Coordinates:
    """Those in which the group acts by translation.

    Raises:
        ValueError: there are none.
    """
    if isinstance(group, Planar):
        return LogPolar(group, **settings)
    if isinstance(group, Hue):
        return HueHistogram(group, **settings)
    if isinstance(group, Transposition):
        return LogFrequency(group, **settings)
    raise ValueError(
        f"The 'shift' canonicalizer knows coordinates in which rotations, turns of the hue, pitch and speed are "
        f"shifts, and none for {group.name}. Use canonicalizer={'orbit' if group.finite else 'moment'!r}."
    )
