"""What is said of a value that was measured with several seeds."""

import math
import statistics

from scipy import stats


def deviation(values: list[float]) -> float:
    """Of a single value, none."""
    return statistics.stdev(values) if len(values) > 1 else 0.0


def spread(values: list[float], digits: int = 1) -> str:
    """The mean and the deviation.

    Example:
        >>> spread([1.0, 2.0, 3.0])
        '2.0 ± 1.0'
    """
    return f"{statistics.mean(values):.{digits}f} ± {deviation(values):.{digits}f}"


def standard_error(values: list[float]) -> float:
    """Of the mean: without end, of a single value."""
    return statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.inf


def mean_and_reach(values: list[float]) -> tuple[float, float]:
    """The mean, and how far its 95 % interval (Student's t) reaches to either side.

    Example:
        >>> mean, reach = mean_and_reach([1.0, 2.0, 3.0])
        >>> f"{mean} ± {reach:.2f}"
        '2.0 ± 2.48'
    """
    reach = float(stats.t.ppf(0.975, max(len(values) - 1, 1))) * standard_error(values)
    return statistics.mean(values), reach
