"""`hf-canon train`: a face over `CanonicalizedModel.wrap` and `CanonicalizationTrainer`."""

import argparse
import shutil

from ..data.errors import check_fit, naming_broken_images
from ..data.named import DATA_HELP, load_images
from .checkpoints import load_processor, read_config
from .destinations import require_writable_folder
from .numbers import count, positive

NAME = "train"
SUMMARY = "train an adapter for a checkpoint, without labels"
DESCRIPTION = """\
Put a canonicalizer in front of an image classifier and train it on images that
nothing has happened to: upright, and in their own colours. The checkpoint is not
changed, and no labels are read. A tenth of the images is held back to measure
how often the pose is found, and the best epoch is kept.

Where nobody knows what has happened to the images, --prior predictor asks the
checkpoint, and --realign-rounds 3 estimates the pose of every image at the start
of each third of the training, with what was learned until then. The last epoch is
kept, for no pose is known that could tell which is best. With some upright images
beside them, --reference makes the others look like those; a tenth of the reference
is held back. Where it is large enough to train on alone, that is better."""
EXAMPLES = """\
  hf-canon train google/vit-base-patch16-224 --data photos/ --group d4 --output vit-d4
  hf-canon train my-checkpoint/ --data mnist --group c8 --canonicalizer shift --epochs 20
  hf-canon train my-checkpoint/ --data photos/ --group hue12 --canonicalizer shift

images in unknown poses:
  hf-canon train my-checkpoint/ --data scans/ --group c4 --prior predictor --realign-rounds 3
  hf-canon train my-checkpoint/ --data scans/ --group c4 --reference upright/

go on after an interruption:
  hf-canon train my-checkpoint/ --data mnist --group c8 --canonicalizer shift --epochs 20 --resume"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="an image classifier: a folder, or a Hub id")
    parser.add_argument("--data", required=True, help=DATA_HELP)
    parser.add_argument("--split", help="default: train, or else the only one")
    parser.add_argument(
        "--group",
        default="c8",
        help="what happens to the inputs; `hf-canon info` lists the groups (default: %(default)s)",
    )
    parser.add_argument(
        "--canonicalizer",
        help="what finds the pose; `hf-canon info` lists the canonicalizers (default: the one that fits the group)",
    )
    known = parser.add_mutually_exclusive_group()
    known.add_argument(
        "--prior",
        choices=("identity", "predictor"),
        default="identity",
        help="the poses of the images: identity, they come upright; predictor, ask the checkpoint "
        "(default: %(default)s)",
    )
    known.add_argument(
        "--reference",
        metavar="DATA",
        help="upright images, which those of --data are to look like: a folder or a name, as there",
    )
    parser.add_argument(
        "--realign-rounds",
        type=count,
        default=0,
        metavar="N",
        help="estimate the pose of every image anew at the start of each of N parts of the training",
    )
    parser.add_argument("--output", default="out", help="folder for the adapter (default: %(default)s)")
    parser.add_argument("--epochs", type=positive, default=10, help="default: %(default)s")
    parser.add_argument("--batch-size", type=count, default=64, help="default: %(default)s")
    parser.add_argument("--learning-rate", type=positive, default=2e-3, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=42, help="default: %(default)s")
    used = parser.add_mutually_exclusive_group()
    used.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    used.add_argument("--overwrite", action="store_true", help="start anew in an output folder that is not empty")


def run(args: argparse.Namespace) -> int:
    from transformers import set_seed

    from .. import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, get_group
    from ..groups import Images

    get_group(args.group)
    read_config(args.checkpoint)
    last = prepare_output(args)
    set_seed(args.seed)  # the canonicalizer starts from random weights
    model = CanonicalizedModel.wrap(args.checkpoint, group=args.group, canonicalizer=args.canonicalizer)
    if not isinstance(model.group.kind, Images):
        raise ValueError(
            f"{args.checkpoint} reads audio, and this command trains with images. Use CanonicalizationTrainer "
            "in Python: its data set has a column 'audio'."
        )
    processor = load_processor(args.checkpoint)
    images = load_images(args.data, args.split, ("train",), model.predictor.config).select_columns("image")
    reference = args.reference and load_images(args.reference, None, ("train",), model.predictor.config, False)
    shown = reference or images
    held_back = len(shown) // 10
    parts = shown.train_test_split(held_back, seed=args.seed) if held_back else {"train": shown}
    every = "epoch" if held_back else "no"
    known = args.prior == "identity"
    arguments = CanonicalizationArguments(
        output_dir=args.output,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        seed=args.seed,
        eval_strategy=every,
        save_strategy="epoch",
        save_total_limit=1,
        logging_strategy="epoch",
        load_best_model_at_end=bool(held_back) and known,
        metric_for_best_model="pose_accuracy" if held_back and known else None,
        prior="reference" if reference else args.prior,
        realign_rounds=args.realign_rounds,
        report_to="none",
    )
    with naming_broken_images(images):
        check_fit(model, processor, images)
        trainer = CanonicalizationTrainer(
            model=model,
            args=arguments,
            train_dataset=images if reference else parts["train"],
            reference_dataset=parts["train"] if reference else None,
            eval_dataset=parts.get("test"),
            processing_class=processor,
        )
        trainer.train(resume_from_checkpoint=last)
    model.save_pretrained(args.output)
    processor.save_pretrained(args.output)
    if trainer.state.best_metric is not None:
        print(f"The pose is found for {100 * trainer.state.best_metric:.1f} % of {held_back} held-back images.")
    agreements = [one["eval_pose_agreement"] for one in trainer.state.log_history if "eval_pose_agreement" in one]
    if agreements:
        print(
            f"The pose that the checkpoint likes best is found for {100 * agreements[-1]:.1f} % of {held_back} "
            "held-back images."
        )
    print(f"The adapter is saved in {args.output}. To see what it changes:")
    print(f"  hf-canon evaluate {args.output} --data {args.data}")
    return 0


def prepare_output(args: argparse.Namespace) -> str | None:
    """Make the output folder, and return the checkpoint in it to go on from.

    Raises:
        ValueError: the folder is in use, cannot be written, or does not hold what is to be resumed.
    """
    from transformers.trainer_utils import get_last_checkpoint

    from ..hub import require_ours
    from ..predictors.hub_files import where_of

    folder = require_writable_folder(args.output)
    require_ours(folder)
    if args.resume:
        last = get_last_checkpoint(args.output)
        if last is None:
            raise ValueError(f"There is no checkpoint in {args.output!r} to resume from; leave out --resume.")
        saved = read_config(last)
        for name in ("group", "canonicalizer"):
            if getattr(args, name) not in (None, getattr(saved, name)):
                raise ValueError(
                    f"The training in {args.output!r} had --{name} {getattr(saved, name)}; resume it with the same."
                )
        if saved.base_name_or_path != where_of(args.checkpoint):
            raise ValueError(
                f"The training in {args.output!r} was for the checkpoint {saved.base_name_or_path!r}; resume it with "
                "the same, or name another --output."
            )
        return last
    if any(folder.iterdir()):
        if not args.overwrite:
            raise ValueError(
                f"The output folder {args.output!r} is not empty: add --resume to go on, --overwrite to start anew, "
                "or name another --output."
            )
        for old in folder.glob("checkpoint-*"):
            shutil.rmtree(old)
    return None
