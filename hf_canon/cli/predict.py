"""`hf-canon predict`: the class of each picture, and how it had been turned."""

import argparse
import sys
from typing import Any

from .checkpoints import add_model_arguments, load_model, load_processor
from .pictures import find_images, open_picture

NAME = "predict"
SUMMARY = "classify images, and say how each had been turned"
DESCRIPTION = """\
Classify images. One line for each, separated by tabs: file, label, probability,
and the element of the group that was found and undone. EXIF orientation is
honoured. A file that cannot be read is reported on stderr, and the rest go on."""
EXAMPLES = """\
  hf-canon predict out photo.jpg
  hf-canon predict out holiday/ > answers.tsv

without any training, by the checkpoint's own confidence:
  hf-canon predict google/vit-base-patch16-224 --group c8 photo.jpg"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_model_arguments(parser)
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="image files, and folders of them")


def run(args: argparse.Namespace) -> int:
    import torch
    from tqdm.auto import tqdm

    from ..pictures import picture_mode

    paths = find_images(args.images)
    model = load_model(args)
    processor = load_processor(args.model)
    names: dict[Any, str] = model.config.id2label or {}
    mode = picture_mode(model.predictor.config)
    exit_code = 0
    for path in tqdm(paths, unit="image", disable=None if len(paths) > 1 else True):
        try:
            picture = open_picture(path, mode)
        except ValueError as error:
            tqdm.write(f"hf-canon predict: {error}", file=sys.stderr)
            exit_code = 2
            continue
        # One at a time: processors that keep the aspect ratio make no batches, and answers appear as they are found.
        with torch.inference_mode():
            out = model(**processor(picture, return_tensors="pt").to(model.device, model.dtype))
        probability, label = out.logits[0].float().softmax(-1).max(-1)
        element = model.group.describe(out.canonicalization.element[0].item())
        tqdm.write(f"{path}\t{names[int(label)]}\t{probability:.3f}\t{element}", file=sys.stdout)
    return exit_code
