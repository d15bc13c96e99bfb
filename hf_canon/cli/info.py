"""`hf-canon info`: the groups and canonicalizers there are, or what an adapter holds."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoints import read_config

if TYPE_CHECKING:
    from ..configuration_canonicalized import CanonicalizedConfig

NAME = "info"
SUMMARY = "list groups and canonicalizers, or describe an adapter"
DESCRIPTION = """\
Without an argument, list the groups and canonicalizers there are. With one, say
what an adapter holds: the checkpoint it belongs to, group, canonicalizer,
parameters, size on disk, what it was trained on, and what an evaluation found.
The checkpoint itself is not loaded."""
EXAMPLES = """\
  hf-canon info
  hf-canon info out
  hf-canon info me/vit-base-d4"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "repository", nargs="?", metavar="REPO|FOLDER", help="an adapter (or a checkpoint): a folder, or a Hub id"
    )


def run(args: argparse.Namespace) -> int:
    lines = known_names() if args.repository is None else describe(args.repository)
    for line in lines:
        print(line)
    return 0


def known_names() -> Iterator[str]:
    from ..canonicalizers import CANONICALIZERS
    from ..groups import KNOWN

    yield "Groups, for --group:"
    for pattern, meaning in KNOWN.items():
        yield f"  {pattern:<15} {meaning}"
    yield "Canonicalizers, for --canonicalizer:"
    for name, canonicalizer in CANONICALIZERS.items():
        yield f"  {name:<15} {(canonicalizer.__doc__ or '').strip().partition(chr(10))[0]}"


def describe(repository: str) -> Iterator[str]:
    from ..configuration_canonicalized import CanonicalizedConfig

    config = read_config(repository)
    if isinstance(config, CanonicalizedConfig):
        yield from table(describe_adapter(repository, config))
        return
    rows = {"checkpoint": ", ".join(config.architectures or [config.model_type]), "classes": str(config.num_labels)}
    yield from table(rows)
    yield f"It has no adapter yet; `hf-canon train {repository} --data ...` makes one."


def describe_adapter(repository: str, config: "CanonicalizedConfig") -> dict[str, str]:
    from ..hub import read_facts
    from ..selection import Calibration

    facts = read_facts(files_of(repository, config), repository)
    base = [str(config.base_name_or_path or facts.base_architecture)]
    if facts.base_revision:
        base.append(f"commit {facts.base_revision}")
    if facts.includes_predictor:
        base.append("saved with the adapter")
    settings = ", ".join(f"{name}={value}" for name, value in (config.canonicalizer_settings or {}).items())
    rows = {
        "base": ", ".join(base),
        "task": facts.task,
        "group": f"{facts.group}: {facts.meaning}"
        + (f"; {facts.elements} elements, {facts.exact} of them exact" if facts.elements else ""),
        "canonicalizer": f"{facts.canonicalizer} ({settings})",
        "classes": str(facts.classes),
    }
    if facts.size:  # and not left on the Hub
        second = f", of which {facts.second_order:,} are of second order" if facts.second_order else ""
        rows |= {"parameters": f"{facts.parameters:,}{second}", "size on disk": f"{facts.size / 1e3:,.1f} kB"}
    if facts.peft:
        rows["PEFT"] = f"{', '.join(facts.peft)} on the predictor"
    rows |= facts.attachments
    for name, value in (facts.training or {}).get("data", {}).items():
        rows[f"trained on, {name}"] = str(value)
    if config.calibration is not None:
        rows["decision rule"] = facts.decision
        promises = Calibration.from_dict(config.calibration).promises
        rows |= {f"calibrated, {name}": text for name, text in promises.items()}
    if facts.report is not None:
        report = facts.report
        what = "accuracy" if report.labelled else "agreement"
        before, after = 100 * report.upright.before.value, 100 * report.upright.after.value
        rows[f"{what}, upright"] = f"{before:.1f} % untouched, {after:.1f} % canonicalized (tax {report.upright_tax})"
        for one in report.sets.values():
            rows[f"{what}, {one.title}"] = f"{100 * one.before:.1f} % untouched, {100 * one.after:.1f} % canonicalized"
        rows["cost"] = f"{report.cost.latency_ratio:.2f} x time ({report.cost.device})"
    return rows


def files_of(repository: str, config: "CanonicalizedConfig") -> Path:
    """The folder of an adapter; that of the Hub's cache for a repository, with the files that describe it.

    Raises:
        ValueError: its weights are missing.
    """
    from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

    from ..hub import PLOT_FILE, REPORT_FILE
    from ..predictors.hub_files import pinned

    folder = Path(repository)
    if not folder.is_dir():
        kwargs = pinned(repository, {})  # all of one commit
        # A checkpoint that came along can be gigabytes, and is not fetched to be counted.
        for name in (REPORT_FILE, PLOT_FILE, *([] if config.includes_predictor else [SAFE_WEIGHTS_NAME])):
            cached_file(repository, name, _raise_exceptions_for_missing_entries=False, **kwargs)
        folder = Path(str(cached_file(repository, "config.json", **kwargs))).parent
    if not config.includes_predictor and not (folder / SAFE_WEIGHTS_NAME).is_file():
        raise ValueError(f"{repository!r} has no readable {SAFE_WEIGHTS_NAME}. Save or push the adapter again.")
    return folder


def table(rows: dict[str, str]) -> Iterator[str]:
    width = max(map(len, rows))
    return (f"{name:<{width}}  {value}" for name, value in rows.items())
