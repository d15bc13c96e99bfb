"""From held-back data to thresholds that keep a promise, and whether what comes in still looks like those data."""

from .calibrate import calibrate
from .monitor import Monitor, Window

__all__ = ["Monitor", "Window", "calibrate"]
