"""How sure a mean over items is."""

import numpy as np

from ..reports.interval import Interval

RESAMPLES = 2000


def bootstrap(values: np.ndarray) -> list[Interval]:
    """The mean of each column of `(items, columns)` and its 95 % percentile interval, in percentage points.

    Items are drawn with replacement, whole rows at a time, so that what is compared stays paired. The seed is fixed.
    The draws are those of `scipy.stats.bootstrap`, which would gather every column of every draw.

    Example:
        >>> interval, = bootstrap(np.array([[0.0], [1.0], [1.0], [0.0]]))
        >>> interval.value, interval.low, interval.high
        (50.0, 0.0, 100.0)
    """
    items, rng = len(values), np.random.default_rng(0)
    draws = (rng.integers(items, size=items) for _ in range(RESAMPLES))
    means = [np.bincount(drawn, minlength=items) @ values / items for drawn in draws]
    bounds = values.mean(axis=0), *np.percentile(means, [2.5, 97.5], axis=0)
    return [Interval(*(100 * float(bound) for bound in each)) for each in zip(*bounds, strict=True)]
