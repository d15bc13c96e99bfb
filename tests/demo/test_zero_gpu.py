"""On ZeroGPU an action runs where it is lent a GPU; elsewhere it is itself."""

import importlib
import sys
from types import ModuleType

import pytest

from hf_canon.demo import zero_gpu


def twice(number: int) -> int:
    """Twice a number."""
    return 2 * number


def test_elsewhere_an_action_is_itself() -> None:
    assert zero_gpu.on_gpu(twice) is twice


def test_where_a_gpu_is_lent_the_action_borrows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = ModuleType("spaces")
    lent = []
    spaces.GPU = lambda function: lent.append(function) or (lambda *args: function(*args))  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "spaces", spaces)
    try:
        assert importlib.reload(zero_gpu).on_gpu(twice)(4) == 8
        assert lent == [twice]
    finally:
        monkeypatch.undo()
        importlib.reload(zero_gpu)
