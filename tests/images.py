"""Images that look like something, made on the spot: several scales, colours, no symmetry."""

import torch
import torch.nn.functional as F
from torch import Tensor


def images(batch: int, size: int, channels: int = 3, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    layers = [
        F.interpolate(torch.randn(batch, channels, cells, cells, generator=generator), size, mode="bicubic")
        / cells**0.5
        for cells in (2, 4, 9)
    ]
    return torch.stack(layers).sum(0)
