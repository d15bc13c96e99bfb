"""How the figures look, and where one lands."""

from pathlib import Path

from matplotlib.figure import Figure

BLUE, VERMILLION, INK, FAINT = "#0072B2", "#D55E00", "#222222", "#767676"
DPI = 160


def save(figure: Figure, path: Path, dpi: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)
    print(f"\nDrawn in {path}")
