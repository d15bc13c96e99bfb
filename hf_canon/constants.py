"""Tensors that follow from shapes alone, made once."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec

import torch
from torch import Tensor

P = ParamSpec("P")


def constant(build: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Remembers what a pure function of hashable arguments returned: pixel tables, grids, masks.

    A tensor made in inference mode could not serve autograd later, so it is made outside of it; and under
    `torch.compile` the function is traced like any other.
    """

    @lru_cache(maxsize=32)
    def remembered(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        with torch.inference_mode(False):
            return build(*args, **kwargs)

    @wraps(build)
    def call(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        return build(*args, **kwargs) if torch.compiler.is_compiling() else remembered(*args, **kwargs)

    return call
