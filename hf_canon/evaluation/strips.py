"""What a model saw and said: images as they were given and in their canonical form, with both answers.

matplotlib is imported when a figure is drawn, and never through pyplot: nothing global is touched.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..data.images import to_pixel_values
from ..groups import Group
from ..modeling_canonicalized import CanonicalizedModel
from ..predictors.untouched import evaluating
from ..reports.axes import BLUE, FAINT, INK, VERMILLION
from ..reports.plots import draw_scores, new_figure, plot_robustness, scores_size
from ..reports.robustness import RobustnessReport
from ..reports.text import cut
from .display import displayed
from .transforms import AnyTransform, CustomTransform, Transforms, members, parse_transforms

if TYPE_CHECKING:
    from matplotlib.figure import FigureBase

# Inches. Figures are laid out so that their text is legible when a page shows them 900 pixels wide.
CELL = 1.3
"""The square that holds an image of a strip."""
CAPTION = 0.46
"""Room for the answer below an image."""
LEFT = 0.42
"""Room for the name of a row of images."""
GAP = 0.14
"""Between one image's rows and the next one's, and around a strip."""


def plot_strip(
    model: CanonicalizedModel,
    images: Any,
    path: str | Path,
    *,
    processor: Callable[..., Any] | None = None,
    transforms: Transforms = "c8",
    labels: Sequence[int] | None = None,
) -> None:
    """Draw turned images with the untouched answer, and below them their canonical form with the model's answer.

    Args:
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave.
        images: one image or several: PIL, or `pixel_values` `(batch, channels, height, width)`.
        path: an image file.
        processor: makes `pixel_values` from PIL images, and says how to show them again.
        transforms: the columns, as in `evaluate_robustness`.
        labels: the right class of each image. Without them an answer counts as right if it is what the untouched
            model says to the upright image.

    Raises:
        ValueError: an image cannot be prepared, or a transform is unknown.

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
    figure = new_figure(width, height)
    _draw_strip(figure, rows, width, height)
    figure.savefig(path)


def plot_report(
    report: RobustnessReport,
    model: CanonicalizedModel,
    images: Any,
    path: str | Path,
    *,
    processor: Callable[..., Any] | None = None,
    transforms: Transforms | None = None,
    labels: Sequence[int] | None = None,
) -> None:
    """Draw `plot_robustness` and `plot_strip` side by side. Two images and four columns fit a page best.

    Models that do not say what an image is, such as segmenters and what reads audio, have no strip.

    Args:
        report: what `evaluate_robustness` gave.
        model: the model of that report.
        images: images for the strip.
        path: an image file.
        processor: as in `plot_strip`.
        transforms: the columns of the strip; by default four of what the model's group does.
        labels: the right class of each image, as in `plot_strip`.

    Raises:
        ValueError: an image cannot be prepared, or a transform is unknown.

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
    if model.task != "image-classification":
        plot_robustness(report, path)
        return
    rows = _answer(model, images, processor, transforms, labels)
    circle_width, circle_height = scores_size(report)
    strip_width, strip_height = _strip_size(rows)
    height = max(circle_height, strip_height)
    figure = new_figure(circle_width + strip_width, height)
    left, right = figure.subfigures(1, 2, width_ratios=[circle_width, strip_width])  # type: ignore[misc]
    draw_scores(left, report, circle_width, height)
    _draw_strip(right, rows, strip_width, height)
    figure.savefig(path)


@dataclass(frozen=True)
class Cell:
    """One image as it is shown, and what was said about it."""

    image: np.ndarray
    answer: str
    probability: float
    right: bool


@dataclass(frozen=True)
class Row:
    """One source image under every shift: `inputs` untouched, `canonical` as the predictor saw them."""

    shifts: list[AnyTransform]
    inputs: list[Cell]
    canonical: list[Cell]


def _columns(group: Group, transforms: Transforms | None) -> list[AnyTransform]:
    """The shifts of a strip: by default four that show what the group is about."""
    if transforms is not None or group.planar is group:
        sets = parse_transforms((0, 45, 90, 180) if transforms is None else transforms, group)
        return [transform for members in sets.values() for transform in members]
    same, others = ([one for one in members(group) if one.identity == wanted] for wanted in (True, False))
    return [*same, *dict.fromkeys([others[0], others[len(others) // 2], others[-1]])]


def _answer(
    model: CanonicalizedModel,
    images: Any,
    processor: Callable[..., Any] | None,
    transforms: Transforms | None,
    labels: Sequence[int] | None,
) -> list[Row]:
    shifts = _columns(model.group, transforms)
    x = to_pixel_values(images, processor, model.predictor.config).to(model.device, model.dtype)
    if labels is not None and len(labels) != len(x):
        raise ValueError(f"There are {len(x)} images and {len(labels)} labels; give one label for each image.")
    raw = images if isinstance(images, list | tuple) else [images] if not isinstance(images, Tensor) else list(x)

    def transformed(transform: AnyTransform, i: int, image: Tensor) -> Tensor:
        if isinstance(transform, CustomTransform):
            return to_pixel_values(transform.transform.function(raw[i]), processor, model.predictor.config)
        return transform(image)

    rows = []
    with evaluating(model), torch.inference_mode():
        for i, image in enumerate(x.split(1)):
            model.group.check_shape(image.shape)
            right = int(model.predictor(pixel_values=image).logits.argmax()) if labels is None else int(labels[i])
            turned = torch.cat([transformed(transform, i, image) for transform in shifts]).to(x)
            show = displayed(image, processor)
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
        Cell(show(image), _short(str(names.get(answer, answer))), probability, answer == right)
        for image, answer, probability in zip(x, answers.tolist(), probabilities.tolist(), strict=True)
    ]


def _short(label: str, width: int = 16) -> str:
    # ImageNet names a class by all of its synonyms.
    return cut(label.split(",")[0], width)


def _fitting(name: str) -> float:
    """The size of letters in which a name fits above an image."""
    return min(11.0, 11.0 * 14 / len(name))


def _strip_size(rows: list[Row]) -> tuple[float, float]:
    """Inches."""
    return LEFT + CELL * len(rows[0].shifts) + GAP, 0.4 + len(rows) * 2 * (CELL + CAPTION) + (len(rows) - 1) * GAP


def _draw_strip(figure: "FigureBase", rows: list[Row], width: float, height: float) -> None:
    """In the middle of a figure of `width` by `height` inches."""
    top = (height + _strip_size(rows)[1]) / 2 - 0.4
    for column, transform in enumerate(rows[0].shifts):
        middle = (LEFT + CELL * (column + 0.5)) / width
        figure.text(
            middle, (top + 0.08) / height, transform.name, ha="center", fontsize=_fitting(transform.name), color=INK
        )
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
    axes.imshow(cell.image, cmap="gray", vmin=0, vmax=1)
    color = BLUE if cell.right else VERMILLION
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color=color, linewidth=1.8)
    mark = "\N{CHECK MARK}" if cell.right else "\N{BALLOT X}"
    middle = (x + side / 2) / width
    figure.text(middle, (y - 0.06) / height, f"{mark} {cell.answer}", ha="center", va="top", fontsize=9.5, color=color)
    figure.text(middle, (y - 0.24) / height, f"{100 * cell.probability:.0f} %", ha="center", va="top", fontsize=9,
                color=FAINT)  # fmt: skip
