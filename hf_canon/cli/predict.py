"""`hf-canon predict`: the class of each image, and what had happened to it."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ..data.columns import IMAGE_SUFFIXES
from ..data.errors import readable
from ..data.named import DATA_HELP, files_in, load_rows
from .checkpoints import add_model_arguments, load_model, load_processor
from .destinations import require_writable_folder
from .numbers import count

NAME = "predict"
SUMMARY = "classify images, and say what had happened to each"
DESCRIPTION = """\
Classify images. One line for each, separated by tabs: file, label, probability,
the element of the group that was undone, and what the decision rule did, such as
"abstained" where the answer is not to be relied on. EXIF orientation is honoured.
A file that cannot be read is reported on stderr, and the rest go on.

Or classify a data set of any size, into a folder of parquet files with a row for
each input. An image that cannot be read has a row that says so. The same command
again goes on where it was interrupted. For several GPUs there is
scripts/predict.py."""
EXAMPLES = """\
  hf-canon predict out photo.jpg
  hf-canon predict out holiday/ > answers.tsv

a data set; the names of the image files are kept, or the columns that you name:
  hf-canon predict out --data photos/ --output answers/
  hf-canon predict out --data scans.parquet --output answers/ --columns id image
  hf-canon predict out --data imagenet-1k --split validation --streaming --output answers/

without any training, by the checkpoint's own confidence:
  hf-canon predict google/vit-base-patch16-224 --group c8 photo.jpg"""

SPLITS = ("test", "validation", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    images = parser.add_argument(
        "images", nargs="+", metavar="IMAGE_OR_FOLDER", help="image files, and folders of them"
    )
    images.required = False  # a data set takes their place; with nargs="*" they could not come after a flag
    dataset = parser.add_argument_group("a data set")
    dataset.add_argument("--data", help=DATA_HELP)
    dataset.add_argument(
        "--output", metavar="FOLDER", help="where its answers go: a new folder, or that of an interrupted run"
    )
    dataset.add_argument("--split", help="default: test, or else validation, or else train")
    dataset.add_argument(
        "--streaming", action="store_true", help="read it as it is used: it is not downloaded or converted first"
    )
    dataset.add_argument("--batch-size", type=count, default=32, help="default: %(default)s")
    dataset.add_argument(
        "--rows-per-part", type=count, default=10_000, help="rows of an output file; default: %(default)s"
    )
    dataset.add_argument(
        "--columns",
        nargs="+",
        metavar="COLUMN",
        help="columns to keep beside the answers; that of images stands for the names of their files, the default",
    )


def run(args: argparse.Namespace) -> int:
    if bool(args.images) == bool(args.data):
        raise ValueError("Name images, or a data set with --data DATASET --output FOLDER, and not both.")
    if bool(args.data) != bool(args.output):
        raise ValueError("A data set and the folder of its answers belong together: --data DATASET --output FOLDER.")
    return answer_dataset(args) if args.data else answer_images(args)


def answer_dataset(args: argparse.Namespace) -> int:
    require_writable_folder(args.output)
    from ..prediction import predict_dataset

    model = load_model(args)
    summary = predict_dataset(
        model,
        load_rows(args.data, args.split, SPLITS, args.streaming),
        args.output,
        load_processor(args.model),
        batch_size=args.batch_size,
        rows_per_part=args.rows_per_part,
        columns=args.columns,
    )
    print(summary)
    return 0


def answer_images(args: argparse.Namespace) -> int:
    import torch
    from tqdm.auto import tqdm

    from ..data.images import open_image, process

    paths = find_images(args.images)
    model = load_model(args)
    if model.task != "image-classification":
        raise ValueError(
            f"{args.model} is a model for {model.task}, and this command prints a class for each image. "
            f"Use transformers.pipeline({model.task!r}, {args.model!r}), after `import hf_canon`."
        )
    processor = load_processor(args.model)
    names: dict[Any, str] = model.config.id2label or {}
    exit_code = 0
    for path in tqdm(paths, unit="image", disable=None if len(paths) > 1 else True):
        try:
            with readable(f"The image {str(path)!r}"):
                image = open_image(path)
        except ValueError as error:
            tqdm.write(f"hf-canon predict: {error}", file=sys.stderr)
            exit_code = 2
            continue
        # One at a time: processors that keep the aspect ratio make no batches, and answers appear as they are found.
        x = process([image], processor, model.predictor.config)
        with torch.inference_mode():
            out = model(pixel_values=x.to(model.device, model.dtype))
        probability, label = out.logits[0].float().softmax(-1).max(-1)
        element = model.group.describe(out.canonicalization.element[0].item())
        action = out.canonicalization.actions[0]
        tqdm.write(f"{path}\t{names[int(label)]}\t{probability:.3f}\t{element}\t{action}", file=sys.stdout)
    return exit_code


def find_images(names: list[str]) -> list[Path]:
    """The image files that are named, and those in the folders that are named.

    Raises:
        ValueError: there is no such file or folder, or no image in a folder.
    """
    found = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = files_in(path, IMAGE_SUFFIXES)
            if not inside:
                raise ValueError(f"There is no image in the folder {name!r}.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"There is no image file or folder {name!r}.")
    return found
