"""Put a canonicalizer in front of an image classifier and train it, on one device or on many.

The canonicalizer alone, without labels; the checkpoint is frozen (the default):

    python scripts/train_image_classification.py --checkpoint google/vit-base-patch16-224 --data photos/ --group d4 \\
        --output_dir out/vit-d4 --num_train_epochs 10 --eval_strategy epoch --save_strategy epoch \\
        --load_best_model_at_end --metric_for_best_model pose_accuracy --early_stopping_patience 3 \\
        --evaluate_transforms d4

The canonicalizer, and LoRA on the checkpoint, by its own loss; both are saved, the checkpoint is not:

    python scripts/train_image_classification.py --checkpoint google/vit-base-patch16-224 --data food101 --group c8 \\
        --output_dir out/vit-c8-lora --lora_rank 8 --task_weight 1 --learning_rate 5e-4 --bf16 \\
        --per_device_train_batch_size 16 --gradient_accumulation_steps 4 --report_to tensorboard

End to end; the checkpoint is trained and saved too:

    python scripts/train_image_classification.py --checkpoint my-checkpoint/ --data food101 --group c8 \\
        --output_dir out/end-to-end --train_predictor --task_weight 1 --learning_rate 5e-5

A stream, which never has to fit anywhere:

    python scripts/train_image_classification.py --checkpoint google/vit-base-patch16-224 --group c4 \\
        --output_dir out/imagenet-c4 --data imagenet-1k --streaming --max_steps 20000 \\
        --eval_strategy steps --eval_steps 1000 --validation_split validation --max_eval_samples 2000

Several devices (every command above can be started in each of these ways; scripts/launch says more):

    torchrun --nproc_per_node 8 scripts/train_image_classification.py ...
    torchrun --nproc_per_node 2 scripts/train_image_classification.py ... --use_cpu --ddp_backend gloo
    accelerate launch --config_file scripts/launch/fsdp.yaml scripts/train_image_classification.py ...

From one file: `python scripts/train_image_classification.py arguments.yaml` (or .json), with the names above as keys.

A command that was interrupted goes on from the last checkpoint in --output_dir when it is given again;
--resume_from_checkpoint names another one. --push_to_hub uploads the result. Private repositories are read with the
token in HF_TOKEN. All other arguments are those of `transformers.TrainingArguments`.

A stream is read by the main process, which hands every other its share: nothing is read twice, and only the last batch
of an epoch may repeat a few images, so that all processes get as many. Where that process is too slow, give it
--dataloader_num_workers. A resumed stream reads again what it skips; past its first epoch it begins a new one.
"""

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import datasets
import torch
import transformers
from accelerate import PartialState
from image_data import (
    DataArguments,
    Images,
    choose_split,
    limit,
    open_data,
    parse_arguments,
    prepare,
)
from transformers import (
    AutoImageProcessor,
    EarlyStoppingCallback,
    PreTrainedModel,
    TrainerCallback,
    set_seed,
)
from transformers.trainer_utils import get_last_checkpoint

from hf_canon import (
    CanonicalizationArguments,
    CanonicalizationTrainer,
    CanonicalizedConfig,
    CanonicalizedModel,
    RobustnessReport,
    evaluate_robustness,
    get_group,
)
from hf_canon.cli.checkpoints import load_processor, read_config
from hf_canon.cli.evaluate import is_number
from hf_canon.data.errors import check_fit, naming_broken_images
from hf_canon.hub import add_report
from hf_canon.predictors.hub_files import where_of

logger = logging.getLogger(__name__)


@dataclass
class ModelArguments:
    """What is trained."""

    checkpoint: str = field(metadata={"help": "An image classifier: a folder, or the id of a repository on the Hub."})
    revision: str | None = field(default=None, metadata={"help": "Branch, tag or commit of the checkpoint."})
    group: str = field(
        default="c8", metadata={"help": "What happens to the inputs; `hf-canon info` lists the groups."}
    )
    canonicalizer: str = field(
        default="orbit", metadata={"help": "What finds the pose; `hf-canon info` lists the canonicalizers."}
    )
    canonicalizer_settings: dict[str, Any] | str | None = field(
        default=None, metadata={"help": "Keyword arguments of the canonicalizer, as JSON: '{\"width\": 96}'."}
    )
    dtype: str | None = field(
        default=None, metadata={"help": "Of the checkpoint's weights (bfloat16, float32, ...); default: as saved."}
    )
    attn_implementation: str | None = field(
        default=None, metadata={"help": "Of the checkpoint: sdpa, flash_attention_2, eager, ..."}
    )
    lora_rank: int | None = field(default=None, metadata={"help": "Train LoRA of this rank on the checkpoint too."})
    lora_target_modules: list[str] | None = field(
        default=None, metadata={"help": "Names of the layers that get LoRA; default: every linear layer."}
    )

    def __post_init__(self) -> None:
        if isinstance(self.canonicalizer_settings, str):
            text = self.canonicalizer_settings
            try:
                self.canonicalizer_settings = json.loads(text)
            except json.JSONDecodeError as error:
                raise ValueError(
                    f"--canonicalizer_settings {text!r} is not JSON ({error}); write it as '{{\"width\": 96}}'."
                ) from error
        if self.lora_target_modules is not None and self.lora_rank is None:
            raise ValueError("--lora_target_modules says where LoRA goes, and there is none; add --lora_rank 8.")

    @property
    def loading(self) -> dict[str, Any]:
        """Keyword arguments of the checkpoint's `from_pretrained`."""
        chosen = {
            "revision": self.revision,
            "dtype": self.dtype,
            "attn_implementation": self.attn_implementation,
        }
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass
class TrainingDataArguments(DataArguments):
    """Which images are learnt from, and which are held back."""

    train_split: str | None = field(default=None, metadata={"help": "Default: train, or else the only one."})
    validation_split: str | None = field(
        default=None, metadata={"help": "Default: validation, or else a share of the training split is held back."}
    )
    validation_share: float = field(default=0.1, metadata={"help": "The share that is held back."})
    max_train_samples: int | None = field(default=None, metadata={"help": "Train on so many images at most."})
    shuffle_buffer_size: int = field(
        default=1000, metadata={"help": "Images of a stream that are held in memory to shuffle them."}
    )


@dataclass
class RunArguments:
    """When to stop, and what to measure at the end."""

    early_stopping_patience: int | None = field(
        default=None, metadata={"help": "Stop after so many evaluations without a new best."}
    )
    evaluate_transforms: list[str] | None = field(
        default=None, metadata={"help": "At the end, turn the held-back images by these groups and angles."}
    )


def main(argv: Sequence[str] | None = None) -> CanonicalizationTrainer:
    """Train, save and evaluate.

    Args:
        argv: the words after the script's name; those of this process by default.

    Raises:
        ValueError: arguments that cannot work, or do not work together.
    """
    model_args, data_args, run_args, training_args = parse_arguments(
        [ModelArguments, TrainingDataArguments, RunArguments, CanonicalizationArguments], argv
    )
    check(model_args, data_args, run_args, training_args)
    start_logging(training_args)
    checkpoint = find_checkpoint(training_args, model_args)
    set_seed(training_args.seed)  # the canonicalizer starts from random weights

    model = build_model(model_args)
    processor = load_processor(model_args.checkpoint)
    if model_args.revision is not None:
        processor = AutoImageProcessor.from_pretrained(model_args.checkpoint, revision=model_args.revision)
    evaluates = training_args.do_eval or run_args.evaluate_transforms is not None
    # One process downloads and converts, and the others then find it in the cache.
    with training_args.main_process_first(desc="reading the data"):
        train, validation = load_data(data_args, model.predictor.config, training_args, evaluates)
    if not training_args.task_weight:
        train = train.select_columns("image")
    elif "label" not in train.features:
        raise ValueError(
            f"The task loss needs labels, and {data_args.data!r} has no column of labels; name it with "
            "--label_column, or leave out --task_weight."
        )
    callbacks: list[TrainerCallback] = []
    if run_args.early_stopping_patience is not None:
        callbacks.append(EarlyStoppingCallback(run_args.early_stopping_patience))
    with naming_broken_images(train):
        check_fit(model, processor, [next(iter(train))])
        if data_args.streaming:
            train = train.shuffle(seed=training_args.seed, buffer_size=data_args.shuffle_buffer_size)
        trainer = CanonicalizationTrainer(
            model=model,
            args=training_args,
            train_dataset=train,
            eval_dataset=validation.select_columns("image") if training_args.do_eval else None,
            processing_class=processor,
            callbacks=callbacks,
        )
        result = trainer.train(resume_from_checkpoint=checkpoint)
    trainer.save_model()
    trainer.save_state()
    trainer.log_metrics("train", result.metrics)
    trainer.save_metrics("train", result.metrics)
    if training_args.do_eval:
        metrics = trainer.evaluate()
        trainer.log_metrics("eval", metrics)
        trainer.save_metrics("eval", metrics)
    if run_args.evaluate_transforms is not None and trainer.is_world_process_zero():
        report = evaluate_saved(run_args.evaluate_transforms, validation, processor, training_args, model_args)
        print(report)
        trainer.save_metrics("robustness", summary(report))
        trainer.create_model_card()
    if training_args.push_to_hub:
        trainer.push_to_hub()
    if trainer.is_world_process_zero():
        print(f"The adapter is saved in {training_args.output_dir}. To see what it changes:")
        print(
            f"  python scripts/evaluate_image_classification.py --model {training_args.output_dir} "
            f"--data {data_args.data}"
        )
    return trainer


def check(
    model_args: ModelArguments,
    data_args: TrainingDataArguments,
    run_args: RunArguments,
    training_args: CanonicalizationArguments,
) -> None:
    """Raise ValueError, before anything is loaded, for arguments that cannot work together."""
    get_group(model_args.group)
    if data_args.streaming and training_args.max_steps <= 0:
        raise ValueError(
            "A stream does not say how many images it has, so an epoch has no known end; "
            "add --max_steps 10000, or leave out --streaming."
        )
    if run_args.early_stopping_patience is not None and not training_args.load_best_model_at_end:
        raise ValueError(
            "--early_stopping_patience waits for a new best, and none is kept; add --load_best_model_at_end "
            "--eval_strategy epoch --save_strategy epoch."
        )
    if model_args.lora_rank is not None:
        training_args.train_predictor = True
    if training_args.train_predictor and not training_args.task_weight:
        raise ValueError("Only the task loss trains the checkpoint, and it has no weight; add --task_weight 1.")


def start_logging(args: CanonicalizationArguments) -> None:
    logging.basicConfig(
        format="%(asctime)s - %(levelname)s - %(name)s - %(message)s",
        datefmt="%m/%d/%Y %H:%M:%S",
        handlers=[logging.StreamHandler(sys.stdout)],
    )
    level = args.get_process_log_level()
    logger.setLevel(level)
    datasets.utils.logging.set_verbosity(level)
    transformers.utils.logging.set_verbosity(level)
    logger.info(
        f"Process {args.process_index} of {args.world_size}, device {args.device}, "
        f"distributed {args.parallel_mode.value}, bf16 {args.bf16}, fp16 {args.fp16}"
    )


def find_checkpoint(args: CanonicalizationArguments, model_args: ModelArguments) -> str | None:
    """The checkpoint to go on from: the one that was named, or the last in the output folder.

    Raises:
        ValueError: the output folder holds something else, or the training in it had other settings.
    """
    folder = Path(args.output_dir)
    checkpoint = args.resume_from_checkpoint
    if checkpoint is None and folder.is_dir():
        checkpoint = get_last_checkpoint(args.output_dir)
        if checkpoint is None and any(folder.iterdir()):
            raise ValueError(
                f"The output folder {args.output_dir!r} is not empty and holds no checkpoint to go on from; "
                "empty it, or name another --output_dir."
            )
    # No process may write there before all have looked.
    PartialState().wait_for_everyone()
    if checkpoint is None:
        return None
    saved = read_config(checkpoint)
    if not isinstance(saved, CanonicalizedConfig):
        raise ValueError(f"{checkpoint!r} is a {saved.model_type} in training; name another --output_dir.")
    full = args.train_predictor and model_args.lora_rank is None
    compared = [
        ("--group", saved.group, model_args.group),
        ("--canonicalizer", saved.canonicalizer, model_args.canonicalizer),
        ("--lora_rank", lora_rank(saved), model_args.lora_rank),
        ("--train_predictor", saved.includes_predictor, full),
    ]
    if not full:  # which would name no checkpoint, and needs none
        compared.append(("--checkpoint", saved.base_name_or_path, where_of(model_args.checkpoint)))
    for name, before, now in compared:
        if before != now:
            raise ValueError(
                f"The training in {checkpoint!r} had {name} {before} and not {now}; go on with the same, "
                "or name another --output_dir."
            )
    logger.info(f"Going on from {checkpoint}.")
    return checkpoint


def lora_rank(saved: CanonicalizedConfig) -> int | None:
    adapters = (saved.predictor_peft or {}).get("configs", {})
    return next((adapter["r"] for adapter in adapters.values()), None)


def build_model(args: ModelArguments) -> CanonicalizedModel:
    """The checkpoint, with LoRA if asked, behind a new canonicalizer."""
    model = CanonicalizedModel.wrap(
        args.checkpoint,
        group=args.group,
        canonicalizer=args.canonicalizer,
        canonicalizer_settings=args.canonicalizer_settings,
        **args.loading,
    )
    if args.lora_rank is None:
        return model
    return CanonicalizedModel.wrap(
        add_lora(model.predictor, args), group=args.group, canonicalizer=model.canonicalizer
    )


def add_lora(predictor: PreTrainedModel, args: ModelArguments) -> PreTrainedModel:
    """Adds LoRA to the layers that were named.

    Raises:
        ValueError: there is no such layer, or no layer of a kind that LoRA takes.
    """
    from peft import LoraConfig  # takes seconds

    targets = args.lora_target_modules or "all-linear"
    try:
        predictor.add_adapter(LoraConfig(r=args.lora_rank, lora_alpha=args.lora_rank, target_modules=targets))
    except ValueError as error:
        layers = [name for name, layer in predictor.named_modules() if isinstance(layer, torch.nn.Linear)]
        raise ValueError(
            f"LoRA cannot be added to {targets} of {args.checkpoint!r}; --lora_target_modules can name the linear "
            f"layers, which are called: {', '.join(sorted({name.rpartition('.')[2] for name in layers}))}."
        ) from error
    return predictor


def load_data(
    args: TrainingDataArguments, config: Any, training_args: CanonicalizationArguments, evaluates: bool
) -> tuple[Images, Images | None]:
    """Images to train on, and images that are held back if any are to be evaluated.

    Raises:
        ValueError: the data cannot be read, or have no such split or column; or nothing can be held back.
    """
    seed = training_args.seed
    splits = open_data(args)
    train_split = choose_split(splits, args.train_split, ["train"], args)
    train = prepare(splits[train_split], args, config)
    validation = None
    if args.validation_split is not None or "validation" in splits:
        validation_split = choose_split(splits, args.validation_split, ["validation"], args)
        validation = limit(prepare(splits[validation_split], args, config), args.max_eval_samples, seed)
    elif evaluates and args.streaming:
        if args.max_eval_samples is None:
            raise ValueError(
                "A stream has no share that could be held back; name a --validation_split, or hold back its first "
                "images with --max_eval_samples 1000."
            )
        validation, train = train.take(args.max_eval_samples), train.skip(args.max_eval_samples)
    elif evaluates:
        if len(train) < 2:
            raise ValueError(f"{args.data!r} has a single image, and none can be held back; name another data set.")
        parts = train.train_test_split(args.validation_share, seed=seed)
        train, validation = parts["train"], limit(parts["test"], args.max_eval_samples, seed)
    return limit(train, args.max_train_samples, seed), validation


def evaluate_saved(
    transforms: Sequence[str],
    images: Images,
    processor: Any,
    training_args: CanonicalizationArguments,
    model_args: ModelArguments,
) -> RobustnessReport:
    """The report of what was saved, which is whole where processes hold only parts of the model; it is kept there."""
    # The checkpoint's revision is written in the adapter.
    loading = {name: value for name, value in model_args.loading.items() if name != "revision"}
    saved = CanonicalizedModel.from_pretrained(training_args.output_dir, **loading)
    report = evaluate_robustness(
        saved.to(training_args.device),
        images,
        transforms=[float(name) if is_number(name) else name for name in transforms],
        processor=processor,
        batch_size=training_args.per_device_eval_batch_size,
    )
    add_report(Path(training_args.output_dir), report)
    return report


def summary(report: RobustnessReport) -> dict[str, float]:
    """The figures of a report that belong beside those of the training; `robustness.json` has all of them."""
    figures = {
        "robustness_upright_before": report.upright.before.value,
        "robustness_upright_after": report.upright.after.value,
    }
    for name, one in report.sets.items():
        figures |= {f"robustness_{name}_before": one.before, f"robustness_{name}_after": one.after}
    return figures


if __name__ == "__main__":
    main()
