"""Samples to look at: random ones, and one noise in every pose."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..groups import Group, Images

ROWS, COLUMNS, GAP = 6, 8, 3


@torch.no_grad()
def draw_samples(generator: Any, path: Path, seed: int = 0) -> None:
    """Draw a grid into a file: rows of random samples and, for an invariant generator, a last row of one noise,
    transformed by elements of the group.

    Args:
        generator: an `InvariantGenerator`.
        path: of the image.
        seed: of noise and elements, so that grids of one training can be compared.
    """
    group, drawn = generator.group, torch.Generator().manual_seed(seed)
    rows = list(generator.sample(ROWS * COLUMNS, drawn).split(COLUMNS))
    if generator.config.symmetry != "none":
        elements = some_elements(group)
        noise = torch.randn(1, generator.latent_size, generator=drawn).expand(len(elements), -1)
        rows.append(generator(noise.to(generator.device, generator.dtype), elements).samples)
    rows = [row.float().cpu() for row in rows]
    if isinstance(group.kind, Images):
        tiled(rows).save(path)
    else:
        plotted(rows).savefig(path, dpi=80)


def some_elements(group: Group) -> Tensor:
    """As many as fit in a row, evenly spread."""
    if not group.finite:
        return group.grid(COLUMNS)
    elements = group.elements
    return elements[torch.linspace(0, len(elements) - 1, min(len(elements), COLUMNS)).round().long()]


def tiled(rows: list[Tensor]) -> Image.Image:
    """Images beside and below each other, at twice their size or more; a gap before the last row."""
    channels, height, width = rows[0].shape[1:]
    scale = max(1, round(64 / max(height, width)))
    grid = Image.new("RGB", (COLUMNS * (width * scale + GAP), len(rows) * (height * scale + GAP) + 3 * GAP), "white")
    for down, row in enumerate(rows):
        for across, sample in enumerate(row):
            values = (255 * sample.clamp(0, 1)).round().byte()
            shown = Image.fromarray(values[0].numpy() if channels == 1 else values[:3].movedim(0, -1).numpy())
            gap = 3 * GAP if down == len(rows) - 1 and len(rows) > ROWS else 0
            place = (across * (width * scale + GAP), down * (height * scale + GAP) + gap)
            grid.paste(shown.resize((width * scale, height * scale), Image.Resampling.NEAREST), place)
    return grid


def plotted(rows: list[Tensor]) -> Any:
    """Waveforms as lines, and spectrograms with time from left to right."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, len(rows)))
    for down, row in enumerate(rows):
        for across, sample in enumerate(row):
            axis = figure.add_axes((across / COLUMNS, 1 - (down + 1) / len(rows), 0.95 / COLUMNS, 0.9 / len(rows)))
            axis.axis("off")
            if sample.ndim == 1:
                axis.plot(sample.numpy(), linewidth=0.5)
                axis.set_ylim(-1, 1)
            else:
                axis.imshow(sample.T.numpy(), aspect="auto", origin="lower")
    return figure
