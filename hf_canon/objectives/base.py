"""What an objective is."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from ..modeling_canonicalized import CanonicalizedModel


class Objective(ABC):
    """A loss for a canonicalized model, `objective(model, pixel_values, labels)`, averaged over the batch.

    It is handed to `model(pixel_values=..., objective=...)` rather than called from outside, so that it runs
    inside the forward pass, where distributed wrappers look for it.
    """

    needs_labels: bool = False

    @abstractmethod
    def __call__(self, model: "CanonicalizedModel", pixel_values: Tensor, labels: Tensor | None = None) -> Tensor: ...
