"""`hf-canon audit`: a face over `audit`."""

import argparse
import shlex
from dataclasses import replace

from ..data.errors import naming_broken_images
from ..data.named import DATA_HELP, load_clips, load_images
from .checkpoints import load_processor, read_config
from .destinations import require_writable_file
from .numbers import count

NAME = "audit"
SUMMARY = "before anything is trained: what does a checkpoint lose, and what would help"
DESCRIPTION = """\
Move every input of a data set by every element of every group that fits, and
print one page: what the untouched checkpoint loses, which transformations are
harmless, which seem to turn one class into another, in which poses the data
already come, what a canonicalizer would win back and cost, and which group to
train one for. Without labels, agreement with its own answers to the inputs as
they came takes the place of accuracy. Nothing is trained or changed."""
EXAMPLES = """\
  hf-canon audit google/vit-base-patch16-224 --data photos/
  hf-canon audit my-checkpoint/ --data beans --split test --groups c8 hue12 --json audit.json

clips, from a data set with a column `audio`:
  hf-canon audit MIT/ast-finetuned-audioset-10-10-0.4593 --data clips/"""

SPLITS = ("test", "validation", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="a folder, or the id of a repository on the Hub")
    parser.add_argument(
        "--data",
        required=True,
        help=f"{DATA_HELP}; for a checkpoint that reads audio, a data set with a column `audio`",
    )
    parser.add_argument("--split", help="default: test, or else validation, or else train")
    parser.add_argument(
        "--groups", nargs="+", metavar="GROUP", help="what to try (c8 hue12, ...); default: all that fit"
    )
    parser.add_argument("--batch-size", type=count, default=32, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures here")


def run(args: argparse.Namespace) -> int:
    json_file = args.json and require_writable_file(args.json, (".json",))
    from .. import CanonicalizedConfig, audit, get_group
    from ..tasks import class_for

    for name in args.groups or []:
        get_group(name)
    config = read_config(args.checkpoint)
    if isinstance(config, CanonicalizedConfig):
        raise ValueError(
            f"{args.checkpoint} is an adapter, and an audit is of the checkpoint before. Use `hf-canon evaluate "
            f"{args.checkpoint}`, or audit {config.base_name_or_path or 'its checkpoint'}."
        )
    if class_for(config.architectures, args.checkpoint).task == "audio-classification":
        report = audit(
            args.checkpoint, load_clips(args.data, args.split, SPLITS), args.groups, batch_size=args.batch_size
        )
    else:
        processor = load_processor(args.checkpoint)
        images = load_images(args.data, args.split, SPLITS, config)
        with naming_broken_images(images):
            report = audit(args.checkpoint, images, args.groups, processor=processor, batch_size=args.batch_size)
    if report.advice.command is not None:
        command = report.advice.command.replace("--data DATA", f"--data {shlex.quote(args.data)}")
        report = replace(report, advice=replace(report.advice, command=command))
    print(report)
    if json_file:
        report.save(json_file)
    return 0
