"""What the layers of a model answer with: one pass tells what units they have, and which layer is the last."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ..outputs.tokens import grid_of, layout_of
from ..predictors.inputs import example_input
from ..predictors.untouched import evaluating
from .attachment import Attachment
from .coupling import Coupled, Units

INPUT = "input"
"""Stands for the model's own input, among the names of layers."""
INPUT_PLACES = 32
"""Couplings along each side of the input: pixels are too many to be told apart."""


@dataclass
class Probe:
    """One pass through a model.

    Attributes:
        modules: those that were called, by name, in the order in which they were done.
        outputs: the first tensor that each answered with.
        calls: how often each was called.
        logits: the model's answer.
        input: what the model looked at or listened to.
    """

    modules: dict[str, nn.Module] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    calls: dict[str, int] = field(default_factory=dict)
    logits: Any = None
    input: Tensor = field(default_factory=lambda: torch.empty(0))


def probe(model: Any, inputs: Any = None) -> Probe:
    """Ask a model once, and look at every layer.

    Args:
        model: a transformers model.
        inputs: a batch: a tensor, or a dictionary of the model's arguments; by default noise of the size that the
            model was made for.

    Raises:
        ValueError: the model cannot be asked so.
    """
    found = Probe()
    if inputs is None:
        try:
            inputs = example_input(model)
        except (AttributeError, ValueError) as error:
            raise unanswered(model, error) from error
    arguments: dict[str, Any] = dict(inputs) if not isinstance(inputs, Tensor) else {}
    given = [inputs] if isinstance(inputs, Tensor) else [v for v in arguments.values() if isinstance(v, Tensor)]
    if not given:
        raise ValueError("Nothing in inputs= is a tensor. Pass what the processor gives with return_tensors='pt'.")
    found.input = given[0]

    def look(name: str) -> Any:
        def hook(module: nn.Module, args: Any, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) and output else output
            if isinstance(first, Tensor):
                found.outputs[name] = first
            found.modules.pop(name, None)
            found.modules[name] = module
            found.calls[name] = found.calls.get(name, 0) + 1

        return hook

    handles = [module.register_forward_hook(look(name)) for name, module in own_modules(model)]
    try:
        with torch.no_grad(), evaluating(model):
            answer = model(inputs) if isinstance(inputs, Tensor) else model(**arguments)
    except (RuntimeError, TypeError, ValueError) as error:
        raise unanswered(model, error) from error
    finally:
        for handle in handles:
            handle.remove()
    answer = answer[0] if isinstance(answer, tuple) else answer
    found.logits = answer if isinstance(answer, Tensor) else getattr(answer, "logits", None)
    return found


def unanswered(model: nn.Module, error: Exception) -> ValueError:
    return ValueError(
        f"{type(model).__name__} could not be asked, to see what its layers answer with ({error}). Pass inputs=, a "
        "batch as the model takes it."
    )


def own_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The modules of a model by name, itself and what is attached to it left out."""
    attached = {id(module) for one in model.modules() if isinstance(one, Attachment) for module in one.modules()}
    return ((name, module) for name, module in model.named_modules() if name and id(module) not in attached)


def blocks_of(found: Probe, model: nn.Module, output: str) -> list[str]:
    """The blocks that a model is stacked from, in the order in which they are done: members of lists of modules that
    answer with a tensor, the outermost of them.

    Args:
        found: what a pass has shown.
        model: that was asked.
        output: its output layer; what comes after it has no part in its answer.
    """
    lists = {name for name, module in model.named_modules() if type(module) is nn.ModuleList}
    lists = {name for name in lists if not output.startswith(f"{name}.")}
    before = list(found.modules)[: list(found.modules).index(output)]
    members = [
        name
        for name in before
        if name.rpartition(".")[0] in lists
        and found.calls[name] == 1
        and name in found.outputs
        and found.outputs[name].ndim > 2
    ]
    return [one for one in members if not any(one.startswith(f"{other}.") for other in members)]


def last_block(found: Probe, model: nn.Module, output: str) -> str:
    """The last of the blocks that a model is stacked from.

    Raises:
        ValueError: it has none.
    """
    blocks = blocks_of(found, model, output)
    if not blocks:
        raise ValueError(
            f"This {type(model).__name__} is not stacked from blocks. Name the layers to be coupled: "
            f"target_modules=[...], some of {', '.join(list(found.outputs)[:12])}."
        )
    return blocks[-1]


def output_layer(found: Probe, read_out: str | None) -> str:
    """The layer that gives the answer, whose input is the last hidden layer.

    Raises:
        ValueError: there is none, or none of that name.
    """
    layers = [
        name
        for name, module in found.modules.items()
        if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and name in found.outputs
    ]
    if read_out is None:
        chosen = [name for name in layers if found.outputs[name] is found.logits]
    else:
        chosen = [name for name in layers if name == read_out or name.endswith(f".{read_out}")]
    answering = [name for name, h in found.outputs.items() if h is found.logits]
    wrapped = [name for name in answering if hasattr(found.modules[name], "base_layer")]
    if wrapped or any("base_layer" in name.split(".") for name in chosen):
        raise ValueError(
            f"PEFT has wrapped the output layer, {', '.join(wrapped or chosen)}, and would read its input without the "
            "gains. Leave that layer out of PEFT's target_modules."
        )
    if len(chosen) != 1 or found.calls[chosen[0]] != 1:
        what = "No layer gives the logits as they are" if read_out is None else f"{len(chosen)} fit {read_out!r}"
        raise ValueError(
            f"The output layer of this model, which is called once in a pass, is not known ({what}). Name it: "
            f"read_out=, one of {', '.join(layers[-8:]) or 'none'}."
        )
    return chosen[0]


def units_of(found: Probe, model: Any, name: str, units: Units) -> Coupled:
    """The units of a layer, or of the input.

    Raises:
        ValueError: the layer was not called once, answers with no tensor, or has no such units.
    """
    if name == INPUT:
        return input_units(found.input, units)
    if found.calls.get(name) != 1 or name not in found.outputs:
        raise ValueError(
            f"{name} is called {found.calls.get(name, 0)} times in a pass, or does not answer with a tensor, and its "
            f"units have no couplings of their own then. Choose from {', '.join(list(found.outputs)[:12])}."
        )
    shape, module = found.outputs[name].shape, found.modules[name]
    axis = channel_axis(module, shape)
    last = axis == -1
    if units == "channels":
        return Coupled(units, axis, (shape[axis],))
    if units == "heads":
        heads = getattr(model.config, "num_attention_heads", None)
        if not isinstance(heads, int) or shape[axis] % heads:
            raise ValueError(
                f"{name} has {shape[axis]} channels and {type(model).__name__} {heads!r} heads: its heads are not "
                "known. Couple its channels, or a value projection (target_modules=['v_proj'])."
            )
        return Coupled(units, axis, (heads,))
    if units != "places":
        raise ValueError(f"Units are 'channels', 'heads' or 'places', and these are {units!r}.")
    if len(shape) == 2:
        raise ValueError(f"{name} answers with one vector, which has no places. Couple its channels.")
    if len(shape) == 4:
        first = 1 if last else 2
        return Coupled(units, first, (shape[first], shape[first + 1]))
    first = 1 if last else 2
    layout = layout_of(model.config) if found.input.ndim == 4 else None
    if layout is not None and layout.window is not None:  # not in the order of places
        layout = None
    grid = None if layout is None else grid_of(layout, shape[first], (found.input.shape[2], found.input.shape[3]))
    return Coupled(units, first, (shape[first],), None if grid is None else (grid[0], *grid[1]))


def channel_axis(module: nn.Module, shape: torch.Size) -> int:
    """Where the channels of a module's output are: 1 as after a convolution, or -1 as after a linear layer."""
    first: set[Any] = set()
    last: set[Any] = set()
    for one in module.modules():
        names = ("out_channels", "num_channels") + (("num_features",) if hasattr(one, "running_mean") else ())
        first |= {getattr(one, name, None) for name in names}
        if isinstance(one, nn.Linear):
            last.add(one.out_features)
        if isinstance(one, nn.LayerNorm):
            channels_first = getattr(one, "data_format", "") == "channels_first"
            (first if channels_first else last).add(one.normalized_shape[-1])
    if len(shape) == 2:
        return -1
    if (shape[1] in first) != (shape[-1] in last):
        return 1 if shape[1] in first else -1
    return 1 if len(shape) == 4 else -1  # maps, and sequences


def input_units(inputs: Tensor, units: Units) -> Coupled:
    """The units of the input: coarse places of an image or a spectrogram, or of a waveform.

    Raises:
        ValueError: other units than places are asked for.
    """
    if units != "places":
        raise ValueError(f"The input is coupled by its places, and not by its {units}. Attach with units='places'.")
    axis = {4: 2, 3: 1, 2: 1}[inputs.ndim]
    return Coupled(units, axis, tuple(min(side, INPUT_PLACES) for side in inputs.shape[axis:][:2]))
