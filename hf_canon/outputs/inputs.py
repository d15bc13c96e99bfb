"""A batch as a predictor reads it: a value that a group can act on, and that can be cut."""

from dataclasses import dataclass, field, replace
from typing import Any, Self

from torch import Tensor

from ..groups import Group
from ..groups.base import centre


@dataclass(frozen=True)
class Inputs:
    """What a predictor is given.

    Args:
        x: `(batch, ...)`, images, waveforms or spectrograms, as the checkpoint's processor makes them.
        lengths: `(batch,)`, how much of each is audio, where audio is padded to one length; images have none.
        others: the predictor's other arguments, by name.
        crop: of images with a margin, height and width (or the side) of the centre that the predictor is to see.
    """

    x: Tensor
    lengths: Tensor | None = None
    others: dict[str, Any] = field(default_factory=dict)
    crop: int | tuple[int, int] | None = None

    def __len__(self) -> int:
        return len(self.x)

    @property
    def inner(self) -> Tensor:
        """The inputs without their margin."""
        return self.x if self.crop is None else centre(self.x, self.crop)

    def __getitem__(self, index: Tensor | slice) -> Self:
        """Some of the batch; of the other arguments, the tensors with an entry for each input are cut too."""
        others = {
            name: value[index] if isinstance(value, Tensor) and value.ndim and len(value) == len(self) else value
            for name, value in self.others.items()
        }
        lengths = None if self.lengths is None else self.lengths[index]
        return replace(self, x=self.x[index], lengths=lengths, others=others)

    def transformed(self, group: Group, element: Tensor, x: Tensor | None = None) -> Self:
        """Each input transformed by its own element, `(batch,)`, its margin used up. The other arguments stay.

        Args:
            group: that acts.
            element: `(batch,)`.
            x: the transformed inputs, where they are at hand already.
        """
        if x is None and self.crop is not None:
            x = group.act_cropped(self.x, element, self.crop)
        elif x is None:
            x = group.act(self.x, element, self.lengths)
        lengths = None if self.lengths is None else group.transformed_lengths(self.lengths, element, x)
        return replace(self, x=x, lengths=lengths, crop=None)


def require_finite(values: Tensor) -> None:
    """Raise ValueError if an input had NaN in it, which reaches the canonicalizer's logits `(batch, ...)`."""
    finite = values.isfinite().flatten(1).all(-1)
    if not bool(finite.all()):
        odd = (~finite).nonzero().flatten().tolist()
        raise ValueError(
            f"Of the inputs in this batch, {odd} hold NaN or infinite values (or the canonicalizer's weights do), and "
            "have no pose. Look at what the processor made of them, and leave them out."
        )
