"""The command line, `hf-canon`: one command a file, each a thin face over a Python call.

A command module has `NAME`, `SUMMARY`, `DESCRIPTION`, `EXAMPLES`, `add_arguments(parser)` and `run(args)`. It imports
torch, transformers and the like inside `run`, where a mistyped flag or `--help` does not wait for them.
"""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from tqdm import tqdm

from ..refusals import raised_by_us
from . import audit, calibrate, demo, evaluate, info, predict, push, shift, train

COMMANDS = (audit, train, calibrate, evaluate, shift, predict, push, demo, info)

USAGE_ERROR = 2
INTERRUPTED = 130

__all__ = ["audit", "calibrate", "demo", "evaluate", "info", "main", "predict", "push", "shift", "train"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: the words after `hf-canon`; those of this process by default.

    Returns:
        0; 2 where something that was given cannot work, and one sentence on stderr says what to give instead; 130
        after Ctrl-C. Anything else is a defect: it leaves with its traceback, and Python makes that exit code 1.

    Raises:
        SystemExit: argparse answered by itself, a wrong flag (2) or `--help` (0).

    Example:
        >>> from hf_canon.cli import main
        >>> main(["info"])  # doctest: +ELLIPSIS
        Groups, for --group:
          c<n> ...
        0
    """
    args = build_parser().parse_args(argv)
    try:
        return args.run(args)
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError) as error:
        if not raised_by_us(error):
            raise
        # Not print: a progress bar may stand on this line.
        tqdm.write(f"hf-canon {args.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return USAGE_ERROR


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="hf-canon",
        description="Make a checkpoint survive turns, mirror images and tints of its inputs, without touching it.",
        epilog="`hf-canon COMMAND --help` explains a command, with examples to copy.",
    )
    parser.add_argument("--version", action="version", version=version("hf_canon"))
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.NAME,
            help=command.SUMMARY,
            description=command.DESCRIPTION,
            epilog=f"examples:\n{command.EXAMPLES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(subparser)
        subparser.set_defaults(run=command.run)
    return parser
