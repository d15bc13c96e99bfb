"""A difference, and how sure we are of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Interval:
    """A paired difference in percentage points, with its 95 % bootstrap interval over items."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:+.1f} points [{self.low:+.1f}, {self.high:+.1f}]"
