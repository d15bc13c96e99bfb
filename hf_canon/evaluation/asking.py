"""What a measurement is made of: a checkpoint behind a canonicalizer, and what a reader calls it."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..groups import Group
from ..modeling_canonicalized import CanonicalizedModel


def wrapped(checkpoint: Any, group: str | Group | None, processor: Any) -> CanonicalizedModel:
    """A checkpoint behind an untrained canonicalizer that nobody asks. What is loaded here goes to this machine's
    accelerator, if it has one."""
    described = processor if hasattr(processor, "save_pretrained") else None  # and no function of one's own
    model = CanonicalizedModel.wrap(checkpoint, group=group, processor=described)
    device = torch.accelerator.current_accelerator(check_available=True)
    if device is not None and not isinstance(checkpoint, nn.Module):
        model.to(device)  # type: ignore[arg-type]
    return model


def name_of(model: CanonicalizedModel) -> str:
    """What a reader calls the predictor: its Hub id, its folder from here, or its class."""
    name = model.config.base_name_or_path or type(model.predictor).__name__
    folder = Path(name)
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else name


def shareable(name: str) -> str:
    """A name that says nothing about this machine: of a folder that is not below this one, its own name."""
    return Path(name).name if Path(name).is_absolute() else name
