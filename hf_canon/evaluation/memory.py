"""How much memory a pass takes at its peak."""

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode


class HeldByTensors(TorchDispatchMode):
    """Counts the bytes of the tensors that are made inside the block, while they live.

    What an operation needs inside itself is not seen, nor what a compiled model does.

    Example:
        >>> with HeldByTensors() as held:
        ...     _ = torch.zeros(1000).exp() + 1  # at most two of 4,000 bytes at once, as Python lets go
        >>> held.peak
        8000
    """

    def __init__(self) -> None:
        super().__init__()
        self.peak = 0
        self._held = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for one in result if isinstance(result, tuple | list) else (result,):
            if isinstance(one, Tensor):
                self._add(one)
        return result

    def _add(self, made: Tensor) -> None:
        storage = made.untyped_storage()
        if storage._cdata in self._known:  # a view of it
            return
        self._known.add(storage._cdata)
        self._held += storage.nbytes()
        self.peak = max(self.peak, self._held)
        weakref.finalize(storage, self._forget, storage._cdata, storage.nbytes())

    def _forget(self, storage: int, size: int) -> None:
        self._known.discard(storage)
        self._held -= size


def peak_memory(run: Callable[[], Any], module: nn.Module, device: torch.device) -> int | None:
    """Bytes at the peak of a run; None where nobody can tell.

    Args:
        run: a pass.
        module: what makes it: its parameters and buffers count too. A CUDA device counts all that it holds.
        device: of the module.
    """
    if device.type == "cpu" and not is_compiled(module):
        with HeldByTensors() as held:
            run()
        return size_of(module) + held.peak
    if device.type != "cuda":
        run()
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


def size_of(module: nn.Module) -> int:
    """Bytes of parameters and buffers."""
    return sum(one.numel() * one.element_size() for one in [*module.parameters(), *module.buffers()])


def is_compiled(module: nn.Module) -> bool:
    return any(
        one._compiled_call_impl is not None or type(one).__name__ == "OptimizedModule" for one in module.modules()
    )
