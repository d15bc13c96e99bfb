"""Trains a canonicalizer with `transformers.Trainer`: frozen predictor, and no labels unless asked."""

from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi
from torch import Tensor, nn
from transformers import EvalPrediction, Trainer
from transformers.trainer_utils import HubStrategy, get_last_checkpoint
from transformers.utils import logging

from ..data.collators import AudioCollator, ImageCollator
from ..data.provenance import describe_dataset
from ..groups import Images
from ..hub.folder import CARD_FILE, is_repository, may_renew, write_card
from ..hub.push import push_folder
from ..modeling_canonicalized import CanonicalizedModel
from ..objectives import (
    AdversarialPrior,
    ContrastiveUniqueness,
    Distillation,
    KnownPose,
    Objective,
    PriorRegularization,
    TaskLoss,
)
from ..objectives.base import random_pose
from ..objectives.distillation import predictor_scores
from ..quadratic import slow_second_order
from .arguments import CanonicalizationArguments
from .numbered import NUMBER, Numbered, NumberedCollator
from .realignment import Realignment
from .reference import KeptCritic, reference_batches

logger = logging.get_logger(__name__)


class CanonicalizationTrainer(Trainer):
    """A thin `Trainer`: the loss is the weighted sum of the objectives, and evaluation measures the pose.

    Data sets, map-style or streaming, give an image (or `pixel_values`) and perhaps a label. Evaluation turns each
    image by a random element, the same ones every time, and logs `eval_pose_accuracy`, how often that element is
    found; set `load_best_model_at_end` to keep the best. With `prior="predictor"` nobody knows how the images came,
    and it logs `eval_pose_agreement` instead: how often the pose is found that the predictor likes best. With
    `realign_rounds`, `realignment.poses` are the poses that the training inputs are believed to have. Everything else
    (resuming, mixed precision, logging) is Trainer's; with `prior="reference"`, checkpoints also hold the critic.

    Args:
        model: what `CanonicalizedModel.wrap` returned.
        args: objectives and their weights, and all of `TrainingArguments`.
        processing_class: the checkpoint's image processor.
        reference_dataset: for `prior="reference"`, other data of the same distribution that are as they should be,
            such as `hf_canon.generative.reference_samples` draws; it is read once. `eval_dataset` has to come so, too.

    Raises:
        ValueError: there is nothing to train, the predictor could not be found again by a saved adapter, or the prior
            does not go with the group or the data.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        ...     intermediate_size=16, image_size=16, patch_size=8))
        >>> model = CanonicalizedModel.wrap(vit, group="c4")
        >>> args = CanonicalizationArguments("out", max_steps=1, save_strategy="no", report_to="none", use_cpu=True)
        >>> data = [{"pixel_values": torch.rand(3, 16, 16)} for _ in range(4)]
        >>> trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data)
        >>> trainer.train().global_step  # doctest: +ELLIPSIS
        {...
        1
    """

    args: CanonicalizationArguments

    def __init__(
        self,
        model: CanonicalizedModel,
        args: CanonicalizationArguments | None = None,
        data_collator: Any = None,
        processing_class: Any = None,
        compute_metrics: Any = None,
        reference_dataset: Any = None,
        **kwargs: Any,
    ):
        args = CanonicalizationArguments(output_dir="out") if args is None else args
        model.train_predictor(args.train_predictor)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(
                f"The {model.canonicalizer.name!r} canonicalizer has nothing to train. "
                "Use 'orbit', 'equivariant' or 'shift'."
            )
        full = model.config.includes_predictor
        base = model.config.base_name_or_path
        if args.save_strategy != "no" and base is None and not full:
            raise ValueError(
                "The predictor was never saved, so the adapters that training saves could not name it. "
                "Save it, wrap the folder that it is in, or train with save_strategy='no'."
            )
        if args.push_to_hub and not full and not is_repository(str(base)):
            raise ValueError(
                f"The adapter could not be pushed: it would belong to {base!r}, a folder that nobody else can load. "
                "Push the checkpoint first, and wrap it by its Hub id."
            )
        if args.prior == "predictor" and not model.group.finite:
            raise ValueError(
                f"prior='predictor' asks the predictor about every element, and {model.group.name} has infinitely "
                "many. Use a finite group, or prior='identity' and inputs that come upright."
            )
        if data_collator is None:
            collator = ImageCollator if isinstance(model.group.kind, Images) else AudioCollator
            features = getattr(kwargs.get("train_dataset"), "features", None)
            data_collator = collator(processing_class, model.predictor.config, features)
        prior = prior_from(model, args, reference_dataset, data_collator)
        self.objectives = objectives_from(args, prior)
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            processing_class=processing_class,
            compute_metrics=pose_metrics(model, args.prior) if compute_metrics is None else compute_metrics,
            **kwargs,
        )
        self.realignment = Realignment(self, args.realign_rounds) if args.realign_rounds else None
        if self.realignment is not None:
            self.add_callback(self.realignment)
        self.kept_critic = KeptCritic(prior) if isinstance(prior, AdversarialPrior) else None
        if self.kept_critic is not None:
            self.add_callback(self.kept_critic)

    def train(self, resume_from_checkpoint: str | bool | None = None, *args: Any, **kwargs: Any) -> Any:
        facts = {"data": describe_dataset(self.train_dataset), "arguments": chosen_arguments(self.args)}
        config: Any = getattr(self.model, "config")  # noqa: B009 (PreTrainedModel or not, says its type)
        config.training = {name: value for name, value in facts.items() if value} or None
        if config.calibration is not None:
            logger.warning(
                "Training changes what was calibrated: the calibration is dropped, and the rule is 'argmax'."
            )
            config.calibration, config.decision = None, "argmax"
        given = resume_from_checkpoint
        checkpoint = get_last_checkpoint(str(self.args.output_dir)) if given is True else given or None
        if self.realignment is not None:
            self.realignment.start(checkpoint)
        if self.kept_critic is not None:
            self.kept_critic.start(checkpoint, self.args.device)
        return super().train(resume_from_checkpoint, *args, **kwargs)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        inputs = dict(inputs)
        numbers = inputs.pop(NUMBER, None)
        objectives = self.objectives
        if self.realignment is not None and numbers is not None:
            assert self.realignment.poses is not None
            objectives = objectives_from(self.args, KnownPose(self.realignment.poses[numbers.cpu()]))
        output = model(**inputs, objective=partial(weighted_sum, objectives))
        return (output.loss, output) if return_outputs else output.loss

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The pose of a batch that was turned at random: its loss, the logits over the group, and the elements that
        are to be found."""
        inputs = self._prepare_inputs(inputs)
        generator = torch.Generator().manual_seed(self._eval_batches)
        self._eval_batches += 1
        found: dict[str, Tensor] = {}

        # As an objective it runs inside the forward pass, where distributed wrappers bring the weights together.
        def pose(wrapped: CanonicalizedModel, x: Tensor, labels: Any, lengths: Tensor | None) -> Tensor:
            transformed, element, offset, transformed_lengths = random_pose(wrapped, x, lengths, generator)
            if self.args.prior == "predictor":
                element = wrapped.group.compose(element, predictor_scores(wrapped, x, lengths).argmax(-1))
            found["element"], found["logits"] = element, wrapped.canonicalizer(transformed, transformed_lengths)
            return wrapped.canonicalizer.pose_loss(transformed, element, offset, transformed_lengths)

        with torch.no_grad():
            loss = model(**{**inputs, "objective": pose}).loss
        return (
            loss,
            None if prediction_loss_only else found["logits"],
            None if prediction_loss_only else found["element"],
        )

    def create_optimizer(self, model: nn.Module | None = None) -> Any:
        """Trainer's own, in which what is of second order has its own learning rate."""
        given = self.optimizer
        optimizer = super().create_optimizer(model)
        if given is None:
            trained: Any = self.model if model is None else model
            slow_second_order(optimizer, trained, self.args.quadratic_lr_ratio)
        return optimizer

    def get_train_dataloader(self) -> Any:
        dataset, collator = self.train_dataset, self.data_collator
        if self.realignment is not None:
            self.train_dataset, self.data_collator = Numbered(dataset), NumberedCollator(collator)
        try:
            loader = super().get_train_dataloader()
        finally:
            self.train_dataset, self.data_collator = dataset, collator
        # One seed for all, which the order of the data needs, would turn the images of every process alike.
        if self.args.process_index:
            torch.manual_seed(self.args.seed + self.args.process_index)
        return loader

    def create_model_card(self, *args: Any, model_name: str | None = None, **kwargs: Any) -> None:
        """Our card, of what the output folder holds; one that somebody has edited is kept."""
        folder = Path(str(self.args.output_dir))
        if self.is_world_process_zero() and may_renew(folder / CARD_FILE):
            write_card(folder, self.hub_model_id or model_name or folder.resolve().name)

    def push_to_hub(
        self,
        commit_message: str | None = "End of training",
        blocking: bool = True,
        token: str | None = None,
        revision: str | None = None,
        private: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Save the adapter in the output folder and upload it, and nothing else that is there, in one commit.

        Args:
            commit_message: of the commit.
            blocking: wait for the upload; else return its future.
            token: of somebody who may write there, in place of `args.hub_token`.
            revision: a branch, in place of `args.hub_revision`.
            private: whether a new repository is private, in place of `args.hub_private_repo`.
            kwargs: as in `push_folder`.

        Raises:
            ValueError: the checkpoint is a folder of this machine, where nobody else could load it.
            OSError: the Hub cannot be reached, or does not let you.
        """
        self.callback_handler.on_push_begin(self.args, self.state, self.control)
        self.save_model(_internal_call=True)
        if not self.is_world_process_zero():
            return None
        if private is not None:
            kwargs["private"] = private
        options = {"commit_message": commit_message, "blocking": blocking, **kwargs}
        return self._push(str(self.args.output_dir), token, revision, **options)

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """The adapter as it is now; Trainer's own upload would take its pickled arguments along."""
        if not self.is_world_process_zero() or self.args.hub_strategy == HubStrategy.END:
            return
        message = f"Training in progress, step {self.state.global_step}"
        last = self.args.hub_strategy == HubStrategy.CHECKPOINT
        try:
            # Kilobytes: no reason to do it in the background, where the checkpoint may be deleted meanwhile.
            self._push(checkpoint_folder, commit_message=message)
            if last or self.args.hub_strategy == HubStrategy.ALL_CHECKPOINTS:
                HfApi(token=self.args.hub_token).upload_folder(
                    repo_id=self._repository,
                    folder_path=checkpoint_folder,
                    path_in_repo="last-checkpoint" if last else Path(checkpoint_folder).name,
                    commit_message=f"{message}, checkpoint",
                    revision=self.args.hub_revision,
                    ignore_patterns=["training_args.bin"],
                )
        except OSError as error:
            logger.warning(f"{error} The training goes on.")

    @property
    def _repository(self) -> str:
        return self.hub_model_id or self.args.hub_model_id or Path(str(self.args.output_dir)).resolve().name

    def _push(self, folder: str, token: str | None = None, revision: str | None = None, **kwargs: Any) -> Any:
        kwargs.setdefault("private", self.args.hub_private_repo)
        token, revision = token or self.args.hub_token, revision or self.args.hub_revision
        return push_folder(folder, self._repository, token=token, revision=revision, **kwargs)

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        self._eval_batches = 0  # the same elements at every evaluation
        return super().evaluation_loop(*args, **kwargs)


def weighted_sum(
    objectives: list[tuple[Objective, float]],
    model: CanonicalizedModel,
    x: Tensor,
    labels: Tensor | None = None,
    lengths: Tensor | None = None,
) -> Tensor:
    return torch.stack([weight * objective(model, x, labels, lengths) for objective, weight in objectives]).sum()


def objectives_from(args: CanonicalizationArguments, prior: Objective) -> list[tuple[Objective, float]]:
    """The objectives that have a weight.

    Args:
        prior: what says which poses are right.
    """
    known: list[tuple[Objective, float]] = [
        (prior, args.prior_weight),
        (ContrastiveUniqueness(), args.contrastive_weight),
        (TaskLoss(), args.task_weight),
    ]
    chosen = [(objective, weight) for objective, weight in known if weight]
    if args.train_predictor and not args.task_weight:
        raise ValueError("No other objective than the task loss trains the predictor. Set task_weight=1.0 as well.")
    if not chosen:
        raise ValueError("Every objective has the weight 0. Set prior_weight=1.0, or one of the others.")
    if args.realign_rounds and not args.prior_weight:
        raise ValueError(
            f"realign_rounds={args.realign_rounds} estimates poses to learn from, and prior_weight=0 learns from "
            "none. Set prior_weight=1.0, or leave out realign_rounds."
        )
    return chosen


def prior_from(model: CanonicalizedModel, args: CanonicalizationArguments, reference: Any, collator: Any) -> Objective:
    """What says which poses are right.

    Args:
        reference: a data set, for `prior="reference"`.
        collator: makes batches of it.

    Raises:
        ValueError: there is no reference, or one that nobody asked for; or threads would share one critic.
    """
    if args.prior != "reference":
        if reference is not None:
            raise ValueError(
                f"prior={args.prior!r} looks at no reference data. Give prior='reference', or leave out "
                "reference_dataset."
            )
        if args.prior == "predictor":
            return Distillation(temperature=args.prior_temperature)
        return PriorRegularization(args.prior)  # type: ignore[arg-type]
    if reference is None:
        raise ValueError(
            "prior='reference' compares with data that are as they should be, and there are none. Give "
            "reference_dataset=, such as hf_canon.generative.reference_samples draws."
        )
    if args.n_gpu > 1:
        raise ValueError(
            f"The threads of {args.n_gpu} devices would train one critic at once. Start a process for each with "
            "`accelerate launch`, or show this one a single device with CUDA_VISIBLE_DEVICES=0."
        )
    return AdversarialPrior(model, reference_batches(model, reference, collator, args), seed=args.seed)


NOT_ABOUT_TRAINING = (
    *("output_dir", "run_name", "report_to", "project", "trackio_", "logging_", "log_", "save_", "eval_", "hub_"),
    *("push_to_hub", "load_best", "metric_for", "greater_is", "disable_tqdm", "use_cpu", "dataloader_", "ddp_"),
    *("local_rank", "deepspeed", "fsdp", "accelerator_config", "include_", "do_", "overwrite_", "resume_", "full_"),
    *("per_device_eval", "remove_unused", "label_names", "parallelism", "batch_eval", "prediction_loss"),
)
"""Arguments that say where a training runs and what it writes, and nothing about what comes out."""


def chosen_arguments(args: CanonicalizationArguments) -> dict[str, Any]:
    """The arguments of a training that are not the defaults, and make a difference to what is learned."""
    values = args.to_dict()
    chosen = {}
    for one in fields(args):
        usual = one.default_factory() if one.default_factory is not MISSING else one.default
        value = values.get(one.name)
        # What was None may have become an empty dictionary.
        same = value == usual or not (value or usual)
        if one.init and not same and not one.name.startswith(NOT_ABOUT_TRAINING):
            chosen[one.name] = value
    return chosen


def pose_metrics(model: CanonicalizedModel, prior: Any) -> Any:
    name = "pose_agreement" if prior == "predictor" else "pose_accuracy"

    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits, element = torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids)
        return {name: pose_accuracy(model, logits, element)}

    return compute


def pose_accuracy(model: CanonicalizedModel, logits: Tensor, element: Tensor) -> float:
    """Share of inputs whose element was found; for a continuous group, found to within its tolerance."""
    found = model.canonicalizer.element(logits)
    return float((model.group.distance(found, element) <= model.group.tolerance).float().mean())
