"""How scores are drawn: around the circle, along a line, or beside the names of elements; and in which colours."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from .distribution_shift import ShiftReport
from .robustness import BASELINES, RobustnessReport, TransformResult
from .text import cut

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase
    from matplotlib.projections.polar import PolarAxes

# Okabe and Ito's colours, told apart by colour-blind eyes; lines differ in dash or weight as well.
BLUE, VERMILLION, INK, FAINT = "#0072B2", "#D55E00", "#222222", "#767676"
GRID, FRAME = "#E3E3E3", "#C8C8C8"
STYLES: dict[str, dict[str, Any]] = {
    "orbit_mean": {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (1, 1.2)), "zorder": 2},
    "most_confident": {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (4, 1.8)), "zorder": 2},
    "oracle": {"color": FAINT, "linewidth": 0.9, "linestyle": "-", "zorder": 2},
    "before": {"color": VERMILLION, "linewidth": 2.0, "marker": "s", "markersize": 3.8, "zorder": 3},
    "after": {"color": BLUE, "linewidth": 2.4, "marker": "o", "markersize": 4.6, "zorder": 4},
}
MARKERS = {"orbit_mean": "|", "most_confident": "x", "oracle": "d", "before": "s", "after": "o"}
"""Of methods whose scores are not joined by a line."""
PERCENT = ([0, 25, 50, 75, 100], ["0", "25", "50", "75", "100 %"])
"""Ticks of an axis, and what is written there."""
NAMES = {"after": "canonicalized", "before": "untouched", **BASELINES}


@dataclass(frozen=True)
class Panel:
    """Scores in one drawing.

    Args:
        shape: a "circle" for turns, a "line" for the elements of a continuous group, and "rows" for elements that have
            no order.
        title: of the set; of a circle, whether inputs are "upright" or "mirrored" before they are turned.
        rows: the scores.
        methods: whose scores, those behind first.
    """

    shape: Literal["circle", "line", "rows"]
    title: str
    rows: Sequence[TransformResult]
    methods: Sequence[str]

    def draw(self, figure: "FigureBase", place: tuple[float, float, float, float]) -> "Axes":
        """Into that part of a figure: left, bottom, width and height in shares of its own."""
        axes: Any = figure.add_axes(place, projection="polar" if self.shape == "circle" else None)
        {"circle": draw_circle, "line": draw_line, "rows": draw_rows}[self.shape](axes, self)
        found: Axes = axes
        return found


def panels(report: RobustnessReport) -> list[Panel]:
    """The drawings of a report: the rotations of all sets, each once and sorted by angle, those without a mirror and
    those with one; and each set that holds anything that is no rotation."""
    turned: dict[bool, dict[float, TransformResult]] = {}
    for one in report.sets.values():
        for row in one.transforms:
            if row.angle is not None:
                turned.setdefault(row.mirrored, {})[row.angle] = row
    flat = [one for one in report.sets.values() if any(row.angle is None for row in one.transforms)]
    if flat:  # whose identity is none of the rotations
        turned = {mirrored: rows for mirrored, rows in turned.items() if mirrored or set(rows) != {0.0}}
    methods = [method for method in STYLES if method in report.upright.scores]
    found = []
    for mirrored, rows in sorted(turned.items()):
        title = "mirrored" if mirrored else "upright"
        found.append(Panel("circle", title, [rows[angle] for angle in sorted(rows)], methods))
    for one in flat:
        ordered = all(row.parameter is not None for row in one.transforms)
        found.append(Panel("line" if ordered else "rows", one.title, one.transforms, methods))
    return found


def draw_circle(axes: "PolarAxes", panel: Panel) -> None:
    """Scores around the circle."""
    style_circle(axes, panel.title)
    rows = [*panel.rows, panel.rows[0]]
    around = [math.radians(row.angle or 0) for row in rows]
    for method in panel.methods:
        values = [100 * row.scores[method].value for row in rows]
        axes.plot(around, values, **STYLES[method])
        if method == "before":
            axes.fill(around, values, color=VERMILLION, alpha=0.10, linewidth=0)


def draw_line(axes: "Axes", panel: Panel) -> None:
    """Scores over the elements of a continuous group."""
    rows = sorted(panel.rows, key=lambda row: row.parameter or 0.0)
    along = [row.parameter or 0.0 for row in rows]
    for method in panel.methods:
        values = [100 * row.scores[method].value for row in rows]
        axes.plot(along, values, clip_on=False, **STYLES[method])
    axes.set_ylim(0, 100)
    axes.set_yticks(*PERCENT)
    if len(rows) <= 9:
        axes.set_xticks(along, [f"{value:.4g}" for value in along])
    unit = re.search(r"[a-z][a-z ]*$", rows[-1].name)
    axes.set_xlabel(
        unit[0] if unit else "degrees" if "\N{DEGREE SIGN}" in rows[-1].name else "element", fontsize=9, color=INK
    )
    axes.grid(color=GRID, linewidth=0.8)
    style(axes)


def draw_rows(axes: "Axes", panel: Panel) -> None:
    """Scores beside the names of elements that have no order, from the top downwards."""
    rows = panel.rows
    places = range(len(rows))
    axes.hlines(places, 0, 100, color=GRID, linewidth=0.8, zorder=1)
    for method in panel.methods:
        values = [100 * row.scores[method].value for row in rows]
        points = {**STYLES[method], "linestyle": "none", "marker": MARKERS[method], "markersize": 6.5}
        axes.plot(values, places, clip_on=False, **points)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    every = -(-len(rows) // 24)
    names = [cut(row.name, 18) if place % every == 0 else "" for place, row in enumerate(rows)]
    axes.set_yticks(places, names)
    axes.set_xlim(0, 100)
    axes.set_xticks(*PERCENT)
    style(axes)


def draw_shift(axes: "Axes", report: ShiftReport) -> None:
    """Distances from the reference, from the top downwards, each over what comes about by chance."""
    rows = report.rows
    farthest = max(max(one.distance, one.chance) for one in rows.values())
    colours = {"as they came": VERMILLION, "canonicalized": BLUE}
    for place, (name, row) in enumerate(rows.items()):
        colour = colours.get(name, INK)
        axes.barh(place, row.chance, 0.5, color=GRID, zorder=1)
        axes.hlines(place, 0, row.distance, color=colour, linewidth=2.2, zorder=2)
        face = colour if row.seen else "white"
        axes.plot(row.distance, place, "o", markersize=7, color=colour, markerfacecolor=face, clip_on=False, zorder=3)
        beyond = max(row.distance, row.chance) + 0.04 * farthest
        axes.text(beyond, place, f"p = {row.p_value:.2g}", va="center", fontsize=8.5, color=INK)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_yticks(range(len(rows)), [cut(name, 18) for name in rows])
    axes.set_xlim(0, 1.45 * farthest)  # room for p
    axes.set_xlabel("distance; grey: by chance", fontsize=9, color=INK)
    style(axes)


def style_circle(axes: "PolarAxes", top: str) -> None:
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
    axes.grid(color=GRID, linewidth=0.8)
    axes.spines["polar"].set_color(FRAME)
    axes.set_axisbelow(True)


def style(axes: "Axes") -> None:
    """What all plots with straight sides share."""
    axes.tick_params(labelsize=8.5, labelcolor=INK, color=FRAME)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_color(FRAME)
