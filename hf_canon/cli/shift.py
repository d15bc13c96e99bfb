"""`hf-canon shift`: a face over `distribution_shift`."""

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING

from ..data.errors import naming_broken_images
from ..data.named import DATA_HELP, load_clips, load_images
from .checkpoints import load_model, load_processor, read_config
from .destinations import require_writable_file
from .numbers import count

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedConfig

NAME = "shift"
SUMMARY = "how far incoming data are from reference data, and how much of that is pose"
DESCRIPTION = """\
Compare incoming data with reference data, as the checkpoint sees them: as they
came, behind the adapter, and modulo the group, where pose does not count. Print
each distance with a permutation test, and what that means: whether there is a
shift, whether all of it is pose, and how much of it the adapter removes. Labels are
not looked at."""
EXAMPLES = """\
  hf-canon shift out --reference held-back/ --incoming arrived/ --figure shift.png
  hf-canon shift out --reference beans --incoming beans --incoming-split test --json shift.json

of a checkpoint without adapter:
  hf-canon shift google/vit-base-patch16-224 --group c8 --reference held-back/ --incoming arrived/

of clips, from data sets with a column `audio`:
  hf-canon shift MIT/ast-finetuned-audioset-10-10-0.4593 --group pitch12 --reference clips/ --incoming more-clips/"""

SPLITS = {"reference": ("validation", "calibration", "train", "test"), "incoming": ("test", "train", "validation")}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", metavar="ADAPTER_OR_CHECKPOINT", help="a folder, or the id of a repository on the Hub"
    )
    parser.add_argument("--group", help="for a checkpoint without adapter: what counts as pose (c8, d4, hue12, ...)")
    parser.add_argument("--reference", required=True, metavar="DATA", help=f"data as they should be: {DATA_HELP}")
    parser.add_argument("--incoming", required=True, metavar="DATA", help="data that are compared with them")
    parser.add_argument("--reference-split", metavar="SPLIT", help="default: validation, or else calibration or train")
    parser.add_argument("--incoming-split", metavar="SPLIT", help="default: test, or else train or validation")
    parser.add_argument("--batch-size", type=count, default=32, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures here")
    parser.add_argument("--figure", metavar="FILE", help="draw the distances here (png, ...)")


def run(args: argparse.Namespace) -> int:
    json_file = args.json and require_writable_file(args.json, (".json",))
    figure_file = args.figure and require_writable_file(args.figure, (".png", ".pdf", ".svg"))
    from .. import CanonicalizedConfig, distribution_shift
    from ..evaluation import plot_shift
    from ..tasks import class_for
    from ..tasks.audio import CanonicalizedAudioModel

    config = read_config(args.model)
    model = args.model
    if isinstance(config, CanonicalizedConfig) or args.group is None:  # which is refused there
        args.canonicalizer, args.decision = "predictor", None
        model = load_model(args)
        config = model.predictor.config
    reads_audio = issubclass(class_for(config.architectures, args.model), CanonicalizedAudioModel)
    processor = None if reads_audio else load_processor(args.model)
    with ExitStack() as broken:
        sides = {}
        for side in ("reference", "incoming"):
            sides[side] = load(args, side, reads_audio, config)
            if not reads_audio:
                broken.enter_context(naming_broken_images(sides[side]))
        report = distribution_shift(
            sides["reference"],
            sides["incoming"],
            args.group,
            model=model,
            processor=processor,
            batch_size=args.batch_size,
        )
    print(report)
    if json_file:
        report.save(json_file)
    if figure_file:
        plot_shift(report, figure_file)
    return 0


def load(args: argparse.Namespace, side: str, reads_audio: bool, config: "PreTrainedConfig") -> "Dataset":
    """The data of one side, without labels."""
    data, split = getattr(args, side), getattr(args, f"{side}_split")
    if reads_audio:
        return load_clips(data, split, SPLITS[side])
    return load_images(data, split, SPLITS[side], config, labelled=False)
