"""Tensors that follow from shapes alone, made once."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any

import torch
from torch import Tensor


def constant(build: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Remembers what a pure function of hashable arguments returned: pixel tables, grids, masks.

    A tensor made in inference mode could not serve autograd later, so it is made outside of it; and under
    `torch.compile` the function is traced like any other.
    """

    @lru_cache(maxsize=32)
    def remembered(*args: Any) -> Tensor:
        with torch.inference_mode(False):
            return build(*args)

    @wraps(build)
    def call(*args: Any) -> Tensor:
        return build(*args) if torch.compiler.is_compiling() else remembered(*args)

    return call
