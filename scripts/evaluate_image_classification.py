"""How an image classifier answers when its images are turned: before and after canonicalization, in one run.

An adapter (what train_image_classification.py saved, or the id of a repository on the Hub):

    python scripts/evaluate_image_classification.py --model out/vit-d4 --data photos/ \\
        --transforms d4 10 55 --json report.json --figure report.png

A checkpoint that has none, by its own confidence and without any training:

    python scripts/evaluate_image_classification.py --checkpoint google/vit-base-patch16-224 --group c8 --data photos/

A stream; only a few figures for each image stay in memory:

    python scripts/evaluate_image_classification.py --model out/vit-d4 --data imagenet-1k \\
        --split validation --streaming

From one file: `python scripts/evaluate_image_classification.py arguments.yaml` (or .json), with the names above as
keys. Private repositories are read with the token in HF_TOKEN.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import torch
from image_data import DataArguments, choose_split, limit, open_data, parse_arguments, prepare
from transformers import AutoImageProcessor

from hf_canon import CanonicalizedModel, RobustnessReport, evaluate_robustness
from hf_canon.cli.checkpoints import load_processor
from hf_canon.cli.destinations import require_writable_file
from hf_canon.cli.evaluate import SPLITS, STRIP, is_number
from hf_canon.data.errors import check_fit, naming_broken_images
from hf_canon.evaluation import plot_report


@dataclass
class EvaluationArguments:
    """What is evaluated, and where the answer goes."""

    model: str | None = field(default=None, metadata={"help": "An adapter: a folder, or a repository on the Hub."})
    checkpoint: str | None = field(default=None, metadata={"help": "Or a checkpoint without adapter; give --group."})
    group: str | None = field(
        default=None, metadata={"help": "What happens to the inputs of the checkpoint; an adapter knows its own."}
    )
    revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of either."})
    dtype: str | None = field(
        default=None, metadata={"help": "Of the checkpoint's weights (bfloat16, float32, ...); default: as saved."}
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "Of the checkpoint: sdpa, flash_attention_2, eager, ..."}
    )
    split: str | None = field(default=None, metadata={"help": "Default: test, or else validation, or else train."})
    transforms: list[str] | None = field(
        default=None, metadata={"help": "Groups and angles in degrees (c8, or c8 10 55); default: the group."}
    )
    batch_size: int = field(default=32, metadata={"help": "Images a pass."})
    json: str | None = field(default=None, metadata={"help": "Write the figures here."})
    report: str | None = field(
        default=None, metadata={"help": "Write a page to decide from, and its figures, into this folder."}
    )
    figure: str | None = field(
        default=None, metadata={"help": "Draw the circle of accuracies and three images here (png, pdf, svg)."}
    )

    def __post_init__(self) -> None:
        if (self.model is None) == (self.checkpoint is None):
            raise ValueError("Give either --model, an adapter, or --checkpoint with --group.")
        if self.checkpoint is not None and self.group is None:
            raise ValueError(
                f"{self.checkpoint!r} has no adapter that says what happens to its inputs; say it, with --group c8."
            )
        if self.model is not None and self.group is not None:
            raise ValueError(f"{self.model!r} is an adapter and knows its group; leave out --group {self.group}.")


def main(argv: Sequence[str] | None = None) -> RobustnessReport:
    """Evaluate, print the table and write what was asked for.

    Args:
        argv: the words after the script's name; those of this process by default.

    Raises:
        ValueError: arguments that cannot work, or do not work together.
    """
    args, data_args = parse_arguments([EvaluationArguments, DataArguments], argv)
    json_file = args.json and require_writable_file(args.json, (".json",))
    figure_file = args.figure and require_writable_file(args.figure, (".png", ".pdf", ".svg"))
    model = load_model(args)
    processor = load_processor(args.model or args.checkpoint)
    if args.revision is not None:
        processor = AutoImageProcessor.from_pretrained(args.model or args.checkpoint, revision=args.revision)
    splits = open_data(data_args)
    split = choose_split(splits, args.split, SPLITS, data_args)
    images = prepare(splits[split], data_args, model.predictor.config)
    images = limit(images, data_args.max_eval_samples, seed=0)
    transforms = args.transforms or ["c8" if model.group.name == "so2" else model.group.name]
    with naming_broken_images(images):
        check_fit(model, processor, [next(iter(images))])
        report = evaluate_robustness(
            model,
            images,
            transforms=[float(name) if is_number(name) else name for name in transforms],
            processor=processor,
            batch_size=args.batch_size,
            report=args.report,
        )
    print(report)
    if json_file:
        report.save(json_file)
    if figure_file:
        strip = [row["image"] for row in islice(images, STRIP)]
        plot_report(report, model, strip, figure_file, processor=processor)
    return report


def load_model(args: EvaluationArguments) -> CanonicalizedModel:
    """The adapter, or the checkpoint with the canonicalizer that needs no training, on the accelerator if any."""
    wanted = {"revision": args.revision, "dtype": args.dtype, "attn_implementation": args.attn_implementation}
    loading: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if args.model is not None:
        model = CanonicalizedModel.from_pretrained(args.model, **loading)
    else:
        model = CanonicalizedModel.wrap(args.checkpoint, group=args.group, canonicalizer="predictor", **loading)
    device = torch.accelerator.current_accelerator(check_available=True)
    return model if device is None else model.to(device)


if __name__ == "__main__":
    main()
