"""What was seen of each input, collected batch by batch."""

from collections import defaultdict
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
from torch import Tensor


class Observations:
    """Columns `(items,)` by what was done and what was seen."""

    def __init__(self) -> None:
        self._seen: dict[Hashable, dict[str, list[np.ndarray[Any, Any]]]] = defaultdict(lambda: defaultdict(list))

    def add(self, done: Hashable, columns: Mapping[str, Tensor]) -> None:
        """Record a batch, `(batch,)` in each column."""
        for name, values in columns.items():
            self._seen[done][name].append(values.cpu().numpy())

    def __contains__(self, key: tuple[Hashable, str]) -> bool:
        done, name = key
        return name in self._seen.get(done, {})

    def get(self, done: Hashable, name: str) -> np.ndarray[Any, Any]:
        """`(items,)`."""
        return np.concatenate(self._seen[done][name])

    def __iter__(self) -> Any:
        return iter(self._seen)
