"""Trains a canonicalizer with `transformers.Trainer`: frozen predictor, and no labels unless asked."""

import math
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import EvalPrediction, Trainer
from transformers.modeling_utils import unwrap_model

from ..groups import wrap_angle
from ..modeling_canonicalized import CanonicalizedModel
from ..objectives import ContrastiveUniqueness, Distillation, Objective, PriorRegularization, TaskLoss
from .arguments import CanonicalizationArguments
from .data import PictureCollator


class CanonicalizationTrainer(Trainer):
    """A thin `Trainer`: the loss is the weighted sum of the objectives, and evaluation measures the pose.

    Data sets, map-style or streaming, give an image (or `pixel_values`) and perhaps a label. Evaluation turns each
    picture by a random element, the same ones every time, and logs `eval_pose_accuracy`, how often that element is
    found; set `load_best_model_at_end` to keep the best. Everything else (resuming, mixed precision, logging) is
    Trainer's.

    Args:
        model: what `CanonicalizedModel.wrap` returned.
        args: objectives and their weights, and all of `TrainingArguments`.
        processing_class: the checkpoint's image processor.

    Raises:
        ValueError: there is nothing to train, or the predictor could not be found again by a saved adapter.

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
        **kwargs: Any,
    ):
        args = CanonicalizationArguments(output_dir="out") if args is None else args
        model.predictor.requires_grad_(args.train_predictor)
        if not any(parameter.requires_grad for parameter in model.parameters()):
            raise ValueError(
                f"The {model.canonicalizer.name!r} canonicalizer has nothing to train. "
                "Use 'orbit', 'equivariant' or 'shift'."
            )
        if args.save_strategy != "no" and model.config.base_name_or_path is None and not args.train_predictor:
            raise ValueError(
                "The predictor was never saved, so the adapters that training saves could not name it. "
                "Save it, wrap the folder that it is in, or train with save_strategy='no'."
            )
        self.objectives = objectives_from(args)
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator or PictureCollator(processing_class, model.predictor.config),
            processing_class=processing_class,
            compute_metrics=pose_metrics(model) if compute_metrics is None else compute_metrics,
            **kwargs,
        )

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        output = model(pixel_values=inputs["pixel_values"], labels=inputs.get("labels"), objective=self.weighted_sum)
        return (output.loss, output) if return_outputs else output.loss

    def weighted_sum(self, model: CanonicalizedModel, pixel_values: Tensor, labels: Tensor | None = None) -> Tensor:
        losses = [weight * objective(model, pixel_values, labels) for objective, weight in self.objectives]
        return torch.stack(losses).sum()

    def prediction_step(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        prediction_loss_only: bool,
        ignore_keys: list[str] | None = None,
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """The pose of a batch that was turned at random: its loss, the logits over the group, and the true
        elements."""
        inputs = self._prepare_inputs(inputs)
        wrapped = cast(CanonicalizedModel, unwrap_model(model))
        generator = torch.Generator().manual_seed(self._eval_batches)
        self._eval_batches += 1
        with torch.no_grad():
            moved, element, offset = wrapped.group.random_act(inputs["pixel_values"], generator)
            logits = wrapped.canonicalizer(moved)
            loss = wrapped.canonicalizer.pose_loss(moved, element, offset)
        return loss, None if prediction_loss_only else logits, None if prediction_loss_only else element

    def evaluation_loop(self, *args: Any, **kwargs: Any) -> Any:
        self._eval_batches = 0  # the same elements at every evaluation
        return super().evaluation_loop(*args, **kwargs)


def objectives_from(args: CanonicalizationArguments) -> list[tuple[Objective, float]]:
    """The objectives that have a weight."""
    known: list[tuple[Objective, float]] = [
        (PriorRegularization(args.prior), args.prior_weight),
        (Distillation(temperature=args.distillation_temperature), args.distillation_weight),
        (ContrastiveUniqueness(), args.contrastive_weight),
        (TaskLoss(), args.task_weight),
    ]
    chosen = [(objective, weight) for objective, weight in known if weight]
    if args.train_predictor and not args.task_weight:
        raise ValueError("No other objective than the task loss trains the predictor. Set task_weight=1.0 as well.")
    if not chosen:
        raise ValueError("Every objective has the weight 0. Set prior_weight=1.0, or one of the others.")
    return chosen


def pose_metrics(model: CanonicalizedModel) -> Any:
    def compute(prediction: EvalPrediction) -> dict[str, float]:
        logits, element = torch.as_tensor(prediction.predictions), torch.as_tensor(prediction.label_ids)
        return {"pose_accuracy": pose_accuracy(model, logits, element)}

    return compute


def pose_accuracy(model: CanonicalizedModel, logits: Tensor, element: Tensor) -> float:
    """Share of inputs whose element was found; for a continuous group, found to within 22.5 degrees."""
    found = model.canonicalizer.element(logits)
    if model.group.finite:
        return float((found == element).float().mean())
    return float((wrap_angle(found - element).abs() < math.pi / 8).float().mean())
