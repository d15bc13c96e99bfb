"""What can be set when a canonicalizer is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from transformers import TrainingArguments


@dataclass
class CanonicalizationArguments(TrainingArguments):
    """`TrainingArguments` with the weights of the objectives; by default the training is label-free.

    Args:
        prior: what is known of the poses of the training inputs: "identity" where they come upright, "predictor" where
            nobody knows and the checkpoint is to be asked (|G| passes for every input of every batch; with
            `realign_rounds`, once for all), "reference" where nobody knows and they are to look like the trainer's
            `reference_dataset`, or one probability for each group element.
        prior_weight: of that objective, `PriorRegularization`, `Distillation` or `AdversarialPrior`.
        prior_temperature: of the predictor's scores, wherever it is asked; lower is nearer to its first choice.
        realign_rounds: parts, equally long, of a training that estimates the pose of every training input at the
            start of each part (see `Realignment`); 0 leaves the estimates out.
        contrastive_weight: of `ContrastiveUniqueness`; needs the orbit canonicalizer.
        task_weight: of `TaskLoss`; needs labels.
        train_predictor: train the predictor as well (end to end). It is frozen otherwise.
        quadratic_lr_ratio: of the learning rate of what is of second order, in quadratic neurons and a quadratic lift,
            to that of the rest (ReLinear, arXiv 2110.06081); nothing without any.

    Raises:
        ValueError: the prior is no such word and no numbers, or a number cannot be what it is meant for.

    Example:
        >>> args = CanonicalizationArguments(output_dir="out", num_train_epochs=5, report_to="none")
        >>> args.prior_weight, args.remove_unused_columns
        (1.0, False)
    """

    # Strings too: HfArgumentParser reads the elements of a list by the type of the second to last.
    prior: list[float] | list[str] | str = field(
        default="identity",
        metadata={"help": "'identity', 'predictor', 'reference', or a probability for each group element."},
    )
    prior_weight: float = field(default=1.0, metadata={"help": "Weight of the prior regularization."})
    prior_temperature: float = field(default=0.1, metadata={"help": "Temperature of the predictor's scores."})
    realign_rounds: int = field(
        default=0, metadata={"help": "Parts of the training, each beginning with an estimate of every input's pose."}
    )
    contrastive_weight: float = field(default=0.0, metadata={"help": "Weight of the contrastive uniqueness."})
    task_weight: float = field(default=0.0, metadata={"help": "Weight of the task loss; needs labels."})
    train_predictor: bool = field(default=False, metadata={"help": "Train the predictor too."})
    quadratic_lr_ratio: float = field(
        default=0.1, metadata={"help": "Learning rate of what is of second order, as a share of that of the rest."}
    )

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
        if not isinstance(self.prior, str):
            self.prior = word_or_numbers(self.prior)
        if isinstance(self.prior, str) and self.prior not in ("identity", "predictor", "reference"):
            raise ValueError(
                "A prior is 'identity', 'predictor', 'reference' or one probability for each element, and this is "
                f"{self.prior!r}."
            )
        if self.prior == "reference" and self.realign_rounds:
            raise ValueError(
                "Poses are estimated by what the predictor likes, and prior='reference' goes by reference data. Give "
                "prior='predictor', or leave out realign_rounds."
            )
        if self.realign_rounds < 0:
            raise ValueError(
                f"A training cannot have {self.realign_rounds} parts. Give realign_rounds=3, say, or 0 to estimate "
                "nothing."
            )
        if self.prior_temperature <= 0:
            raise ValueError(
                f"The scores of the predictor are divided by their temperature, which cannot be "
                f"{self.prior_temperature}. Give prior_temperature=0.1, say."
            )
        if self.quadratic_lr_ratio < 0:
            raise ValueError(
                f"The learning rate of what is of second order cannot be {self.quadratic_lr_ratio} times that of the "
                "rest. Give quadratic_lr_ratio=0.1, say, or 0 to leave all neurons linear."
            )
        # There is no memory to pin without an accelerator, and torch warns about the wish.
        self.dataloader_pin_memory = self.dataloader_pin_memory and torch.accelerator.is_available()


def word_or_numbers(given: Sequence[float] | Sequence[str]) -> str | list[float]:
    """A prior as a shell splits it: one word, or probabilities.

    Raises:
        ValueError: it is neither.
    """
    try:
        return [float(one) for one in given]
    except ValueError:
        if len(given) == 1:
            return str(given[0])
        raise ValueError(
            "A prior is 'identity', 'predictor', 'reference' or one probability for each element, and these are "
            f"{list(given)}."
        ) from None
