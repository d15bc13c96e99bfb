"""The last hidden layer of a predictor: what it has made of an input when all that is left is to say it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ...adaptation.probing import Probe, probe
from ...modeling_canonicalized import CanonicalizedModel
from ...outputs import Inputs

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
LAYERS = (nn.Linear, *CONVOLUTIONS)


class LastHidden:
    """Reads the input of the layer that gives the logits; of a predictor without such a layer, its last hidden state,
    or else its answer. What has places or moments is averaged over them.

    Nothing is attached between calls. What was added to the predictor (PEFT, attachments) has its say.

    Args:
        model: whose predictor is read.
        inputs: a batch, to see which layer that is.

    Raises:
        ValueError: the predictor cannot be asked so, or answers with nothing that belongs to one input each.
    """

    def __init__(self, model: CanonicalizedModel, inputs: Inputs):
        self.model = model
        one, predictor = inputs[:1], model.predictor
        try:
            found = probe(predictor, model.arguments(one.x, one.lengths, one.others))
        except ValueError as error:
            raise ValueError(
                f"{type(predictor).__name__} cannot be asked about one of these inputs alone "
                f"({error.__cause__ or error}), and so what it makes of them cannot be compared. Give a model that "
                "can, such as a classifier, a segmenter or an encoder, and inputs of its size."
            ) from error
        self.layer, name = answering(found)
        hidden = self._hidden(one)
        if hidden is None:
            self.layer, hidden = None, self._hidden(one)
        what = "the last hidden state" if self.layer is None else f"the input of {name}"
        places = ", averaged over places" if hidden is not None and hidden.ndim > 2 else ""
        self.described = f"{what}{places} ({self(one).shape[1]:,} numbers)"

    def __call__(self, inputs: Inputs) -> Tensor:
        """`(batch, features)`, on the CPU."""
        hidden = self._hidden(inputs)
        if hidden is None:
            raise ValueError(
                f"{self.model.checkpoint.architecture} has no last hidden layer with something for each input. "
                "Give a model that has one, such as a classifier, a segmenter or an encoder."
            )
        return averaged(hidden, self.layer, self.model, inputs).float().cpu()

    def _hidden(self, inputs: Inputs) -> Tensor | None:
        """`(batch, ...)`; None where nothing belongs to one input each."""
        if self.layer is None:
            more = {**inputs.others, "output_hidden_states": True}
            hidden = last_state(self.model.predict(replace(inputs, others=more)))
        else:
            seen: list[Tensor] = []
            with hooked(self.layer, lambda layer, args, kwargs: seen.append(next(iter([*args, *kwargs.values()])))):
                self.model.predict(inputs)
            hidden = seen[-1]
        return hidden if hidden is not None and len(hidden) == len(inputs.x) else None


@contextmanager
def hooked(layer: nn.Module, look: Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]) -> Iterator[None]:
    """A layer whose arguments are looked at, after everything else that is hooked to it."""
    handle = layer.register_forward_pre_hook(look, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def answering(found: Probe) -> tuple[nn.Module | None, str | None]:
    """The layer whose answer the logits are, and its name; None if there is none."""
    for name, output in found.outputs.items():
        module = found.modules[name]
        if output is found.logits and found.calls[name] == 1 and isinstance(bare(module), LAYERS):
            return module, name
    return None, None


def bare(layer: nn.Module) -> nn.Module:
    """A layer without what PEFT has wrapped around it."""
    return getattr(layer, "base_layer", layer)


def last_state(output: Any) -> Tensor | None:
    """What comes nearest to a last hidden layer in an output."""
    for name in ("last_hidden_state", "hidden_states", "encoder_hidden_states", "feature_maps"):
        value = output.get(name)
        value = value[-1] if isinstance(value, tuple | list) and value else value
        if isinstance(value, Tensor) and value.ndim > 1:
            return value
    return next((value for value in output.values() if isinstance(value, Tensor) and value.ndim > 1), None)


def averaged(hidden: Tensor, layer: nn.Module | None, model: CanonicalizedModel, inputs: Inputs) -> Tensor:
    """`(batch, features)`: over places, or over the moments that are no padding."""
    channels_first = isinstance(layer and bare(layer), CONVOLUTIONS) or (hidden.ndim == 4 and layer is None)
    rows = hidden.movedim(1, -1) if channels_first else hidden
    if inputs.lengths is not None and rows.ndim == 3:
        frames = model.frames(inputs.x, inputs.lengths)
        if frames is not None and int(frames[1]) == rows.shape[1]:
            moments = torch.arange(rows.shape[1], device=rows.device)
            audio = (moments < frames[0].to(rows.device).unsqueeze(1)).unsqueeze(-1).to(rows.dtype)
            return (rows * audio).sum(1) / audio.sum(1)
    return rows.flatten(1, -2).mean(1) if rows.ndim > 2 else rows
