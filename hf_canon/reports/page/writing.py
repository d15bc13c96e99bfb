"""The folder of a report: the page and its figures as JSON, each written beside and moved into place."""

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ..diagnosis import ClassScores
from ..robustness import BASELINES, RobustnessReport
from .examples import Examples
from .figures import (
    ORDERS,
    draw_confusion,
    draw_distances,
    draw_found,
    draw_reliability,
    draw_risk,
    draw_scores,
    draw_set_sizes,
    has_rows,
    legend,
    percent,
)
from .verdict import between, break_even, number, verdict

PAGE_FILE, JSON_FILE = "index.html", "report.json"
MARK = '<meta name="generator" content="hf_canon">'
"""By which a page of ours is known, so that nobody else's is overwritten."""

CLASSES = 12
"""How many classes the page lists: those that fare worst."""

KINDS = ("harmed", "fixed", "unsure")


def require_report_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder, made if need be.

    Raises:
        ValueError: it is a file, nothing can be written there, or it holds a page or a file of somebody else's by the
            names of ours.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=path, prefix=".report-"):
            pass
    except OSError as error:
        raise ValueError(
            f"The report cannot be written into {str(folder)!r} ({error.strerror}); name a folder that can be made or "
            "written, such as report='out/report'."
        ) from error
    page, figures = path / PAGE_FILE, path / JSON_FILE
    if page.exists() and not (page.is_file() and MARK in page.read_text(encoding="utf-8", errors="replace")[:2000]):
        raise ValueError(
            f"{str(page)!r} is there already and is no report of ours, which would be lost; name another folder."
        )
    if figures.exists() and not is_report(figures):
        raise ValueError(
            f"{str(figures)!r} is there already and is no report of ours, which would be lost; name another folder."
        )
    return path


def is_report(path: Path) -> bool:
    try:
        RobustnessReport.load(path)
    except (OSError, ValueError):
        return False
    return True


def write_page(report: RobustnessReport, folder: str | os.PathLike[str], examples: Examples | None = None) -> Path:
    """Write `index.html` and `report.json` into a folder; what else is there stays.

    Args:
        report: what `evaluate_robustness` found.
        folder: made if need be.
        examples: inputs to show. A report that was loaded from a file has none.

    Returns:
        The page.

    Raises:
        ValueError: the folder cannot be written, or holds somebody else's files by those names.

    Example:
        >>> import tempfile, torch
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel, evaluate_robustness
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> report = evaluate_robustness(model, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     page = write_page(report, folder)
        ...     page.name, sorted(file.name for file in page.parent.iterdir())
        ('index.html', ['index.html', 'report.json'])
    """
    path = require_report_folder(folder)
    page = render_page(report, examples)
    with TemporaryDirectory(dir=path, prefix=".report-") as beside:
        report.save(Path(beside) / JSON_FILE)
        (Path(beside) / PAGE_FILE).write_text(page, encoding="utf-8")
        for name in (JSON_FILE, PAGE_FILE):
            os.replace(Path(beside) / name, path / name)
    return path / PAGE_FILE


def render_page(report: RobustnessReport, examples: Examples | None = None) -> str:
    """The page, as HTML.

    Args:
        report: what `evaluate_robustness` found.
        examples: inputs to show.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {
        "percent": percent,
        "between": between,
        "number": number,
        "count": lambda amount: f"{amount:,}",
    }
    found = report.diagnosis
    drawn: dict[str, Any] = {}
    if found is not None:
        drawn = {
            "reliability": found.reliability and draw_reliability(found.reliability),
            "risk": draw_risk(found.risk_coverage),
            "confusion": found.confusion and draw_confusion(found.confusion),
            "set_sizes": draw_set_sizes(found.set_sizes),
            "found": draw_found(found.diversity),
        }
    return environment.get_template("page.html.jinja").render(
        report=report,
        found=found,
        mark=MARK,
        json_file=JSON_FILE,
        verdict=verdict(report),
        pays=break_even(report, next(iter(report.sets.values()))),
        scores=draw_scores(report),
        legend=legend(report),
        rows=has_rows(report),
        methods=["before", "after", *(name for name in BASELINES if name in report.upright.scores)],
        titles={"before": "untouched", "after": "canonicalized", **BASELINES},
        orders=ORDERS,
        drawn=drawn,
        apart=report.shift and draw_distances(report.shift),
        classes=[] if found is None else worst_classes(found.diversity.classes or ()),
        galleries={} if examples is None else {kind: getattr(examples, kind) for kind in KINDS},
        totals={} if examples is None else examples.totals,
        one=report.unit.removesuffix("s"),
    )


def worst_classes(classes: Sequence[ClassScores]) -> list[ClassScores]:
    """Those that lose most as they come, then those that win least when transformed; of many classes, those that
    lose."""

    def change(one: ClassScores) -> tuple[float, float, str]:
        return one.upright_after - one.upright_before, one.transformed_after - one.transformed_before, one.name

    ranked = sorted(classes, key=change)
    if len(ranked) > CLASSES:
        ranked = [one for one in ranked if min(change(one)[:2]) < 0]
    return ranked[:CLASSES]
