"""Whether what a server is asked still looks like the data that the adapter was calibrated on."""

import json
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import chi2_contingency
from scipy.stats.contingency import expected_freq
from torch import Tensor
from transformers.utils import logging

from ..groups import Group
from ..modeling_canonicalized import CanonicalizedModel

logger = logging.get_logger(__name__)

BINS = 10
"""Of confidence, each with as many of the calibration's inputs."""
CELLS = 12
"""Of a continuous group, in which its elements are counted."""
EXPECTED = 5
"""Cells of which fewer were to be expected are put together, as Cochran has it."""


class Monitor:
    """Counts what a model finds in the inputs of a server, and warns when that drifts from the calibration.

    Call it with each output. It keeps three histograms, of confidence, set size and elements, and nothing of the
    inputs. After every `window` inputs each is compared with what the calibration saw, by the chi-squared test for two
    samples; a drift has a p-value below `level`, shared among the three. Several threads may share one.

    A drift is no fault by itself. Elements drift when inputs come turned, which the adapter is for; when confidence or
    set sizes drift, the promises of the calibration are about other data than these: look, and calibrate on them.

    Args:
        model: a calibrated model.
        window: how many inputs are compared at a time.
        level: how often windows like the calibration may be taken for a drift.
        log: a file to which a line of JSON is appended for every window.
        on_drift: called with the window in place of the warning.

    Raises:
        ValueError: the model is not calibrated, or the window too small to say anything.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel, calibrate
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4")
        >>> items = [{"pixel_values": torch.rand(3, 16, 16)} for _ in range(80)]
        >>> _ = calibrate(model, items, alpha=0.1, harm=0.1)
        >>> monitor = Monitor(model, window=50)
        >>> for _ in range(5):
        ...     out = model(pixel_values=torch.rand(16, 3, 16, 16))
        ...     monitor(out)
        >>> len(monitor.windows), monitor.windows[0].inputs
        (1, 64)
    """

    def __init__(
        self,
        model: CanonicalizedModel,
        window: int = 500,
        level: float = 0.001,
        log: str | Path | None = None,
        on_drift: "Callable[[Window], Any] | None" = None,
    ):
        calibration = model.calibration
        if calibration is None:
            raise ValueError(
                "A monitor compares with the data of the calibration, and this model has none. Call "
                "hf_canon.calibrate(model, dataset) first."
            )
        if window < 2 * BINS:
            raise ValueError(f"A window of {window} inputs says nothing about drift; give {2 * BINS} or more.")
        self.group = model.group
        self.reference: dict[str, list[float]] = {name: list(calibration.seen[name]) for name in TESTED}
        self.edges = torch.tensor(calibration.seen["edges"], dtype=torch.float64)
        self.window, self.level, self.on_drift = window, level, on_drift
        self.log = None if log is None else Path(log)
        self.windows: deque[Window] = deque(maxlen=1000)
        """Those that are full, the last one last."""
        self._lock = threading.Lock()
        self._start()

    def _start(self) -> None:
        self._inputs = 0
        self._confidence = 0.0
        self._counts = {name: torch.zeros(len(counts), dtype=torch.long) for name, counts in self.reference.items()}

    def __call__(self, output: Any) -> None:
        """Count what was found in a batch.

        Args:
            output: of the model, or its `canonicalization`.
        """
        found = getattr(output, "canonicalization", output)
        sure = found.confidence.detach().cpu().double()
        counts = {
            "confidence": count_confidence(sure, self.edges),
            "size": count_sizes(found.size.cpu(), len(self.reference["size"])),
            "element": count_elements(likeliest(found.probabilities, self.group).cpu(), self.group),
        }
        with self._lock:
            self._inputs += len(sure)
            self._confidence += float(sure.sum())
            for name, count in counts.items():
                self._counts[name] += count
            full = self._close() if self._inputs >= self.window else None
        if full is not None:
            self._tell(full)

    def _close(self) -> "Window":
        counts = {name: count.tolist() for name, count in self._counts.items()}
        p_values = {name: same_distribution(self.reference[name], count) for name, count in counts.items()}
        drifted = [name for name, p in p_values.items() if p < self.level / len(TESTED)]
        full = Window(self._inputs, self._confidence / self._inputs, counts, p_values, drifted)
        self.windows.append(full)
        self._start()
        return full

    def _tell(self, window: "Window") -> None:
        if self.log is not None:
            with self._lock, self.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(window)) + "\n")
        if window.drifted and self.on_drift is not None:
            self.on_drift(window)
        elif window.drifted:
            logger.warning(str(window))


@dataclass(frozen=True)
class Window:
    """What was seen in some inputs, one after the other.

    Args:
        inputs: how many.
        confidence: the mean.
        counts: of bins of confidence, of set sizes from 1 on, and of elements.
        p_values: how likely so large a difference from the calibration is, were nothing different.
        drifted: the names of those that are too unlikely.
    """

    inputs: int
    confidence: float
    counts: dict[str, list[int]]
    p_values: dict[str, float]
    drifted: list[str]

    def __str__(self) -> str:
        if not self.drifted:
            return f"{self.inputs:,} inputs like those of the calibration."
        worst = ", ".join(f"{TESTED[name]} (p = {self.p_values[name]:.1g})" for name in self.drifted)
        advice = (
            "Inputs come in other poses than those of the calibration, which is what the adapter is for."
            if self.drifted == ["element"]
            else "What the calibration promised is about other data: look at these, and calibrate on some of them."
        )
        return f"The last {self.inputs:,} inputs differ from those of the calibration in {worst}. {advice}"


TESTED = {"confidence": "confidence", "size": "the sizes of sets", "element": "the elements found"}
"""What is compared, in words."""


def histograms(confidence: Tensor, size: Tensor, element: Tensor, group: Group) -> dict[str, list[float]]:
    """What a calibration remembers of its inputs: `edges` of the bins of confidence, and counts for each of `TESTED`.

    Args:
        confidence: `(n,)`.
        size: `(n,)` long, of the sets.
        element: `(n,)`, the likeliest.
        group: whose element it is.
    """
    sure = confidence.double()
    edges = sure.quantile(torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]).unique()
    sizes = group.order or CELLS
    return {
        "edges": edges.tolist(),
        "confidence": count_confidence(sure, edges).tolist(),
        "size": count_sizes(size, sizes).tolist(),
        "element": count_elements(element, group).tolist(),
    }


def likeliest(posterior: Tensor, group: Group) -> Tensor:
    """The likeliest element of a posterior, or of its logits, whether a decision rule undid it or not; of a continuous
    group the highest bin."""
    best = posterior.argmax(1)
    return group.grid(posterior.shape[1]).to(best.device)[best]


def count_confidence(sure: Tensor, edges: Tensor) -> Tensor:
    return torch.bincount(torch.bucketize(sure, edges), minlength=len(edges) + 1)


def count_sizes(size: Tensor, largest: int) -> Tensor:
    return torch.bincount(size.clamp(max=largest) - 1, minlength=largest)


def count_elements(element: Tensor, group: Any) -> Tensor:
    """Of a continuous group in cells, with the identity in the middle of one."""
    if group.order is not None:
        return torch.bincount(element, minlength=group.order)
    place = (element.double() / (2 * group.reach) * CELLS).round().long()
    circle = group.period is not None
    return torch.bincount(
        place % CELLS if circle else place.clamp(-CELLS // 2, CELLS // 2) + CELLS // 2,
        minlength=CELLS if circle else CELLS + 1,
    )


def same_distribution(one: Sequence[float], other: Sequence[float]) -> float:
    """The p-value of Pearson's chi-squared test that two samples of counts are of one distribution.

    Cells of which fewer than five are to be expected in either sample are put together first.

    Example:
        >>> same_distribution([50, 50], [50, 50])
        1.0
        >>> round(same_distribution([40, 60], [60, 40]), 4)
        0.0047
    """
    table = np.array([one, other], dtype=float)
    rare = expected_freq(table).min(0) < EXPECTED
    table = np.column_stack([table[:, ~rare], table[:, rare].sum(1)])
    return float(chi2_contingency(table[:, table.any(0)], correction=False).pvalue)
