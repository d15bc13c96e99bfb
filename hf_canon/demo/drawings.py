"""The drawings of the demo: SVG inside the page, whose colours follow its theme.

matplotlib is imported when something is drawn, and never through pyplot: nothing global is touched.
"""

import itertools
import math
from html import escape
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..groups import FinitePlanar, Group, OneParameter, Planar
from ..groups.color import Hue
from ..reports.axes import BLUE, GRID, INK, NAMES, PERCENT, STYLES, VERMILLION, style_circle
from ..reports.page.figures import axes_in, canvas, percent, vector
from ..reports.text import cut
from .answering import Answer
from .sweep import Sweep

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from matplotlib.projections.polar import PolarAxes

SIDE = 3.3
"""Inches of a round drawing."""
MOST_BARS = 12

_drawing = Lock()  # matplotlib caches letters and paths in dictionaries that threads share
_numbers = itertools.count()


def embedded(drawing: "Figure", alt: str) -> str:
    """A drawing as a part of the page."""
    with _drawing:
        svg = vector(drawing, f"d{next(_numbers)}-")
    return f'<div class="drawing" role="img" aria-label="{escape(alt, quote=True)}">{svg}</div>'


def draw_posterior(answer: Answer, group: Group) -> str:
    """The posterior over a group: around a circle for turns and hues, along a line, or beside names."""
    assert answer.found.probabilities is not None
    posterior = answer.found.probabilities[0].float().cpu()
    sure = ", ".join(f"{name} {percent(value)}" for name, value in answer.likely.items())
    alt = f"Probability of each {noun(group)}: {sure}."
    if isinstance(group, Planar | Hue) and (not isinstance(group, FinitePlanar) or group.n > 2):
        return embedded(around(posterior, group), alt)
    if isinstance(group, OneParameter):
        return embedded(along(posterior, group), alt)
    return embedded(beside(posterior, group), alt)


def noun(group: Group) -> str:
    return "hue" if isinstance(group, Hue) else "turn" if isinstance(group, Planar) else "element"


def around(posterior: Tensor, group: Group) -> "Figure":
    """Bars at the angles of the elements; those with a mirror image beside those without."""
    drawing = canvas(SIDE, SIDE)
    axes: Any = drawing.add_axes((0.15, 0.11, 0.7, 0.7), projection="polar")
    circle(axes, "no turn" if isinstance(group, Planar) else "as it is")
    values = 100 * posterior.numpy()
    mirrored = isinstance(group, FinitePlanar) and group.reflections
    rounds = values.reshape(2, -1) if mirrored else values[None]
    n = rounds.shape[1]
    cell = 2 * math.pi / n
    if n > 48:
        angle = np.append(np.arange(n), 0) * cell
        axes.fill(angle, np.append(rounds[0], rounds[0, 0]), color=BLUE, alpha=0.8, linewidth=1.5)
        axes.set_ylim(0, max(100 * float(posterior.max()) * 1.05, 1))
        axes.set_yticklabels([])
        return drawing
    width = 0.78 * cell / len(rounds)
    for k, (one, color, name) in enumerate(zip(rounds, (BLUE, VERMILLION), ("as it is", "mirrored"), strict=False)):
        place = (k - (len(rounds) - 1) / 2) * width
        axes.bar(np.arange(n) * cell + place, one, width, color=color, label=name, zorder=3)
    if mirrored:
        axes.legend(loc="lower left", bbox_to_anchor=(-0.24, 1.06), fontsize=8.5, frameon=False, labelcolor=INK)
    return drawing


def circle(axes: "PolarAxes", top: str) -> None:
    axes.set_facecolor("none")
    style_circle(axes, top)
    axes.set_yticks([25, 50, 75, 100], ["", "50", "", "100 %"])
    for label in axes.get_yticklabels():
        label.set_bbox(None)


def along(posterior: Tensor, group: OneParameter) -> "Figure":
    drawing = canvas(SIDE, SIDE)
    axes = axes_in(drawing, (0.17, 0.17, 0.78, 0.7))
    where, values = group.grid(len(posterior)).numpy(), 100 * posterior.numpy()
    axes.fill_between(where, values, color=BLUE, alpha=0.8, linewidth=1.5)
    axes.set_xlim(float(where[0]), float(where[-1]))
    axes.set_ylim(0, max(float(values.max()) * 1.1, 1))
    axes.set_xlabel(unit(group), fontsize=9, color=INK)
    axes.set_ylabel("% of the posterior", fontsize=9, color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    return drawing


def unit(group: OneParameter) -> str:
    """Of the elements on a line."""
    words = group.describe(1.0).split(" ", 1)
    return words[1] if len(words) > 1 else group.meaning


def beside(posterior: Tensor, group: Group) -> "Figure":
    drawing = canvas(SIDE, SIDE)
    axes = axes_in(drawing, (0.44, 0.13, 0.5, 0.75))
    value, index = posterior.topk(min(MOST_BARS, len(posterior)))
    names = [cut(group.describe(int(i)), 19) for i in index]
    places = range(len(names))
    axes.barh(places, 100 * value.numpy(), 0.7, color=BLUE, zorder=3)
    axes.set_yticks(places, names)
    axes.set_ylim(max(len(names), 4) - 0.5, -0.6)
    axes.set_xlim(0, 100)
    axes.set_xticks([0, 50, 100], ["0", "50", "100 %"])
    axes.grid(axis="x", color=GRID, linewidth=0.8)
    return drawing


def draw_sweep(sweep: Sweep) -> str:
    """The probability of a class against how far an input was transformed, "before" and "after": around a circle for
    degrees, else along a line."""
    where, curves, label, unit = sweep.way.values, sweep.curves, sweep.label, sweep.way.unit
    turns = unit == "degrees"
    drawing = canvas(5.2, 4.4)
    if turns:
        axes: Any = drawing.add_axes((0.14, 0.06, 0.72, 0.74), projection="polar")
        circle(axes, "0\N{DEGREE SIGN}")
        closed = [*range(len(where)), 0]
        for name in ("before", "after"):
            values = [100 * curves[name][i] for i in closed]
            axes.plot([math.radians(where[i]) for i in closed], values, label=NAMES[name], **line(name))
    else:
        axes = axes_in(drawing, (0.13, 0.14, 0.83, 0.68))
        for name in ("before", "after"):
            axes.plot(where, [100 * value for value in curves[name]], label=NAMES[name], **line(name))
        axes.set_xlim(where[0], where[-1])
        axes.set_ylim(0, 101)
        axes.set_xlabel(unit, fontsize=9.5, color=INK)
        axes.set_yticks(*PERCENT)
        axes.grid(color=GRID, linewidth=0.8)
    drawing.legend(loc="upper left", bbox_to_anchor=(0.02, 0.95), ncols=2, fontsize=9.5, frameon=False, labelcolor=INK)
    lowest = {name: percent(min(values)) for name, values in curves.items()}
    alt = f"Probability of {label}: at least {lowest['before']} before and {lowest['after']} after."
    return embedded(drawing, alt)


def line(name: str) -> dict[str, Any]:
    return {**STYLES[name], "marker": "", "linestyle": "-" if name == "after" else (0, (4, 1.6))}


def draw_spectrograms(clips: dict[str, np.ndarray[Any, Any]], rate: int) -> str:
    """Clips over one time axis, loud places bright."""
    drawing = canvas(4.6, 3.9)
    longest = max(len(audio) for audio in clips.values()) / rate
    planes = {name: loudness(audio, rate) for name, audio in clips.items()}
    loudest = max(float(plane.max()) for plane in planes.values())
    for k, (name, plane) in enumerate(planes.items()):
        axes = axes_in(drawing, (0.1, 0.53 - 0.42 * k, 0.87, 0.3))
        seconds = len(clips[name]) / rate
        axes.imshow(plane, origin="lower", aspect="auto", cmap="magma", vmin=loudest - 70, vmax=loudest,
                    extent=(0, seconds, 0, rate / 2000), interpolation="bilinear")  # fmt: skip
        axes.set_xlim(0, longest)
        axes.set_title(name, fontsize=9.5, color=INK, loc="left")
        axes.set_ylabel("kHz", fontsize=9, color=INK)
    axes.set_xlabel("seconds", fontsize=9, color=INK)
    alt = "; ".join(f"{name}: {len(audio) / rate:.2f} seconds" for name, audio in clips.items())
    return embedded(drawing, f"Spectrograms. {alt}.")


def loudness(audio: np.ndarray[Any, Any], rate: int) -> np.ndarray[Any, Any]:
    """Decibels, `(frequencies, moments)`."""
    size = 2 ** round(math.log2(0.032 * rate))
    x = torch.from_numpy(np.ascontiguousarray(audio))
    frames = torch.stft(x, size, max(size // 4, len(x) // 500), window=torch.hann_window(size), return_complex=True,
                        pad_mode="constant")  # fmt: skip
    decibels: np.ndarray[Any, Any] = 20 * frames.abs().clamp(min=1e-6).log10().numpy()
    return decibels
