"""Figures of an evaluation: scores around the circle, and what the model saw and said.

matplotlib is imported when a figure is drawn, and never through pyplot: nothing global is touched.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from ..pictures import to_pixel_values
from .report import BASELINES, RobustnessReport, TransformResult
from .robustness import evaluating
from .transforms import Shift, Transforms, parse_transforms

if TYPE_CHECKING:
    from matplotlib.figure import Figure, FigureBase
    from matplotlib.projections.polar import PolarAxes

# Okabe and Ito's colours, told apart by colour-blind eyes; lines differ in dash or weight as well.
BLUE, VERMILLION, INK, FAINT = "#0072B2", "#D55E00", "#222222", "#767676"
STYLES: dict[str, dict[str, Any]] = {
    "orbit_mean": {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (1, 1.2)), "zorder": 2},
    "most_confident": {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (4, 1.8)), "zorder": 2},
    "oracle": {"color": FAINT, "linewidth": 0.9, "linestyle": "-", "zorder": 2},
    "before": {"color": VERMILLION, "linewidth": 2.0, "marker": "s", "markersize": 3.8, "zorder": 3},
    "after": {"color": BLUE, "linewidth": 2.4, "marker": "o", "markersize": 4.6, "zorder": 4},
}
NAMES = {"after": "canonicalized", "before": "untouched", **BASELINES}
DPI = 160

# Inches. Figures are laid out so that their text is legible when a page shows them 900 pixels wide.
CIRCLE = 4.3
"""The square that holds a circle and its labels."""
LINE = 0.23
"""From one line of the table below the circle to the next."""
CELL = 1.3
"""The square that holds a picture of a strip."""
CAPTION = 0.46
"""Room for the answer below a picture."""
LEFT = 0.42
"""Room for the name of a row of pictures."""
GAP = 0.14
"""Between one picture's rows and the next one's, and around a strip."""


def plot_robustness(report: RobustnessReport, path: str | Path) -> None:
    """Draw the scores around the circle, untouched and canonicalized, with the baselines faint behind them.

    The distance from the centre is the accuracy, or the agreement where there are no labels; the direction is the
    angle by which pictures were turned. Mirrored pictures have a circle of their own.

    Args:
        report: what `evaluate_robustness` gave.
        path: an image file; its suffix (png, svg, pdf) says which kind.

    Example:
        >>> import tempfile
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> from hf_canon import evaluate_robustness
        >>> report = evaluate_robustness(model, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_robustness(report, f"{folder}/circle.png")
    """
    width, height = _circles_size(report)
    figure = _figure(width, height)
    _draw_circles(figure, report, width, height)
    figure.savefig(path)


def plot_strip(
    model: CanonicalizedModel,
    images: Any,
    path: str | Path,
    *,
    processor: Callable[..., Any] | None = None,
    transforms: Transforms = "c8",
    labels: Sequence[int] | None = None,
) -> None:
    """Draw turned pictures with the untouched answer, and below them their canonical form with the model's answer.

    Args:
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave.
        images: one picture or several: PIL, or `pixel_values` `(batch, channels, height, width)`.
        path: an image file.
        processor: makes `pixel_values` from PIL pictures, and says how to show them again.
        transforms: the columns, as in `evaluate_robustness`.
        labels: the right class of each picture. Without them an answer counts as right if it is what the untouched
            model says to the upright picture.

    Raises:
        ValueError: a picture cannot be prepared, or a transform is unknown.

    Example:
        >>> import tempfile
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_strip(model, torch.rand(2, 3, 16, 16), f"{folder}/strip.png", transforms="c4")
    """
    rows = _answer(model, images, processor, transforms, labels)
    width, height = _strip_size(rows)
    figure = _figure(width, height)
    _draw_strip(figure, rows, width, height)
    figure.savefig(path)


def plot_report(
    report: RobustnessReport,
    model: CanonicalizedModel,
    images: Any,
    path: str | Path,
    *,
    processor: Callable[..., Any] | None = None,
    transforms: Transforms = (0, 45, 90, 180),
    labels: Sequence[int] | None = None,
) -> None:
    """Draw `plot_robustness` and `plot_strip` side by side. Two pictures and four columns fit a page best.

    Args:
        report: what `evaluate_robustness` gave.
        model: the model of that report.
        images: pictures for the strip.
        path: an image file.
        processor: as in `plot_strip`.
        transforms: the columns of the strip.
        labels: the right class of each picture, as in `plot_strip`.

    Raises:
        ValueError: a picture cannot be prepared, or a transform is unknown.

    Example:
        >>> import tempfile
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> from hf_canon import evaluate_robustness
        >>> report = evaluate_robustness(model, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     plot_report(report, model, torch.rand(1, 3, 16, 16), f"{folder}/report.png")
    """
    rows = _answer(model, images, processor, transforms, labels)
    circle_width, circle_height = _circles_size(report)
    strip_width, strip_height = _strip_size(rows)
    height = max(circle_height, strip_height)
    figure = _figure(circle_width + strip_width, height)
    left, right = figure.subfigures(1, 2, width_ratios=[circle_width, strip_width])  # type: ignore[misc]
    _draw_circles(left, report, circle_width, height)
    _draw_strip(right, rows, strip_width, height)
    figure.savefig(path)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


# -- the circle -------------------------------------------------------------------------------------------------------


def _circles(report: RobustnessReport) -> dict[bool, list[TransformResult]]:
    """The transforms of all sets, each once, sorted by angle: those without a mirror and those with one."""
    found: dict[bool, dict[float, TransformResult]] = {}
    for members in report.sets.values():
        for row in members.transforms:
            found.setdefault(row.mirrored, {})[row.angle] = row
    return {mirrored: [rows[angle] for angle in sorted(rows)] for mirrored, rows in sorted(found.items())}


def _circles_size(report: RobustnessReport) -> tuple[float, float]:
    """Inches."""
    return CIRCLE * len(_circles(report)), 0.3 + CIRCLE + LINE * (len(report.upright.scores) + 1) + 0.2


def _draw_circles(figure: "FigureBase", report: RobustnessReport, width: float, height: float) -> None:
    """In the middle of a figure of `width` by `height` inches."""
    circles = _circles(report)
    top = (height + _circles_size(report)[1]) / 2
    what = "Accuracy" if report.labelled else "Agreement with the upright answer"
    figure.text(0.5, (top - 0.15) / height, f"{what} by rotation", ha="center", va="top", fontsize=13, color=INK)
    methods = [method for method in STYLES if method in report.upright.scores]
    handles: dict[str, Any] = {}
    diameter = CIRCLE - 1.0
    bottom = top - 0.3 - CIRCLE
    for column, (mirrored, rows) in enumerate(circles.items()):
        corner = ((CIRCLE * column + 0.5) / width, (bottom + 0.42) / height)
        axes: PolarAxes = figure.add_axes(  # type: ignore[assignment]
            (*corner, diameter / width, diameter / height), projection="polar"
        )
        _style_circle(axes, "mirrored" if mirrored else "upright")
        around = [math.radians(row.angle) for row in [*rows, rows[0]]]
        for method in methods:
            values = [100 * row.scores[method].value for row in [*rows, rows[0]]]
            (handles[method],) = axes.plot(around, values, **STYLES[method])
            if method == "before":
                axes.fill(around, values, color=VERMILLION, alpha=0.10, linewidth=0)
    _draw_means(figure, report, handles, (width, height), bottom)


def _draw_means(
    figure: "FigureBase", report: RobustnessReport, handles: dict[str, Any], size: tuple[float, float], top: float
) -> None:
    """The legend: a table with a line for each method."""
    from matplotlib.lines import Line2D

    width, height = size
    columns = {"upright": report.upright.scores, **{each.title: each.mean for each in report.sets.values()}}
    step = min(0.8, (width - 2.1) / len(columns))
    start = (width - 1.75 - step * len(columns)) / 2
    rights = [start + 1.75 + step * (column + 1) for column in range(len(columns))]

    def write(x: float, y: float, text: str, **style: Any) -> None:
        figure.text(x / width, y / height, text, va="center", **{"fontsize": 9.5, "color": INK, **style})

    y = top - LINE / 2
    write(start + 0.5, y, "mean in %", color=FAINT)
    for right, title in zip(rights, columns, strict=True):
        write(right, y, title, ha="right", color=FAINT)
    for method in (method for method in NAMES if method in handles):
        y -= LINE
        style = {key: value for key, value in STYLES[method].items() if key != "zorder"}
        figure.add_artist(Line2D([start / width, (start + 0.38) / width], [y / height] * 2, **style))
        weight = "bold" if method == "after" else "normal"
        write(start + 0.5, y, NAMES[method], fontweight=weight)
        for right, scores in zip(rights, columns.values(), strict=True):
            write(right, y, f"{100 * scores[method].value:.1f}", ha="right", fontweight=weight)


def _style_circle(axes: "PolarAxes", top: str) -> None:
    axes.set_theta_zero_location("N")
    axes.set_ylim(0, 100)
    axes.set_xticks([math.radians(angle) for angle in range(0, 360, 45)])
    axes.set_xticklabels([top, *(f"{angle}\N{DEGREE SIGN}" for angle in range(45, 360, 45))])
    axes.set_yticks([25, 50, 75, 100])
    axes.set_yticklabels(["25", "50", "", "100 %"])  # most curves pass near 75
    axes.set_rlabel_position(247.5)
    axes.tick_params(axis="x", labelsize=10, labelcolor=INK, pad=2)
    axes.tick_params(axis="y", labelsize=8, labelcolor=FAINT)
    for label in axes.get_yticklabels():
        label.set_bbox({"facecolor": "white", "edgecolor": "none", "alpha": 0.7, "pad": 0.6})
    axes.grid(color="#E3E3E3", linewidth=0.8)
    axes.spines["polar"].set_color("#C8C8C8")
    axes.set_axisbelow(True)


# -- the strip --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """One picture as it is shown, and what was said about it."""

    picture: np.ndarray
    answer: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Row:
    """One source picture under every shift: `inputs` untouched, `canonical` as the predictor saw them."""

    shifts: list[Shift]
    inputs: list[Cell]
    canonical: list[Cell]


def _answer(
    model: CanonicalizedModel,
    images: Any,
    processor: Callable[..., Any] | None,
    transforms: Transforms,
    labels: Sequence[int] | None,
) -> list[Row]:
    shifts = [shift for members in parse_transforms(transforms).values() for shift in members]
    x = to_pixel_values(images, processor, model.predictor.config).to(model.device, model.dtype)
    if labels is not None and len(labels) != len(x):
        raise ValueError(f"There are {len(x)} pictures and {len(labels)} labels; give one label for each picture.")
    rows = []
    with evaluating(model), torch.inference_mode():
        for i, picture in enumerate(x.split(1)):
            model.group.check_shape(picture.shape)
            right = int(model.predictor(pixel_values=picture).logits.argmax()) if labels is None else int(labels[i])
            turned = torch.cat([shift(picture) for shift in shifts])
            show = _display(picture, processor)
            outputs = model(pixel_values=turned)
            untouched = model.predictor(pixel_values=turned)
            canonical = outputs.canonicalization.canonical
            rows.append(
                Row(
                    shifts,
                    _cells(model, turned, untouched.logits, right, show),
                    _cells(model, canonical, outputs.logits, right, show),
                )
            )
    return rows


def _cells(
    model: CanonicalizedModel, x: Tensor, logits: Tensor, right: int, show: Callable[[Tensor], np.ndarray]
) -> list[Cell]:
    names = model.predictor.config.id2label or {}
    probabilities, answers = logits.float().softmax(-1).max(-1)
    return [
        Cell(show(picture), _short(str(names.get(answer, answer))), probability, answer == right)
        for picture, answer, probability in zip(x, answers.tolist(), probabilities.tolist(), strict=True)
    ]


def _display(reference: Tensor, processor: Callable[..., Any] | None) -> Callable[[Tensor], np.ndarray]:
    """From pixel values back to a picture: by the processor's mean and deviation, or by the range of the reference."""
    mean, deviation = (getattr(processor, name, None) for name in ("image_mean", "image_std"))
    if not getattr(processor, "do_normalize", True):
        mean, deviation = 0.0, 1.0
    if mean is None or deviation is None:
        mean = float(reference.min())
        deviation = max(float(reference.max()) - mean, 1e-6)

    def show(picture: Tensor) -> np.ndarray:
        scale, offset = (torch.as_tensor(value).reshape(-1, 1, 1) for value in (deviation, mean))
        shown = (picture.float().cpu() * scale + offset).clamp(0, 1)
        return (shown if len(shown) in (1, 3) else shown[:1]).permute(1, 2, 0).numpy()

    return show


def _short(label: str, width: int = 16) -> str:
    # ImageNet names a class by all of its synonyms.
    name = label.split(",")[0]
    return name if len(name) <= width else name[: width - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _strip_size(rows: list[Row]) -> tuple[float, float]:
    """Inches."""
    return LEFT + CELL * len(rows[0].shifts) + GAP, 0.4 + len(rows) * 2 * (CELL + CAPTION) + (len(rows) - 1) * GAP


def _draw_strip(figure: "FigureBase", rows: list[Row], width: float, height: float) -> None:
    """In the middle of a figure of `width` by `height` inches."""
    top = (height + _strip_size(rows)[1]) / 2 - 0.4
    for column, shift in enumerate(rows[0].shifts):
        middle = (LEFT + CELL * (column + 0.5)) / width
        figure.text(middle, (top + 0.08) / height, shift.name, ha="center", fontsize=11, color=INK)
    for row in rows:
        for name, cells in (("untouched", row.inputs), ("canonicalized", row.canonical)):
            top -= CELL
            beside = ((LEFT - 0.12) / width, (top + CELL / 2) / height)
            figure.text(*beside, name, rotation=90, ha="right", va="center", fontsize=10.5, color=INK)
            for column, cell in enumerate(cells):
                _draw_cell(figure, cell, (LEFT + CELL * column + 0.05, top + 0.05), (width, height))
            top -= CAPTION
        top -= GAP


def _draw_cell(figure: "FigureBase", cell: Cell, corner: tuple[float, float], size: tuple[float, float]) -> None:
    (x, y), (width, height), side = corner, size, CELL - 0.1
    axes = figure.add_axes((x / width, y / height, side / width, side / height))
    axes.imshow(cell.picture, cmap="gray", vmin=0, vmax=1)
    color = BLUE if cell.right else VERMILLION
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.8)
    mark = "\N{CHECK MARK}" if cell.right else "\N{BALLOT X}"
    middle = (x + side / 2) / width
    figure.text(middle, (y - 0.06) / height, f"{mark} {cell.answer}", ha="center", va="top", fontsize=9.5, color=color)
    figure.text(middle, (y - 0.24) / height, f"{100 * cell.probability:.0f} %", ha="center", va="top", fontsize=9,
                color=FAINT)  # fmt: skip
