"""`hf-canon calibrate`: a face over `calibrate`."""

import argparse
from typing import TYPE_CHECKING

from ..data.errors import check_fit, naming_broken_images
from ..data.named import DATA_HELP, load_images
from .checkpoints import load_processor, read_config
from .numbers import count

if TYPE_CHECKING:
    from ..modeling_canonicalized import CanonicalizedModel

NAME = "calibrate"
SUMMARY = "find out when an adapter may act, with a bound on the harm"
DESCRIPTION = """\
Find the thresholds that keep two promises on images like those of a data set:
that the set of poses holds the true one (in all but a share --alpha of them), and
that no more than a share --harm of them, upright, have a right answer that
canonicalization turns into a wrong one. The images have to be upright, and none of those
that the adapter was trained on. Without labels every answer that changes is harm.
The record is saved with the adapter, and stands on its card."""
EXAMPLES = """\
  hf-canon calibrate out --data held-back/
  hf-canon calibrate out --data held-back/ --alpha 0.05 --harm 0.01 --decision conformal
  hf-canon calibrate out --data beans --split validation --decision identity"""

SPLITS = ("validation", "calibration", "test", "train")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("adapter", metavar="ADAPTER", help="the folder of an adapter")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--split", help="default: validation, or else calibration, test, or train")
    parser.add_argument("--alpha", type=float, default=0.1, help="share of missed poses (default: %(default)s)")
    parser.add_argument(
        "--harm",
        type=share_or_none,
        default=0.05,
        help="share of spoiled answers, or none to calibrate the coverage alone (default: %(default)s)",
    )
    parser.add_argument(
        "--decision",
        choices=["argmax", "conformal", "orbit", "identity", "abstain"],
        help="the rule by which the adapter decides from then on (default: as before)",
    )
    parser.add_argument("--batch-size", type=count, default=32, help="default: %(default)s")


def run(args: argparse.Namespace) -> int:
    require_adapter_folder(args.adapter)
    from .. import CanonicalizedModel, calibrate
    from ..calibration.calibrate import require_bounds, require_scores

    require_bounds(args.alpha, args.harm)
    model = CanonicalizedModel.from_pretrained(args.adapter)
    if args.harm is not None:
        require_scores(model)
    require_fitting_rule(model, args.decision, args.harm)
    processor = load_processor(args.adapter)
    images = load_images(args.data, args.split, SPLITS, model.predictor.config)
    with naming_broken_images(images):
        check_fit(model, processor, images)
        record = calibrate(
            model, images, alpha=args.alpha, harm=args.harm, processor=processor, batch_size=args.batch_size
        )
    if args.decision:
        model.config.decision = model.rule(args.decision).name
    model.save_pretrained(args.adapter)
    print(record)
    print(f"It is saved in {args.adapter}, which decides by {model.config.decision!r}.")
    return 0


def share_or_none(text: str) -> float | None:
    """For argparse: a number, or the word none."""
    return None if text == "none" else float(text)


def require_fitting_rule(model: "CanonicalizedModel", name: str | None, harm: float | None) -> None:
    """Raise ValueError, before the work, if the model could not decide by that rule after it."""
    from ..selection import RULES

    rule = RULES[name or "argmax"]
    if rule.averages and not model.averages:
        model.rule("orbit")  # which needs no calibration, and says why not
    if rule.needs == "harm" and harm is None:
        raise ValueError(f"--decision {name} acts by a bound on the harm; give --harm 0.05, say, in place of none.")


def require_adapter_folder(name: str) -> None:
    """Raise ValueError unless that is the folder of an adapter, where the record can be saved."""
    from pathlib import Path

    from .. import CanonicalizedConfig

    if not isinstance(read_config(name), CanonicalizedConfig):
        raise ValueError(
            f"{name!r} is a checkpoint without adapter; make one with `hf-canon train {name} --data ...`."
        )
    if not Path(name).is_dir():
        raise ValueError(
            f"{name!r} is on the Hub, and the record is saved in a folder: get it with `hf download {name} "
            "--local-dir FOLDER`, calibrate that, and push it again."
        )
