"""Networks that say which group element happened to an input: one idea a file."""

from typing import Any

from ..groups import Group
from .base import Canonicalizer, fitting
from .equivariant import EquivariantCanonicalizer
from .moment import MomentCanonicalizer
from .orbit import OrbitCanonicalizer
from .predictor import PredictorCanonicalizer
from .shift import ShiftCanonicalizer
from .thumbnails import cell_means, inscribed_disc, thumbnail

CANONICALIZERS: dict[str, type[Canonicalizer]] = {
    "orbit": OrbitCanonicalizer,
    "equivariant": EquivariantCanonicalizer,
    "shift": ShiftCanonicalizer,
    "moment": MomentCanonicalizer,
    "predictor": PredictorCanonicalizer,
}

__all__ = [
    "CANONICALIZERS",
    "Canonicalizer",
    "EquivariantCanonicalizer",
    "MomentCanonicalizer",
    "OrbitCanonicalizer",
    "PredictorCanonicalizer",
    "ShiftCanonicalizer",
    "build_canonicalizer",
    "cell_means",
    "fitting",
    "inscribed_disc",
    "thumbnail",
]


def build_canonicalizer(name: str, group: Group, **settings: Any) -> Canonicalizer:
    """The canonicalizer of that name for that group.

    Raises:
        ValueError: the name is unknown, a setting is, or the two do not go together.
    """
    if name not in CANONICALIZERS:
        raise ValueError(f"There is no canonicalizer {name!r}. Known ones: {', '.join(CANONICALIZERS)}.")
    try:
        return CANONICALIZERS[name](group, **settings)
    except TypeError as error:
        raise ValueError(f"The canonicalizer {name!r} cannot be built from {settings}: {error}.") from error
