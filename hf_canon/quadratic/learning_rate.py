"""The second half of ReLinear (arXiv 2110.06081): what is of second order learns more slowly than the rest."""

from torch import nn
from torch.optim import Optimizer

from .neuron import SecondOrder


def second_order_parameters(model: nn.Module) -> list[nn.Parameter]:
    """Those of quadratic neurons that linear ones do not have, and those of a quadratic lift."""
    found = (module.second_order() for module in model.modules() if isinstance(module, SecondOrder))
    return [parameter for of_module in found for parameter in of_module]


def slow_second_order(optimizer: Optimizer, model: nn.Module, ratio: float = 0.1) -> None:
    """Give what is of second order a learning rate of its own, as parameter groups beside those that there are.

    Call it once, before a scheduler is made, which then scales all of them alike. `CanonicalizationTrainer` does so
    itself, by `quadratic_lr_ratio`.

    Args:
        optimizer: of the model; changed in place.
        model: its quadratic neurons are found.
        ratio: of the learning rates. Published ones lie between 1e-4 and 2; stacks deeper than four layers without
            norms need a small one.

    Raises:
        ValueError: the ratio is negative, or the optimizer has no learning rate.

    Example:
        >>> import torch
        >>> from hf_canon.quadratic import QuadraticLinear
        >>> model = nn.Sequential(QuadraticLinear(4, 2), nn.Linear(2, 2))
        >>> optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
        >>> slow_second_order(optimizer, model, ratio=0.1)
        >>> [(group["lr"], len(group["params"])) for group in optimizer.param_groups]
        [(0.01, 4), (0.001, 4)]
    """
    if ratio < 0:
        raise ValueError(f"A learning rate cannot be {ratio} times another. Give ratio=0.1, say, or 0 to freeze it.")
    slow = {id(parameter) for parameter in second_order_parameters(model)}
    for group in list(optimizer.param_groups):
        transformed = [parameter for parameter in group["params"] if id(parameter) in slow]
        if not transformed:
            continue
        if group["lr"] is None:
            raise ValueError(
                f"This {type(optimizer).__name__} chooses its learning rates itself, and none can be a share of "
                "another. Give it lr=1e-3, say."
            )
        group["params"] = [parameter for parameter in group["params"] if id(parameter) not in slow]
        optimizer.add_param_group({**group, "params": transformed, "lr": group["lr"] * ratio})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
