"""The checkpoint or adapter that a command is given."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.named import looks_like_path

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from ..modeling_canonicalized import CanonicalizedModel


def add_model_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that `load_model` reads."""
    parser.add_argument(
        "model", metavar="ADAPTER_OR_CHECKPOINT", help="a folder, or the id of a repository on the Hub"
    )
    parser.add_argument(
        "--group", help="for a checkpoint without adapter: what happens to its inputs (c8, d4, hue12, ...)"
    )
    parser.add_argument(
        "--canonicalizer",
        choices=["predictor"],
        default="predictor",
        help="for a checkpoint without adapter: 'predictor' takes the pose in which the checkpoint is surest, one "
        "pass for each element of the group; every other canonicalizer needs `hf-canon train`",
    )
    parser.add_argument(
        "--decision",
        choices=["argmax", "conformal", "orbit", "identity", "abstain"],
        help="the rule that decides which poses the checkpoint is asked about, in place of the adapter's own",
    )


def load_model(args: argparse.Namespace) -> "CanonicalizedModel":
    """The model that `add_model_arguments` describes, on this machine's accelerator if it has one.

    Raises:
        ValueError: nothing can be read there; `--group` is missing for a checkpoint, or given for an adapter; or the
            model cannot decide by that rule.
    """
    import torch

    from .. import CanonicalizedConfig, CanonicalizedModel

    if isinstance(read_config(args.model), CanonicalizedConfig):
        if args.group is not None:
            raise ValueError(f"{args.model} is an adapter and knows its group; leave out --group {args.group}.")
        model = CanonicalizedModel.from_pretrained(args.model)
    elif args.group is None:
        raise ValueError(
            f"{args.model} is a checkpoint without adapter: say what happens to its inputs, with --group c8 for "
            "instance, or train an adapter with `hf-canon train`."
        )
    else:
        model = CanonicalizedModel.wrap(args.model, group=args.group, canonicalizer=args.canonicalizer)
    if args.decision is not None:
        model.config.decision = model.rule(args.decision).name
    device = torch.accelerator.current_accelerator(check_available=True)
    return model if device is None else model.to(device)  # type: ignore[arg-type]


def read_config(where: str) -> "PreTrainedConfig":
    """The configuration of a checkpoint or adapter: a folder, or the id of a repository on the Hub.

    Raises:
        ValueError: there is none.
    """
    from transformers import AutoConfig

    if Path(where).is_dir():
        if not (Path(where) / "config.json").is_file():
            raise ValueError(f"The folder {where!r} holds no config.json, and so neither a checkpoint nor an adapter.")
    elif Path(where).exists():
        raise ValueError(f"{where!r} is a file; name the folder that holds config.json.")
    elif looks_like_path(where):
        raise ValueError(f"There is no folder {where!r}.")
    try:
        return AutoConfig.from_pretrained(where)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        if Path(where).is_dir():
            raise ValueError(f"The config.json in {where!r} is not one that transformers knows: {reason}.") from error
        raise ValueError(f"There is no folder {where!r}, and the Hub gave no such repository: {reason}.") from error


def load_processor(where: str) -> Any:
    """The image processor saved with a checkpoint or adapter.

    Raises:
        ValueError: there is none.
    """
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(where)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{where!r} has no image processor (preprocessor_config.json): save the one of the checkpoint there, with "
            "processor.save_pretrained."
        ) from error
