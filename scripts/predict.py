"""Answer every row of a data set, in parts that an interrupted run leaves whole: the same command again goes on.

One process:

    python scripts/predict.py --model out/vit-d4 --data photos/ --output answers

Every GPU of a machine, and four processes for each that decode images:

    torchrun --nproc_per_node gpu scripts/predict.py --model out/vit-d4 --data imagenet-1k --split validation \\
        --output answers --batch_size 256 --num_workers 4

    accelerate launch scripts/predict.py --model out/vit-d4 --data scans.parquet --output answers --columns id image

Two processes on a CPU, and a stream, which is not downloaded or converted first:

    torchrun --nproc_per_node 2 scripts/predict.py --model out/vit-d4 --data imagenet-1k --split validation \\
        --streaming --output answers

A checkpoint without adapter, by its own confidence:

    python scripts/predict.py --model google/vit-base-patch16-224 --group c8 --data photos/ --output answers

The answers: `datasets.load_dataset("parquet", data_files="answers/*.parquet")`. `predict_dataset` says what each
column is, and what a stream costs. Private repositories are read with the token in HF_TOKEN.
"""

import sys
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import HfArgumentParser

from hf_canon.cli import USAGE_ERROR
from hf_canon.cli.checkpoints import load_model, load_processor
from hf_canon.cli.predict import SPLITS
from hf_canon.data.named import DATA_HELP, load_rows
from hf_canon.prediction import Summary, predict_dataset
from hf_canon.prediction.dataset import processes
from hf_canon.refusals import raised_by_us


@dataclass
class PredictionArguments:
    """What answers, what is answered, and where the answers go."""

    model: str = field(metadata={"help": "An adapter or a checkpoint: a folder, or a repository on the Hub."})
    data: str = field(metadata={"help": DATA_HELP})
    output: str = field(metadata={"help": "A new folder, or that of an interrupted run."})
    group: str | None = field(
        default=None, metadata={"help": "For a checkpoint without adapter: what happens to its inputs (c8, d4, ...)."}
    )
    decision: str | None = field(
        default=None,
        metadata={"help": "The rule that decides, in place of the adapter's own: conformal, abstain, ..."},
    )
    split: str | None = field(default=None, metadata={"help": "Default: test, or else validation, or else train."})
    streaming: bool = field(default=False, metadata={"help": "Read the data as it is used."})
    batch_size: int = field(default=32, metadata={"help": "Images a pass, for each process."})
    rows_per_part: int = field(default=10_000, metadata={"help": "Rows of an output file."})
    columns: list[str] | None = field(
        default=None,
        metadata={"help": "Columns to keep; that of images stands for the names of their files, the default."},
    )
    num_workers: int = field(default=0, metadata={"help": "Processes that decode images, for each that answers."})


def main(argv: Sequence[str] | None = None) -> Summary:
    """Answer, and print how many rows and errors there are.

    Args:
        argv: the words after the script's name; those of this process by default.

    Raises:
        ValueError: something that was given cannot work; the sentence says what to give instead.
    """
    (args,) = HfArgumentParser(PredictionArguments).parse_args_into_dataclasses(argv)
    state = processes()  # before the model is loaded: each process onto its own device
    summary = predict_dataset(
        load_model(Namespace(model=args.model, group=args.group, canonicalizer="predictor", decision=args.decision)),
        load_rows(args.data, args.split, SPLITS, args.streaming),
        args.output,
        load_processor(args.model),
        batch_size=args.batch_size,
        rows_per_part=args.rows_per_part,
        columns=args.columns,
        num_workers=args.num_workers,
    )
    if state.is_main_process:
        print(summary)
    return summary


if __name__ == "__main__":
    exit_code = 0
    try:
        main()
    except (ValueError, OSError) as error:
        if not raised_by_us(error):
            raise
        exit_code = USAGE_ERROR
        if processes().is_main_process:
            print(f"predict.py: {' '.join(str(error).split())}", file=sys.stderr)
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()
    sys.exit(exit_code)
