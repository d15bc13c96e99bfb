"""Figures of an evaluation: scores around the circle or along a line, and distances from reference data.

matplotlib is imported when a figure is drawn, and never through pyplot: nothing global is touched.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .axes import FAINT, INK, MARKERS, NAMES, STYLES, draw_shift, panels
from .distribution_shift import ShiftReport
from .robustness import RobustnessReport
from .text import cut

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase

DPI = 160

# Inches. Figures are laid out so that their text is legible when a page shows them 900 pixels wide.
CIRCLE = 4.3
"""The square that holds a circle and its labels."""
MARGINS = {"circle": (0.5, 0.42, 0.5, 0.58), "line": (0.62, 0.6, 0.3, 0.65), "rows": (1.45, 0.6, 0.3, 0.65)}
"""Around the drawing in it, from the left against the clock: the names of elements take room."""
LINE = 0.23
"""From one line of the table below the circle to the next."""


def plot_robustness(report: RobustnessReport, path: str | Path) -> None:
    """Draw the scores around the circle, untouched and canonicalized, with the baselines faint behind them.

    The distance from the centre is the accuracy, or the agreement where there are no labels; the direction is the
    angle by which images were turned. Mirrored images have a circle of their own. What is no rotation has a plot
    with a line for each element; elements of a continuous group, such as semitones, stand on an axis.

    Args:
        report: what `evaluate_robustness` gave.
        path: an image file; its suffix (png, svg, pdf) says which kind.

    Example:
        >>> import tempfile, torch
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> from hf_canon import evaluate_robustness
        >>> report = evaluate_robustness(model, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_robustness(report, f"{folder}/circle.png")
    """
    width, height = scores_size(report)
    figure = new_figure(width, height)
    draw_scores(figure, report, width, height)
    figure.savefig(path)


def plot_shift(report: ShiftReport, path: str | Path) -> None:
    """Draw how far incoming data are from the reference: as they came, canonicalized, and modulo the group.

    The grey bars are what 95 % of random divisions stay below; a point is filled where a shift can be seen.

    Args:
        report: what `distribution_shift` gave.
        path: an image file; its suffix (png, svg, pdf) says which kind.

    Example:
        >>> import tempfile
        >>> from hf_canon.evaluation import Distance, ShiftReport, Side
        >>> report = ShiftReport("vit", "c4", Side(90, 90), Side(80, 80), "images", "logits", 4, 999,
        ...                      plain=Distance(0.25, 0.1, 0.001), canonicalized=None, modulo=Distance(0.01, 0.1, 0.4))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_shift(report, f"{folder}/shift.png")
    """
    width, height = 6.0, 1.15 + 0.45 * len(report.rows)
    figure = new_figure(width, height)
    axes = figure.add_axes((1.55 / width, 0.55 / height, 4.2 / width, 0.45 * len(report.rows) / height))
    draw_shift(axes, report)
    title = f"How far incoming {report.unit} are from the reference"
    figure.text(0.5, 1 - 0.15 / height, title, ha="center", va="top", fontsize=11, color=INK)
    figure.savefig(path)


def new_figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


# -- the scores -------------------------------------------------------------------------------------------------------


def scores_size(report: RobustnessReport) -> tuple[float, float]:
    """Inches."""
    return CIRCLE * len(panels(report)), 0.3 + CIRCLE + LINE * (len(report.upright.scores) + 1) + 0.2


def draw_scores(figure: "FigureBase", report: RobustnessReport, width: float, height: float) -> None:
    """In the middle of a figure of `width` by `height` inches."""
    drawn = panels(report)
    top = (height + scores_size(report)[1]) / 2
    if report.graded:
        what = report.measure[0].upper() + report.measure[1:]
        what = what if report.labelled else f"{what} with the upright answer"
    else:
        what = "Accuracy" if report.labelled else "Agreement with the upright answer"
    title = f"{what} by rotation" if all(panel.shape == "circle" for panel in drawn) else what
    figure.text(0.5, (top - 0.15) / height, title, ha="center", va="top", fontsize=13, color=INK)
    bottom = top - 0.3 - CIRCLE
    for column, panel in enumerate(drawn):
        left, below, right, above = MARGINS[panel.shape]
        corner = ((CIRCLE * column + left) / width, (bottom + below) / height)
        axes = panel.draw(figure, (*corner, (CIRCLE - left - right) / width, (CIRCLE - below - above) / height))
        if panel.shape != "circle":
            axes.set_title(panel.title, fontsize=10.5, color=INK)
    _draw_means(figure, report, (width, height), bottom)


def _draw_means(figure: "FigureBase", report: RobustnessReport, size: tuple[float, float], top: float) -> None:
    """The legend: a table with a line for each method."""
    from matplotlib.lines import Line2D

    width, height = size
    means = {cut(each.title, 14): each.mean for each in report.sets.values()}
    columns = {"upright": report.upright.scores, **means}
    widest = 0.2 + 0.075 * max(map(len, columns))
    step = min(max(0.8, widest), (width - 2.1) / len(columns))
    start = (width - 1.75 - step * len(columns)) / 2
    rights = [start + 1.75 + step * (column + 1) for column in range(len(columns))]

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / width, y / height, text, va="center", **{"fontsize": 9.5, "color": INK, **style})

    y = top - LINE / 2
    write(start + 0.5, y, "mean in %", color=FAINT)
    for right, title in zip(rights, columns, strict=True):
        write(right, y, title, ha="right", color=FAINT)
    rows = [panel.shape == "rows" for panel in panels(report)]
    for method in (method for method in NAMES if method in report.upright.scores):
        y -= LINE
        drawn = {key: value for key, value in STYLES[method].items() if key != "zorder"}
        ends = [start / width, (start + 0.38) / width]
        if any(rows):
            drawn |= {"marker": MARKERS[method], "markersize": 5.5}
        if all(rows):
            drawn |= {"linestyle": "none"}
            ends = [(start + 0.19) / width]
        figure.add_artist(Line2D(ends, [y / height] * len(ends), **drawn))
        weight = "bold" if method == "after" else "normal"
        write(start + 0.5, y, NAMES[method], fontweight=weight)
        for right, scores in zip(rights, columns.values(), strict=True):
            write(right, y, f"{100 * scores[method].value:.1f}", ha="right", fontweight=weight)
