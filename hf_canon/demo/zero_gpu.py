"""ZeroGPU lends a Space a GPU for the length of a call; elsewhere a call is a call."""

from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

try:
    from spaces import GPU as lent
except ImportError:
    lent = None


def on_gpu(function: Function) -> Function:
    """A function that runs where there is a GPU, if the Space is lent one."""
    return function if lent is None else lent(function)
