"""Time and memory of a canonicalized model, beside those of the bare checkpoint."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Inputs
from ..reports.robustness import Cost
from .memory import peak_memory, size_of
from .passes import transformed
from .transforms import AnyTransform, CustomTransform

TIMED_PASSES = 9
TIMED_SECONDS = 20.0


def measure_cost(model: CanonicalizedModel, inputs: Inputs) -> Cost:
    """Time and memory of the canonicalized model beside the bare one, on one batch."""
    x, modules = inputs.x, (model.predictor, model)
    arguments = model.arguments(inputs.x, inputs.lengths, inputs.others)
    runs = tuple(partial(module, **arguments) for module in modules)
    # And the passes that warm up.
    peaks = [peak_memory(run, module, x.device) for run, module in zip(runs, modules, strict=True)]
    seconds: list[list[float]] = [[], []]
    deadline = time.perf_counter() + TIMED_SECONDS
    for i in range(TIMED_PASSES):
        # In turns, and each first every other time: what else the machine does hits both alike.
        for which in (0, 1) if i % 2 else (1, 0):
            seconds[which].append(wall_clock(runs[which], x.device))
        if time.perf_counter() > deadline:
            break
    bare, canonicalized = (np.array(times) for times in seconds)
    own, whole = (size_of(module) for module in modules)
    return Cost(
        device=x.device.type,
        batch_size=len(x),
        bare_ms=1000 * float(np.median(bare)) / len(x),
        canonicalized_ms=1000 * float(np.median(canonicalized)) / len(x),
        latency_ratio=float(np.median(canonicalized / bare)),
        parameter_ratio=whole / own,
        peak_memory_ratio=None if peaks[0] is None or peaks[1] is None else peaks[1] / peaks[0],
    )


def wall_clock(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds."""
    start = time.perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start


def mixed(inputs: Inputs, transforms: list[AnyTransform]) -> Inputs:
    """Every input with another transform, so that the time holds what transformed inputs need."""
    made = [transform for transform in transforms if not isinstance(transform, CustomTransform)]
    rows = [transformed(inputs[i : i + 1], made[i % len(made)]) for i in range(len(inputs))]
    x = pad_sequence([row.x[0] for row in rows], batch_first=True)
    known = [row.lengths for row in rows if row.lengths is not None]
    return replace(inputs, x=x, lengths=torch.cat(known) if known else None)
