"""`hf-canon evaluate`: a face over `evaluate_robustness`."""

import argparse
from pathlib import Path

from ..data.errors import check_fit, naming_broken_images
from ..data.named import DATA_HELP, load_images
from .checkpoints import add_model_arguments, load_model, load_processor, read_config
from .destinations import require_writable_file
from .numbers import count

NAME = "evaluate"
SUMMARY = "measure accuracy for every transform, before and after"
DESCRIPTION = """\
Move every image of a data set by every element of a group, and print how often
the checkpoint is right before and after canonicalization, beside the baselines.
Without labels, agreement with its own upright answers takes the place of accuracy:
of a segmenter the overlap of its maps, of a detector that of its boxes."""
EXAMPLES = """\
  hf-canon evaluate out --data photos/ --figure circle.png
  hf-canon evaluate out --data photos/ --report pages/
  hf-canon evaluate out --data photos/ --card
  hf-canon evaluate out --data photos/ --reference held-back/ --report pages/
  hf-canon evaluate out --data beans --split test --transforms c8 --json report.json

without any training, by the checkpoint's own confidence:
  hf-canon evaluate google/vit-base-patch16-224 --group c8 --data photos/"""

STRIP = 3
"""How many images the figure shows beside the circle."""

SPLITS = ("test", "validation", "train")
REFERENCE_SPLITS = ("validation", "train", "test")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--split", help="default: test, or else validation, or else train")
    parser.add_argument(
        "--reference",
        metavar="DATA",
        help="other images, such as those of the validation: say how far the ones of --data are from them, and how "
        "much of that is pose",
    )
    parser.add_argument(
        "--transforms",
        nargs="+",
        metavar="GROUP|DEGREES",
        help="groups and angles (c8, or 10 55, or hue); default: the group",
    )
    parser.add_argument("--batch-size", type=count, default=32, help="default: %(default)s")
    parser.add_argument("--json", metavar="FILE", help="write the figures here")
    parser.add_argument(
        "--figure", metavar="FILE", help="draw the accuracies, and for classifiers three images, here (png, ...)"
    )
    parser.add_argument(
        "--report",
        metavar="FOLDER",
        help="write a page to decide from (index.html, which shows some of the images) and its figures "
        "(report.json) here",
    )
    parser.add_argument(
        "--card",
        action="store_true",
        help="keep the report in the adapter's folder, and show it on the adapter's card",
    )


def run(args: argparse.Namespace) -> int:
    if args.card:
        require_adapter_folder(args.model)
    json_file = args.json and require_writable_file(args.json, (".json",))
    figure_file = args.figure and require_writable_file(args.figure, (".png", ".pdf", ".svg"))
    from ..evaluation import evaluate_robustness, plot_report, require_report_folder

    if args.report:
        require_report_folder(args.report)

    model = load_model(args)
    processor = load_processor(args.model)
    images = load_images(args.data, args.split, SPLITS, model.predictor.config)
    reference = args.reference and load_images(
        args.reference, None, REFERENCE_SPLITS, model.predictor.config, labelled=False
    )
    transforms = args.transforms or ["c8" if model.group.name == "so2" else model.group.name]
    with naming_broken_images(images):
        check_fit(model, processor, images)
        report = evaluate_robustness(
            model,
            images,
            transforms=[float(name) if is_number(name) else name for name in transforms],
            processor=processor,
            batch_size=args.batch_size,
            report=args.report,
            reference=reference,
        )
    print(report)
    if args.report:
        print(f"The page to decide from: {Path(args.report) / 'index.html'}")
    if json_file:
        report.save(json_file)
    if args.card:
        from ..hub import add_report, write_card

        add_report(Path(args.model), report)
        write_card(Path(args.model), Path(args.model).resolve().name)
        print(f"The report is on the card, {args.model}/README.md.")
    if figure_file:
        strip = images[: min(STRIP, len(images))]["image"]
        plot_report(report, model, list(strip), figure_file, processor=processor)
    return 0


def require_adapter_folder(name: str) -> None:
    """Raise ValueError unless that is the folder of an adapter whose card may be written anew."""
    from .. import CanonicalizedConfig
    from ..hub.folder import CARD_FILE, may_renew

    if not Path(name).is_dir() or not isinstance(read_config(name), CanonicalizedConfig):
        raise ValueError(f"--card writes into the folder of an adapter, and {name!r} is none. Leave out --card.")
    if not may_renew(Path(name) / CARD_FILE):
        raise ValueError(
            f"Somebody has edited {name}/{CARD_FILE}, and --card would write it anew. Leave out --card, or remove it."
        )


def is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).isdigit()
