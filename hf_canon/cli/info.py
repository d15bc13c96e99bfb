"""`hf-canon info`: the groups and canonicalizers there are, or what an adapter holds."""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .checkpoints import first_line, read_config

if TYPE_CHECKING:
    from ..configuration_canonicalized import CanonicalizedConfig

NAME = "info"
SUMMARY = "list groups and canonicalizers, or describe an adapter"
DESCRIPTION = """\
Without an argument, list the groups and canonicalizers there are. With one, say
what an adapter holds: the checkpoint it belongs to, group, canonicalizer,
parameters and size on disk. The checkpoint itself is not loaded."""
EXAMPLES = """\
  hf-canon info
  hf-canon info out"""


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
        yield f"  {pattern:<12} {meaning}"
    yield "Canonicalizers, for --canonicalizer:"
    for name, canonicalizer in CANONICALIZERS.items():
        yield f"  {name:<12} {(canonicalizer.__doc__ or '').strip().partition(chr(10))[0]}"


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
    from ..groups import get_group

    group = get_group(config.group)
    elements = f"{group.order} elements, {len(group.exact_elements)} of them exact" if group.finite else "continuous"
    base = [str(config.base_name_or_path)]
    if config.base_revision:
        base.append(f"commit {config.base_revision}")
    if config.includes_predictor:
        base.append("saved with the adapter")
    settings = ", ".join(f"{name}={value}" for name, value in (config.canonicalizer_settings or {}).items())
    parameters, size = read_weights(repository)
    return {
        "base": ", ".join(base),
        "group": f"{group.name}: {elements}",
        "canonicalizer": f"{config.canonicalizer} ({settings})",
        "parameters": f"{parameters:,}",
        "size on disk": f"{size / 1e3:,.1f} kB",
        "classes": str(config.num_labels),
    }


def read_weights(repository: str) -> tuple[int, int]:
    """How many numbers the canonicalizer has, and the bytes of the file that holds them.

    Raises:
        ValueError: the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open
    from transformers.utils import SAFE_WEIGHTS_NAME, cached_file

    try:
        weights = Path(str(cached_file(repository, SAFE_WEIGHTS_NAME)))
        with safe_open(weights, "pt") as file:
            names = [name for name in file.keys() if name.startswith("canonicalizer.")]  # noqa: SIM118
            numbers = sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{repository!r} has no readable {SAFE_WEIGHTS_NAME}: {first_line(error)}") from error
    return numbers, weights.stat().st_size


def table(rows: dict[str, str]) -> Iterator[str]:
    width = max(map(len, rows))
    return (f"{name:<{width}}  {value}" for name, value in rows.items())
