"""Carries an answer back from the canonical pose to the pose of the input."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, make_dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from transformers.utils import ModelOutput

from ..selection import Action
from .rules import Move, Rows, Transport, invariant, left_out


@dataclass
class Canonicalization(ModelOutput):
    """Which element happened to each input, and the input with it undone.

    Args:
        element: `(batch,)`, indices into `group.elements`, or parameters of a continuous group.
        probabilities: `(batch, |G|)`, the posterior p(g | x); over evenly spaced bins for a continuous group.
        canonical: what the predictor saw, in the shape of the input; where it was asked about several elements, for
            the first of them.
        logits: `(batch, |G|)`, what the canonicalizer said.
        confidence: `(batch,)`, the probability of the likeliest element (of a continuous group, of all that lies
            within its tolerance). It is the likeliest even where the decision rule did not undo it.
        set: bool `(batch, |G|)`, the elements of which one is the true one with the probability that the adapter was
            calibrated for; None if it was not.
        size: `(batch,)`, how many elements are in the set, or for a continuous group modes of the posterior.
        passes: `(batch,)`, forward passes of the predictor.
        action: `(batch,)`, what the decision rule did: an `Action`, and `actions` in words.
    """

    element: Tensor = None  # type: ignore[assignment]  # ModelOutput wants a default
    probabilities: Tensor | None = None
    canonical: Tensor | None = None
    logits: Tensor | None = None
    confidence: Tensor | None = None
    set: Tensor | None = None
    size: Tensor | None = None
    passes: Tensor | None = None
    action: Tensor | None = None

    @property
    def abstained(self) -> Tensor:
        """Bool `(batch,)`: which answers are not to be relied on. None are, unless the rule is `abstain`."""
        assert self.action is not None
        return self.action == Action.ABSTAINED

    @property
    def actions(self) -> list[str]:
        """What the decision rule did, in words: "canonicalized", "averaged", "left alone" or "abstained"."""
        assert self.action is not None
        return [Action(one).words for one in self.action.tolist()]


def carry_back(output: Mapping[str, Any], rows: Rows, move: Move) -> dict[str, Any]:
    """The fields of an answer for the canonical input, as those of an answer for the input as it came.

    Raises:
        ValueError: there is no row for a field, or it has a shape that its row does not know.
    """
    unknown = [name for name in output if name not in rows]
    if unknown:
        raise ValueError(
            f"The predictor returned {', '.join(unknown)}, which hf_canon cannot carry back to the pose of the input "
            f"(it knows {', '.join(rows)}). Leave out output_hidden_states and output_attentions, or pass "
            "canonicalize=False."
        )
    found = {}
    for name, value in output.items():
        try:
            found[name] = each(rows[name], move, value)
        except ValueError as error:
            raise ValueError(f"The field {name} cannot be carried back to the pose of the input. {error}") from error
    return found


def with_canonicalization(answer: ModelOutput, found: Canonicalization) -> ModelOutput:
    """An answer, of the predictor's own output class with one field more, `canonicalization`."""
    return canonicalized_class(type(answer))(**answer, canonicalization=found)


def each(row: Transport, move: Move, value: Any) -> Any:
    """A field may hold tensors in tuples, lists and dictionaries: one for each layer, say."""
    if isinstance(value, Tensor):
        return row(move, value)
    if row in (invariant, left_out) or value is None:
        return value if row is not left_out else None
    if isinstance(value, Mapping):
        return {name: each(row, move, one) for name, one in value.items()}
    return type(value)(each(row, move, one) for one in value)


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
