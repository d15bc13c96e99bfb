"""No training at all: the frozen checkpoint scores every member of the orbit, and the surest one is canonical.

This is the training-free baseline of *Test-time canonicalization by foundation models* (FoCal, arXiv 2507.10375), with
the predictor itself as the judge. It costs |G| passes of the
predictor, besides the one that answers, and is the teacher that cheaper
canonicalizers can be distilled from.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from ..groups import Group
from ..predictors.additions import asked_about_poses
from ..predictors.inputs import input_name
from .base import Canonicalizer, channels_of, fitting

Arguments = Callable[[Tensor, Tensor | None], dict[str, Any]]


class PredictorCanonicalizer(Canonicalizer):
    """Asks the predictor how sure it is of each member of the orbit: the log-probability of its likeliest class.

    Use it to try hf_canon on a checkpoint before anything is trained, and as the teacher of `Distillation`.
    Prefer any other canonicalizer in production: this one runs the predictor once for every element.

    Args:
        group: any finite group.
        score: "confidence", as adapters have it that name a score.

    Raises:
        ValueError: the group is continuous, or another score is asked for.
    """

    name = "predictor"

    def __init__(self, group: Group, channels: int = 3, score: str = "confidence"):
        super().__init__()
        if not group.finite:
            raise ValueError(
                f"The 'predictor' canonicalizer (and prior='predictor', which asks it) tries every element, and "
                f"{group.name} has infinitely many. Use a finite group, or "
                f"canonicalizer={fitting(group)!r} and prior='identity'."
            )
        if score != "confidence":
            raise ValueError(
                f"The 'predictor' canonicalizer goes by the confidence of the predictor, not by {score!r}. Leave out "
                "score."
            )
        self.group = group
        self.settings = channels_of(group, channels)
        self._predictor: tuple[nn.Module, ...] = ()
        self._arguments: Arguments | None = None

    def attach(self, predictor: nn.Module, arguments: Arguments | None = None) -> None:
        """Name the judge. Held in a tuple: it is the model's child, not this one's, and is not saved twice.

        Args:
            predictor: returns logits.
            arguments: what it is given for inputs and their lengths; by default the inputs alone, by its name for
                them.
        """
        self._predictor = (predictor,)
        self._arguments = arguments

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        if not self._predictor:
            raise ValueError(
                "The 'predictor' canonicalizer has no predictor yet; make it with CanonicalizedModel.wrap."
            )
        orbit = self.group.orbit(x, self.group.inverse(self.group.elements), lengths)
        predictor = self._predictor[0]
        members = orbit.flatten(0, 1)
        if lengths is not None:
            lengths = lengths.repeat_interleave(orbit.shape[1])
        with torch.no_grad(), asked_about_poses(predictor):
            if self._arguments is None:
                arguments = {input_name(predictor): members}
            else:
                arguments = self._arguments(members, lengths)
            logits = class_logits(predictor(**arguments))
        scores = logits.float().log_softmax(-1).amax(-1)  # of every image, or of every place in it
        return scores.reshape(len(scores), -1).mean(1).unflatten(0, (len(x), -1))


def class_logits(output: Any) -> Tensor:
    """What a predictor says of the classes, `(batch, ..., classes)`: one answer, or one for each place or query.

    Raises:
        ValueError: it says nothing of classes.
    """
    logits: Tensor | None = getattr(output, "logits", None)
    if logits is None:
        raise ValueError(
            "The 'predictor' canonicalizer needs a predictor that is more or less sure of its classes, and this one "
            "names none. Use 'orbit', 'equivariant' or 'shift', and train it with prior='identity'."
        )
    return logits.movedim(1, -1) if logits.ndim == 4 else logits
