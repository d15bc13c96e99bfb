"""How each output field of a predictor moves with the group.

A row says what happens to a field when the input is carried back from its canonical pose. A field without a row is
refused by name: an answer in the wrong coordinates is worse than none.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers.utils import ModelOutput

from .groups import Group


@dataclass
class Canonicalization(ModelOutput):
    """Which element happened to each input, and the input with it undone.

    Args:
        element: `(batch,)`, indices into `group.elements`, or parameters of a continuous group.
        probabilities: `(batch, |G|)`, the posterior p(g | x); over evenly spaced bins for a continuous group.
        canonical: what the predictor saw, in the shape of the input.
        logits: `(batch, |G|)`, what the canonicalizer said.
    """

    element: Tensor = None  # type: ignore[assignment]  # ModelOutput wants a default
    probabilities: Tensor | None = None
    canonical: Tensor | None = None
    logits: Tensor | None = None


Transport = Callable[[Group, Tensor, Tensor], Tensor]


def invariant(group: Group, element: Tensor, value: Tensor) -> Tensor:
    """The same for every pose: what is in a picture, not where."""
    return value


TRANSPORT: dict[str, dict[str, Transport]] = {
    "image-classification": {
        "loss": invariant,
        "logits": invariant,
        "cls_logits": invariant,
        "distillation_logits": invariant,
    },
}


def carry_back(output: ModelOutput, task: str, group: Group, canonicalization: Canonicalization) -> ModelOutput:
    """The predictor's answer for the canonical input, as the answer for the input that was given.

    Returns:
        The predictor's own output class with one field more, `canonicalization`.

    Raises:
        ValueError: the output has a field whose behaviour under the group is not known.
    """
    rows = TRANSPORT[task]
    unknown = [name for name in output if name not in rows]
    if unknown:
        raise ValueError(
            f"The predictor returned {', '.join(unknown)}, which hf_canon cannot carry back to the pose of the input "
            f"(for {task} it knows {', '.join(rows)}). Leave out output_hidden_states and output_attentions, or pass "
            "canonicalize=False."
        )
    moved = {name: rows[name](group, canonicalization.element, value) for name, value in output.items()}
    return canonicalized_class(type(output))(**moved, canonicalization=canonicalization)


@torch.compiler.assume_constant_result
def canonicalized_class(base: type[ModelOutput]) -> type[ModelOutput]:
    """The output class `base` with the field `canonicalization` added."""
    return _canonicalized_class(base)


@lru_cache
def _canonicalized_class(base: type[ModelOutput]) -> type[ModelOutput]:
    def reduce(output: ModelOutput) -> tuple[Any, ...]:
        # Another process makes the class anew, from its base.
        return _unpickle, (base, tuple(getattr(output, one.name) for one in fields(output)))  # type: ignore[arg-type]

    extra = [("canonicalization", Canonicalization | None, field(default=None))]
    name = f"Canonicalized{base.__name__}"
    return make_dataclass(name, extra, bases=(base,), namespace={"__reduce__": reduce, "__module__": __name__})


def _unpickle(base: type[ModelOutput], values: tuple[Any, ...]) -> ModelOutput:
    return canonicalized_class(base)(*values)
