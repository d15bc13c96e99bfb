"""Reference data beside a training set of unknown pose, and the critic that comes to know them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import TrainerCallback
from transformers.utils import logging

from ..modeling_canonicalized import CanonicalizedModel
from ..objectives import AdversarialPrior

logger = logging.get_logger(__name__)

CRITIC_FILE = "critic.pt"
"""In a checkpoint of Trainer: the critic and its optimizer, with which a training goes on from there."""


def reference_batches(
    model: CanonicalizedModel, dataset: Any, collator: Any, args: Any
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The inputs of a data set, once, and the lengths of its clips.

    Args:
        model: that reads them.
        dataset: map-style, or a stream with an end.
        collator: makes a batch of its examples, as it does of the training set.
        args: of the training, which say how many are read at a time.
    """
    batches = DataLoader(
        dataset,
        args.per_device_eval_batch_size,
        collate_fn=collator,
        num_workers=args.dataloader_num_workers,
        generator=torch.Generator(),  # its own: a loader draws a seed, and what is drawn after would be another
    )
    for batch in batches:
        x = batch[model.checkpoint.input_name]
        yield x, model.lengths(x, batch)


class KeptCritic(TrainerCallback):
    """Saves the critic of an adversarial prior in the checkpoints of a training, which goes on from them.

    Args:
        prior: whose critic it is.
    """

    def __init__(self, prior: AdversarialPrior):
        self.prior = prior

    def start(self, checkpoint: str | None, device: torch.device) -> None:
        """Take over the critic of a checkpoint; without one, the critic is what it is.

        Args:
            checkpoint: a folder.
            device: of the training.
        """
        self.prior.critic.to(device)
        if checkpoint is None:
            return
        file = Path(checkpoint) / CRITIC_FILE
        if file.is_file():
            self.prior.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        else:
            logger.warning(f"{checkpoint} holds no critic: the training goes on with one that knows nothing yet.")

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if not args.save_only_model and args.should_save and folder.is_dir():
            torch.save(self.prior.state_dict(), folder / CRITIC_FILE)
