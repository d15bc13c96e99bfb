"""Gains of the last hidden layer, by how much its units follow the modulator (arXiv 2311.15053).

    a = relu(cov(h, m)) / mean(relu(cov(h, m)))

A unit that follows the modulator carries what the modulated units have to say. The gains are a running mean over
batches, and start at 1: what the formula gives for couplings that nobody has learned is not the identity.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .attachment import Part

MOMENTUM = 0.1
"""The least weight of a new batch in the running mean; the first n batches have 1/n."""


class RunningGain(nn.Module):
    """The gains of one task: a mean over batches, which is no parameter."""

    value: Tensor
    batches: Tensor

    def __init__(self, width: int, device: torch.device):
        super().__init__()
        self.register_buffer("value", torch.ones(width, device=device))
        self.register_buffer("batches", torch.zeros((), dtype=torch.long, device=device))

    @torch.no_grad()
    def update(self, gain: Tensor) -> None:
        """Take a batch's gains into the mean.

        Raises:
            ValueError: some are not finite. The mean is then what it was.
        """
        if not torch.isfinite(gain).all():
            raise ValueError(
                "The gains of this batch are not finite: its inputs are not, or a tangent is too large for this "
                "precision. Look at the inputs; load the model with dtype='bfloat16' or 'float32'; or attach with "
                "estimator='sampling'."
            )
        self.batches += 1
        self.value.lerp_(gain.to(self.value.dtype), max(MOMENTUM, 1 / int(self.batches)))


class Caught(Exception):
    """Ends a forward pass at the last hidden layer, whose activity is all that was asked for."""

    def __init__(self, activity: Tensor):
        super().__init__()
        self.activity = activity


class ReadOut(Part):
    """Multiplies the last hidden layer with the gains of a task, before the output layer.

    Attributes:
        active: the number of the task; None leaves the layer as it is.
        batch_gain: those of a batch that is learned from, in place of the running mean: gradients reach the couplings
            through them.
        catching: whether a pass ends here.
    """

    reads = True

    def __init__(self, width: int, axis: int):
        super().__init__()
        self.width, self.axis = width, axis
        self.tasks = nn.ModuleList()
        self.active: int | None = None
        self.batch_gain: Tensor | None = None
        self.catching = False

    def add(self, like: Tensor) -> None:
        """Gains of one more task, which change nothing yet."""
        self.tasks.append(RunningGain(self.width, like.device))

    def running(self, task: int) -> RunningGain:
        gain = self.tasks[task]
        assert isinstance(gain, RunningGain)
        return gain

    def forward(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The output layer's arguments, its input multiplied. A hook's answer None leaves them as they are."""
        if not self.enabled or self.active is None:
            return None
        self.require_original(layer)
        h = args[0] if args else kwargs["input"]
        if self.catching:
            raise Caught(h)
        gain = self.running(self.active).value if self.batch_gain is None else self.batch_gain
        h = h * gain.to(h.dtype).reshape(-1, *[1] * (h.ndim - 1 - self.axis % h.ndim))
        return ((h, *args[1:]), kwargs) if args else (args, {**kwargs, "input": h})


def gains_of(tags: Tensor) -> Tensor:
    """Gains `(units,)` with the mean 1, from how much each unit follows the modulator; 1 where none does, as at first
    behind a norm, and then gradients go on to the tags as they are, so that something may come to follow.

    Example:
        >>> gains_of(torch.tensor([3.0, 1.0, -2.0, 0.0]))
        tensor([3., 1., 0., 0.])
    """
    rectified = tags.relu()
    mean = rectified.mean()
    return torch.where(mean > 0, rectified / torch.where(mean > 0, mean, 1.0), 1.0 + tags - tags.detach())
