"""What an objective is."""

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel


class Objective(ABC):
    """A loss for a canonicalized model, `objective(model, x, labels, lengths)`, averaged over the batch.

    It is handed to `model(pixel_values=..., objective=...)` rather than called from outside, so that it runs
    inside the forward pass, where distributed wrappers look for it.
    """

    needs_labels: bool = False

    @abstractmethod
    def __call__(
        self,
        model: CanonicalizedModel,
        x: Tensor,
        labels: Tensor | None = None,
        lengths: Tensor | None = None,
    ) -> Tensor:
        """The loss.

        Args:
            model: behind whose group and canonicalizer it is.
            x: what the predictor reads, `(batch, ...)`.
            labels: of the task, where the objective needs them.
            lengths: `(batch,)`, how much of each is audio, where clips are padded to one length.
        """


def random_pose(
    model: CanonicalizedModel, x: Tensor, lengths: Tensor | None, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Inputs transformed at random, as `Group.random_act` transforms them, and how long they are then."""
    transformed, element, offset = model.group.random_act(x, generator, lengths)
    lengths = None if lengths is None else model.group.transformed_lengths(lengths, element, transformed)
    return transformed, element, offset, lengths
