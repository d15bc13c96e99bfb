"""The demo as a Space on the Hub: its folder, and the way there."""

from .pushing import push_space
from .writing import write_space

__all__ = ["push_space", "write_space"]
