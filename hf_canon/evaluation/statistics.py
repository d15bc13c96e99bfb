"""How sure a difference is."""

import numpy as np

from ..reports.interval import Interval

RESAMPLES = 2000


def bootstrap(values: np.ndarray) -> list[Interval]:
    """The mean of each column of `(items, columns)` and its 95 % percentile interval, in percentage points.

    Items are drawn with replacement, whole rows at a time, so that what is compared stays paired. The seed is fixed.

    Example:
        >>> interval, = bootstrap(np.array([[0.0], [1.0], [1.0], [0.0]]))
        >>> interval.value, interval.low, interval.high
        (50.0, 0.0, 100.0)
    """
    items = len(values)
    rng = np.random.default_rng(0)
    rows = max(1, min(RESAMPLES, 5_000_000 // items))  # bounds the memory that one round of draws takes
    means = []
    for start in range(0, RESAMPLES, rows):
        n = min(rows, RESAMPLES - start)
        drawn = rng.integers(items, size=(n, items)) + np.arange(n)[:, None] * items
        counts = np.bincount(drawn.ravel(), minlength=n * items).reshape(n, items)
        means.append(counts @ values / items)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    middle = values.mean(axis=0)
    return [Interval(*(100 * float(bound) for bound in bounds)) for bounds in zip(middle, low, high, strict=True)]
