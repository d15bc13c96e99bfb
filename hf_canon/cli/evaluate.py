"""`hf-canon evaluate`: a face over `evaluate_robustness`."""

import argparse

from .checkpoints import add_model_arguments, load_model, load_processor
from .destinations import require_writable_file
from .numbers import count
from .pictures import DATA_HELP, check_fit, load_pictures, naming_broken_pictures

NAME = "evaluate"
SUMMARY = "measure accuracy for every transform, before and after"
DESCRIPTION = """\
Turn every picture of a data set by every element of a group, and print how often
the checkpoint is right before and after canonicalization, beside the baselines.
Without labels, agreement with its own upright answers takes the place of accuracy."""
EXAMPLES = """\
  hf-canon evaluate out --data photos/ --figure circle.png
  hf-canon evaluate out --data beans --split test --transforms c8 --json report.json

without any training, by the checkpoint's own confidence:
  hf-canon evaluate google/vit-base-patch16-224 --group c8 --data photos/"""

STRIP = 3
"""How many pictures the figure shows beside the circle."""

SPLITS = ("test", "validation", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--split", help="default: test, or else validation, or else train")
    parser.add_argument(
        "--transforms", nargs="+", metavar="GROUP|DEGREES", help="groups and angles (c8, or 10 55); default: the group"
    )
    parser.add_argument("--batch-size", type=count, default=32, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures here")
    parser.add_argument(
        "--figure", metavar="FILE", help="draw the circle of accuracies and three pictures here (png, ...)"
    )


def run(args: argparse.Namespace) -> int:
    json_file = args.json and require_writable_file(args.json, (".json",))
    figure_file = args.figure and require_writable_file(args.figure, (".png", ".pdf", ".svg"))
    from ..evaluation import evaluate_robustness, plot_report

    model = load_model(args)
    processor = load_processor(args.model)
    pictures = load_pictures(args.data, args.split, SPLITS, model.predictor.config)
    transforms = args.transforms or [model.group.name if model.group.finite else "c8"]
    with naming_broken_pictures(pictures):
        check_fit(model, processor, pictures)
        report = evaluate_robustness(
            model,
            pictures,
            transforms=[float(name) if is_number(name) else name for name in transforms],
            processor=processor,
            batch_size=args.batch_size,
        )
    print(report)
    if json_file:
        report.save(json_file)
    if figure_file:
        strip = pictures[: min(STRIP, len(pictures))]["image"]
        plot_report(report, model, list(strip), figure_file, processor=processor)
    return 0


def is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
