"""Student's interval of a mean over seeds."""

import math
import statistics

from scipy import stats


def mean_and_reach(values: list[float]) -> tuple[float, float]:
    """The mean, and how far its 95 % interval reaches to either side: without end, of a single value.

    Example:
        >>> mean, reach = mean_and_reach([1.0, 2.0, 3.0])
        >>> f"{mean} ± {reach:.2f}"
        '2.0 ± 2.48'
    """
    n = len(values)
    error = statistics.stdev(values) / math.sqrt(n) if n > 1 else math.inf
    return statistics.mean(values), float(stats.t.ppf(0.975, max(n - 1, 1))) * error
