"""A short name for the weights of a checkpoint, by which an adapter knows its own again."""

import hashlib

import torch
from torch import Tensor, nn

from .additions import added_names

SAMPLES = 256
"""Values taken of each tensor: a checkpoint that was trained on has changed in nearly all of them."""


def fingerprint(predictor: nn.Module, with_added: bool = False) -> str | None:
    """The precisions of the weights, and a digest of samples of them, without what was added to it unless
    `with_added`.

    None where they are not all at hand as they were saved: sharded, offloaded or quantized.
    """
    added = set() if with_added else added_names(predictor)
    sha = hashlib.sha256()
    precisions = set()
    for name, value in sorted(predictor.state_dict(keep_vars=True).items()):
        if name in added:
            continue
        if type(value) not in (Tensor, nn.Parameter) or value.device.type == "meta":
            return None
        # PEFT has transformed the checkpoint's own weights aside.
        plain = name.replace(".base_layer.", ".").replace(".original_module.", ".")
        flat = value.detach().flatten()
        sample = flat[:: max(1, flat.numel() // SAMPLES)].cpu().contiguous()
        sha.update(f"{plain} {tuple(value.shape)}".encode())
        sha.update(sample.view(torch.uint8).numpy().tobytes())
        if value.is_floating_point():
            precisions.add(str(value.dtype).removeprefix("torch."))
    return f"{'+'.join(sorted(precisions))}:{sha.hexdigest()[:16]}"


def differ(one: str | None, other: str | None) -> bool:
    """Whether two fingerprints belong to different weights; in different precisions nobody can tell."""
    if one is None or other is None or one.partition(":")[0] != other.partition(":")[0]:
        return False
    return one != other
