"""Which layers of a frozen checkpoint something is attached to."""

import re
from collections.abc import Sequence
from typing import TypeGuard

from torch import nn
from torch.nn.modules.linear import NonDynamicallyQuantizableLinear

Layer = nn.Linear | nn.Conv1d | nn.Conv2d


def target_layers(model: nn.Module, target_modules: Sequence[str] | str | None, added: set[str]) -> dict[str, Layer]:
    """The layers of those names; every layer that can be lifted, if None.

    Args:
        model: is searched.
        target_modules: ends of names (`["q_proj", "fc1"]`), or one regular expression that the whole name matches, as
            in PEFT.
        added: names of parameters that are not the checkpoint's own, whose layers are passed over.

    Raises:
        ValueError: there is no such layer, or one that cannot be lifted.
    """
    own = {
        name: module
        for name, module in model.named_modules()
        if name
        and "original_module" not in name.split(".")  # which PEFT keeps, and does not call
        and not any(f"{name}.{parameter}" in added for parameter, _ in module.named_parameters())
    }
    chosen = {name: module for name, module in own.items() if target_modules is None or matches(name, target_modules)}
    if target_modules is not None:
        for name, module in chosen.items():
            require_layer(name, module)
    layers = {name: module for name, module in chosen.items() if is_layer(module)}
    if not layers:
        known = sorted({name.rpartition(".")[2] for name, module in own.items() if is_layer(module)})
        raise ValueError(
            f"No layer of {type(model).__name__} matches target_modules={target_modules!r}. Those that can be lifted "
            f"end in {', '.join(known[:12]) or 'nothing at all'}."
        )
    return layers


def layers_of_names(model: nn.Module, names: Sequence[str]) -> dict[str, Layer]:
    """The layers of those plain names, wherever PEFT has transformed them meanwhile.

    Raises:
        ValueError: there is no such layer, or it cannot be lifted.
    """
    found = modules_of_names(model, names, "quadratic lift")
    for name, module in found.items():
        require_layer(name, module)
    return found  # type: ignore[return-value]


def modules_of_names(model: nn.Module, names: Sequence[str], noun: str) -> dict[str, nn.Module]:
    """The modules of those plain names, wherever PEFT has transformed them meanwhile.

    Raises:
        ValueError: there is no such module.
    """
    found = {plain_name(name): module for name, module in model.named_modules()}
    for name in names:
        if name not in found:
            raise ValueError(
                f"The {noun} belongs to a model with a layer {name!r}, and this {type(model).__name__} has "
                "none. Load the checkpoint that it was trained on."
            )
    return {name: found[name] for name in names}


def plain_name(name: str) -> str:
    """The name of a module in the checkpoint, before PEFT transformed it aside."""
    return name.replace(".base_layer", "")


def matches(name: str, target_modules: Sequence[str] | str) -> bool:
    if isinstance(target_modules, str):
        try:
            return re.fullmatch(target_modules, name) is not None
        except re.error as error:
            raise ValueError(
                f"target_modules={target_modules!r} is no regular expression ({error}). Give one that whole names "
                r"match, such as r'.*\.fc1', or a list of their ends."
            ) from error
    return any(name == end or name.endswith(f".{end}") for end in target_modules)


def require_layer(name: str, module: nn.Module) -> None:
    """Raise ValueError if that is no layer that can be lifted."""
    if not is_layer(module):
        raise ValueError(
            f"{name} is a {type(module).__name__}, and what can be lifted is a Linear, Conv1d or Conv2d of torch that "
            "is called as one, computes as one, and is not in groups. Leave it out, or name others."
        )


def is_layer(module: nn.Module) -> TypeGuard[Layer]:
    """Whether a module is a linear layer that a hook can be put on: one that is called, and computes as its kind does.

    A low rank saves nothing in a convolution in groups, which has few inputs for each output as it is.
    """
    if isinstance(module, NonDynamicallyQuantizableLinear):  # attention reads its weights without a call
        return False
    kind = next((kind for kind in (nn.Linear, nn.Conv1d, nn.Conv2d) if isinstance(module, kind)), None)
    return kind is not None and type(module).forward is kind.forward and getattr(module, "groups", 1) == 1
