"""From held-back data to thresholds that keep a promise, and whether what comes in still looks like those data."""

from .calibrate import Measured, calibrate, measure, thresholds
from .monitor import Monitor, Window

__all__ = ["Measured", "Monitor", "Window", "calibrate", "measure", "thresholds"]
