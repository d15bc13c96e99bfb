"""How far incoming data are from reference data."""

from .comparison import distribution_shift

__all__ = ["distribution_shift"]
