"""What can be set when a canonicalizer is trained."""

from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments


@dataclass
class CanonicalizationArguments(TrainingArguments):
    """`TrainingArguments` with the weights of the objectives; by default the training is label-free.

    Args:
        prior: "identity" for pictures that come upright, or one probability for each group element.
        prior_weight: of `PriorRegularization`.
        distillation_weight: of `Distillation` from the predictor's own scores.
        distillation_temperature: of those scores.
        contrastive_weight: of `ContrastiveUniqueness`; needs the orbit canonicalizer.
        task_weight: of `TaskLoss`; needs labels.
        train_predictor: train the predictor as well (end to end). It is frozen otherwise.

    Example:
        >>> args = CanonicalizationArguments(output_dir="out", num_train_epochs=5, report_to="none")
        >>> args.prior_weight, args.remove_unused_columns
        (1.0, False)
    """

    prior: list[float] | str = field(
        default="identity", metadata={"help": "'identity', or a probability for each group element."}
    )
    prior_weight: float = field(default=1.0, metadata={"help": "Weight of the prior regularization."})
    distillation_weight: float = field(
        default=0.0, metadata={"help": "Weight of distilling the predictor's own scores."}
    )
    distillation_temperature: float = field(default=0.3, metadata={"help": "Temperature of the predictor's scores."})
    contrastive_weight: float = field(default=0.0, metadata={"help": "Weight of the contrastive uniqueness."})
    task_weight: float = field(default=0.0, metadata={"help": "Weight of the task loss; needs labels."})
    train_predictor: bool = field(default=False, metadata={"help": "Train the predictor too."})

    learning_rate: float = field(default=2e-3, metadata={"help": "The initial learning rate for AdamW."})
    lr_scheduler_type: str = field(default="cosine", metadata={"help": "The scheduler type to use."})
    warmup_steps: float = field(default=0.1, metadata={"help": "Steps, or share of all steps, of the warm-up."})
    weight_decay: float = field(default=0.05, metadata={"help": "Weight decay for AdamW."})
    per_device_train_batch_size: int = field(default=64, metadata={"help": "Batch size per device for training."})
    # The image column is turned into pixel_values by the collator, so Trainer must not drop it before.
    remove_unused_columns: bool = field(default=False, metadata={"help": "Remove columns the model does not take."})

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prior is None:  # HfArgumentParser loses the default of a list that may be a word
            self.prior = "identity"
        # There is no memory to pin without an accelerator, and torch warns about the wish.
        self.dataloader_pin_memory = self.dataloader_pin_memory and torch.accelerator.is_available()
