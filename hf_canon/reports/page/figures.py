"""The figures of the page, each a small drawing of its own, so that they stand beside or below each other.

They are vector graphics whose colours follow the reader's light or dark scheme. matplotlib is imported when a figure
is drawn, and never through pyplot: nothing global is touched.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from ..axes import (
    BLUE,
    FAINT,
    FRAME,
    GRID,
    INK,
    NAMES,
    PERCENT,
    VERMILLION,
    draw_shift,
    panels,
    style,
)
from ..diagnosis import Confusion, Diversity, Reliability, RiskCurve, SetSizes
from ..distribution_shift import ShiftReport
from ..robustness import RobustnessReport, TransformResult
from ..text import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

WIDTH = 3.6
"""Inches, of most figures: as wide as a phone shows without shrinking letters."""
HEIGHT = 2.7
ORDERS = {"pose": "confidence in the pose", "answer": "probability of the answer"}
"""By what answers are sorted in a risk-coverage curve."""
LABELLED = 16
"""Elements whose names all fit along an axis."""

# Every colour that is drawn, and what it becomes in the dark. Contrast with the paper is 4.5 at least for letters.
PAPER = "#ffffff"
DARK = {
    PAPER: "#1b1f24",
    INK: "#e6e6e6",
    FAINT: "#a3a8ae",
    GRID: "#33393f",
    FRAME: "#4a5158",
    BLUE: "#58b0ea",
    VERMILLION: "#ff9150",
}


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Args:
        uri: the drawing itself, as a data URI.
        alt: what it shows, in words and numbers, for who cannot see it.
        caption: below it.
        width: CSS pixels.
        height: CSS pixels.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int


def draw_scores(report: RobustnessReport) -> list[Figure]:
    """The scores around the circle, along a line, or beside the names of the elements: a figure for each."""
    figures = []
    for panel in panels(report):
        if panel.shape == "circle":
            height, place = WIDTH, (0.14, 0.12, 0.72, 0.72)
            name = "mirrored, then turned" if panel.title == "mirrored" else "turned"
            caption = f"Inputs {name} by so many degrees"
        else:
            line = panel.shape == "line"
            height = HEIGHT if line else max(HEIGHT * 0.6, 0.75 + 0.21 * min(len(panel.rows), 24))
            left = 0.13 if line else 0.36
            place = (left, 0.5 / height, 0.93 - left, 1 - 0.65 / height)
            name, caption = panel.title, f"Over {panel.title}"
        drawing = canvas(WIDTH, height)
        panel.draw(drawing, place).set_facecolor("none")
        figures.append(finished(drawing, described(name, panel.rows), caption))
    return figures


def has_rows(report: RobustnessReport) -> bool:
    """Whether some scores stand beside the names of elements, where no line joins them."""
    return any(panel.shape == "rows" for panel in panels(report))


def legend(report: RobustnessReport) -> list[tuple[str, str, str]]:
    """For each line of the score figures: its method, its name, and what it means."""
    means = {
        "after": "the checkpoint behind the canonicalizer",
        "before": "the checkpoint alone",
        "oracle": "the checkpoint, told the true pose: the best that finding it can do",
        "orbit_mean": "the checkpoint asked in every pose, and its answers averaged",
        "most_confident": "the checkpoint asked in every pose, and its surest answer taken",
    }
    return [(method, NAMES[method], means[method]) for method in NAMES if method in report.upright.scores]


def draw_reliability(found: Reliability) -> Figure:
    """Confidence against the share right, with the number of answers below."""
    drawing = canvas(WIDTH, HEIGHT + 0.55)
    top = axes_in(drawing, (0.2, 0.36, 0.75, 0.6))
    top.plot([0, 1], [0, 1], color=FAINT, linewidth=1.1, linestyle=(0, (4, 2)))
    where = [one.confidence for one in found.bins]
    right = [one.right for one in found.bins]
    top.vlines(where, where, right, color=VERMILLION, linewidth=2.2, zorder=3)
    top.plot(where, right, color=BLUE, linewidth=1.8, marker="o", markersize=5, zorder=4, clip_on=False)
    below = axes_in(drawing, (0.2, 0.14, 0.75, 0.15))
    below.bar([(one.low + one.high) / 2 for one in found.bins], [one.answers for one in found.bins], 0.085, color=BLUE)
    for axes in (top, below):
        axes.set_xlim(0, 1)
    top.set_ylim(0, 1)
    top.set_xticks(np.linspace(0, 1, 6), [])
    top.set_yticks(np.linspace(0, 1, 5), ["0", "25", "50", "75", "100 %"])
    below.set_xticks(np.linspace(0, 1, 6), ["0", "20", "40", "60", "80", "100 %"])
    below.set_yticks([])
    below.set_xlabel("confidence", fontsize=9, color=INK)
    top.set_ylabel("pose right", fontsize=9, color=INK)
    below.set_ylabel("answers", fontsize=9, color=INK)
    top.grid(color=GRID, linewidth=0.8)
    words = "; ".join(
        f"{percent(b.confidence)} sure, {percent(b.right)} right ({b.answers:,} answers)" for b in found.bins
    )
    return finished(drawing, f"Reliability diagram. {words}.", "Confidence, and how often the pose is right")


def draw_risk(curves: dict[str, RiskCurve]) -> Figure:
    """The share of answers kept against what is wrong among them."""
    drawing = canvas(WIDTH, HEIGHT + 0.55)
    axes = axes_in(drawing, (0.2, 0.16, 0.75, 0.7))
    looks: list[dict[str, Any]] = [
        {"color": BLUE, "linewidth": 2.2},
        {"color": VERMILLION, "linewidth": 1.8, "linestyle": (0, (4, 1.5))},
    ]
    for (name, curve), look in zip(curves.items(), looks, strict=False):
        axes.plot([100 * x for x in curve.coverage], [100 * y for y in curve.risk], label=ORDERS[name], **look)
    overall = 100 * next(iter(curves.values())).overall
    axes.axhline(overall, color=FAINT, linewidth=1.1, linestyle=(0, (1, 1.5)))
    axes.set_xlim(0, 100)
    highest = max(100 * max(curve.risk) for curve in curves.values())
    axes.set_ylim(0, max(1.0, 1.1 * highest))
    axes.set_xticks(*PERCENT)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    axes.set_xlabel("answers kept, the surest first", fontsize=9, color=INK)
    axes.set_ylabel("wrong among them", fontsize=9, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    note = axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), fontsize=8.5, frameon=False, labelcolor=INK)
    note.set_zorder(5)
    words = "; ".join(
        f"sorted by {ORDERS[name]}: {percent(c.at(0.5))} wrong in the surest half, {percent(c.at(0.9))} in the surest "
        f"90 %, {percent(c.overall)} in all"
        for name, c in curves.items()
    )
    return finished(drawing, f"Risk-coverage curve. {words}.", "What is wrong when only the surest answers are kept")


def draw_confusion(found: Confusion) -> Figure:
    """True elements down, found ones across; the darker, the more often."""
    counts, elements = np.array(found.counts, dtype=float), without_unit(found.elements)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    size = len(elements)
    longest = max(len(cut(name, 14)) for name in elements)
    side = WIDTH if size <= LABELLED else WIDTH * 1.15
    margin = (0.25 + 0.075 * longest) / side
    drawing = canvas(side, side)
    axes = axes_in(drawing, (margin + 0.05, margin + 0.05, 0.92 - margin, 0.92 - margin))
    red, green, blue = (int(BLUE[i : i + 2], 16) / 255 for i in (1, 3, 5))
    painted = np.stack([np.full_like(share, value) for value in (red, green, blue)] + [share**0.7], -1)
    axes.imshow(painted, interpolation="nearest", extent=(-0.5, size - 0.5, size - 0.5, -0.5), aspect="equal")
    if size <= 8:
        for row, column in zip(*counts.nonzero(), strict=True):
            axes.text(column, row, f"{100 * share[row, column]:.0f}", ha="center", va="center", fontsize=8.5,
                      color=PAPER if share[row, column] > 0.45 else INK)  # fmt: skip
    every = -(-size // LABELLED)
    names = [cut(name, 14) if i % every == 0 else "" for i, name in enumerate(elements)]
    axes.set_xticks(range(size), names, rotation=90 if size > 8 or longest > 4 else 0)
    axes.set_yticks(range(size), names)
    axes.set_xlabel("found", fontsize=9, color=INK)
    axes.set_ylabel("happened", fontsize=9, color=INK)
    if size > LABELLED:
        axes.tick_params(labelsize=7)
    right = np.trace(counts) / max(counts.sum(), 1)
    mistakes = "; ".join(f"{true} taken for {said} {n} times in {of}" for true, said, n, of in found.mistakes(5))
    alt = f"Table of colours: {percent(right)} of the answers lie on the diagonal: what was found had happened."
    caption = "Which was found, for which one happened" + (", in % of a row" if size <= 8 else "")
    return finished(drawing, f"{alt} {mistakes}" if mistakes else alt, caption)


def draw_set_sizes(found: SetSizes) -> Figure:
    """How many answers have a set of 1, 2, ... elements."""
    total = sum(found.counts)
    sizes = range(1, len(found.counts) + 1)
    labels = [str(size) if len(found.counts) <= 12 or size % 4 == 1 else "" for size in sizes]
    alt = "; ".join(
        f"{percent(count / total)} have {size}" for size, count in zip(sizes, found.counts, strict=True) if count
    )
    return draw_bars(
        found.counts, labels, "poses left open", f"Sizes of sets: {alt}.", "How many poses it leaves open"
    )


def draw_found(found: Diversity) -> Figure:
    """Which elements are found in the inputs as they came."""
    names = without_unit(list(found.found))
    every = 1 if len(names) <= 12 else -(-len(names) // 12)
    labels = [cut(name, 14) if i % every == 0 else "" for i, name in enumerate(names)]
    alt = "; ".join(f"{name}: {count:,}" for name, count in found.found.items() if count)
    caption = "What is found in the inputs as they came"
    below = "found in the inputs as they came"
    return draw_bars(tuple(found.found.values()), labels, below, f"Inputs as they came. {alt}.", caption)


def draw_distances(found: ShiftReport) -> Figure:
    """How far the inputs as they came are from the reference."""
    drawing = canvas(WIDTH, 0.75 + 0.4 * len(found.rows))
    height = drawing.get_figheight()
    axes = axes_in(drawing, (0.34, 0.55 / height, 0.62, 1 - 0.65 / height))
    draw_shift(axes, found)
    words = "; ".join(f"{name} {one.distance:.3f}, by chance {one.chance:.3f}" for name, one in found.rows.items())
    return finished(drawing, f"Distances from the reference: {words}.", "How far they are from the reference")


def draw_bars(counts: Sequence[int], labels: list[str], below: str, alt: str, caption: str) -> Figure:
    """A bar for each, in % of all."""
    total = max(sum(counts), 1)
    upright = sum(len(label) + 1 for label in labels if label) > 44
    drawing = canvas(WIDTH, HEIGHT + (0.5 if upright else 0))
    bottom = 0.36 if upright else 0.19
    axes = axes_in(drawing, (0.15, bottom, 0.8, 0.95 - bottom))
    values = [100 * count / total for count in counts]
    axes.bar(range(len(counts)), values, 0.72, color=BLUE, zorder=3)
    axes.set_xticks(range(len(counts)), labels, rotation=90 if upright else 0)
    axes.tick_params(axis="x", length=0)
    axes.set_ylim(0, 112)
    axes.set_yticks(*PERCENT)
    if len(counts) <= 8:
        for place, value in enumerate(values):
            axes.text(
                place,
                value + 2,
                f"{value:.0f}" if value >= 1 or not value else "<1",
                ha="center",
                fontsize=8.5,
                color=INK,
            )
    axes.grid(axis="y", color=GRID, linewidth=0.8, zorder=0)
    axes.set_xlabel(below, fontsize=9, color=INK)
    return finished(drawing, alt, caption)


def without_unit(names: Sequence[str]) -> list[str]:
    """Names that end in the same word, as semitones do, without it.

    Example:
        >>> without_unit(["-3.00 semitones", "+3.00 semitones"]), without_unit(["90 left", "90 right"])
        (['-3.00', '+3.00'], ['90 left', '90 right'])
    """
    units = {name.partition(" ")[2] for name in names}
    return [name.partition(" ")[0] for name in names] if len(units) == 1 else list(names)


def described(name: str, rows: Sequence[TransformResult]) -> str:
    """The scores, read out."""
    shown = rows if len(rows) <= 16 else sorted(rows, key=lambda row: row.after.value)[:8]
    which = "" if len(rows) <= 16 else f" The {len(shown)} lowest of {len(rows)}:"
    words = "; ".join(
        f"{row.name}: {percent(row.before.value)} before, {percent(row.after.value)} after" for row in shown
    )
    return f"Scores, inputs {name}.{which} {words}."


def percent(share: float) -> str:
    """A share, as people write it: more digits near the ends.

    Example:
        >>> [percent(share).replace("\N{NO-BREAK SPACE}", " ") for share in (0.5, 0.8417, 0.9987, 0.0004, 1.0, 1e-9)]
        ['50 %', '84.2 %', '99.9 %', '0.04 %', '100 %', '<0.01 %']
    """
    value = 100 * share
    if 0 < value < 0.005 or 0 < 100 - value < 0.005:
        text = "<0.01" if value < 50 else ">99.99"
    else:
        near_an_end = 0 < min(value, 100 - value) < 0.05
        text = f"{value:.{2 if near_an_end else 1}f}".removesuffix(".0")
    return text + "\N{NO-BREAK SPACE}%"


def canvas(width: float, height: float) -> "Drawing":
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(width, height), facecolor="none")
    FigureCanvasSVG(drawing)
    return drawing


def axes_in(drawing: "Drawing", place: tuple[float, float, float, float]) -> "Axes":
    axes = drawing.add_axes(place)
    axes.set_facecolor("none")
    style(axes)
    return axes


def finished(drawing: "Drawing", alt: str, caption: str) -> Figure:
    """A drawing, in the colours of the page."""
    rules = f"<style>svg{{{palette(False)}}}@media (prefers-color-scheme:dark){{svg{{{palette(True)}}}}}</style>"
    text = re.sub(r"(<svg[^>]*>)", lambda found: found[1] + rules, vector(drawing), count=1)
    width, height = (round(96 * inches) for inches in drawing.get_size_inches())
    uri = f"data:image/svg+xml;base64,{base64.b64encode(text.encode('utf-8')).decode('ascii')}"
    return Figure(uri, alt, caption, width, height)


def vector(drawing: "Drawing", prefix: str = "m") -> str:
    """A drawing as SVG whose colours are the variables of `palette`.

    Args:
        drawing: that is finished.
        prefix: of the names of its parts, which have to differ from those of other drawings in the same document.
    """
    buffer = BytesIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(buffer, format="svg", metadata=nothing)
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    for i, colour in enumerate(DARK):
        text = re.sub(rf"(fill|stroke): {colour}\b", rf"\1: var(--c{i})", text, flags=re.IGNORECASE)
    # matplotlib draws names of its parts at random.
    known: dict[str, str] = {}
    return re.sub(r"\b[mp][0-9a-f]{10}\b", lambda found: known.setdefault(found[0], f"{prefix}{len(known)}"), text)


def palette(dark: bool) -> str:
    """The colours of drawings as CSS variables."""
    return ";".join(f"--c{i}:{other if dark else colour}" for i, (colour, other) in enumerate(DARK.items()))
