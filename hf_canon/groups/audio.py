"""What happens to sound."""

from abc import abstractmethod

from torch import Tensor

from .base import Group


class Temporal(Group):
    """A group that moves the moments of a sound."""

    @abstractmethod
    def act_frames(self, frames: Tensor, element: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Move what was found for each moment, `(batch, frames, ...)`, with the sound."""
