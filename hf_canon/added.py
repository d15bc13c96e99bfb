"""What was added to a predictor, PEFT's layers or a quadratic lift. No checkpoint has it, so an adapter saves it."""

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from .peft import peft_names

LIFT = "quadratic_lift"
"""The child of a predictor that holds its quadratic lift."""


def added_names(predictor: nn.Module) -> set[str]:
    """The names, in the predictor's state dict, of what was added to it."""
    lift = getattr(predictor, LIFT, None)
    lifted = set() if lift is None else {f"{LIFT}.{name}" for name in lift.state_dict()}
    return peft_names(predictor) | lifted


def freeze_statistics(predictor: nn.Module, frozen: bool = True) -> None:
    """Keep running statistics as the checkpoint has them: they are the base's, and would not be saved. Or let them run
    again."""
    for module in predictor.modules():
        if isinstance(module, _BatchNorm):
            module.train(not frozen)
