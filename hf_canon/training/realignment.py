"""Training inputs of unknown pose: estimate it, learn from it, and estimate it again with what was learned.

Two experts look at each input. The frozen predictor knows what upright means, and errs on single inputs; the
canonicalizer errs less, for it has had to find one rule for all of them, and means by upright what it was taught. The
estimate is their product (Hinton, *Training Products of Experts by Minimizing Contrastive Divergence*, 2002):

    p(g | x)  ~  softmax over g of score(g^-1 x) / temperature  *  p_canonicalizer(g | x)

To take its maximum and to train on it, in turns, is classification EM (Celeux and Govaert, *A classification EM
algorithm for clustering and two stochastic versions*, 1992), also known as self-training.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm
from transformers import TrainerCallback, set_seed
from transformers.modeling_outputs import ImageClassifierOutput
from transformers.trainer_utils import has_length

from ..modeling_canonicalized import CanonicalizedModel
from ..objectives.distillation import predictor_scores

POSES_FILE = "poses.safetensors"
"""In a checkpoint of Trainer: what a training that goes on from there believes."""

Ask = Callable[[CanonicalizedModel, Tensor, Tensor | None], Tensor]


class Realignment(TrainerCallback):
    """Estimates the pose of every training input at the start of each of several equal parts of a training.

    In the first part the prior takes the canonicalizer's place, which has learned nothing yet: with
    `prior="predictor"` the predictor decides alone, with `prior="identity"` everything is believed to be upright.
    From the second part on, it is the canonicalizer that was trained until then, whatever the prior was.

    The predictor runs once, |G| forward passes over the training set, and of that only the scores are kept, `(n, |G|)`
    numbers. Nothing is written to the data set: `poses` holds what is believed of each of its examples. Every part
    logs `poses_moved`, the share that is not believed to be upright, and from the second part on `poses_changed` and
    `pose_agreement`, the share for which canonicalizer and predictor, each alone, name the same element.

    What the data collator draws at random, it draws alike in every estimate. A collator may crop and jiggle; one that
    turns images by what the group undoes leaves no pose to estimate.

    Args:
        trainer: whose training set it is.
        rounds: how many parts there are.

    Raises:
        ValueError: the training set is a stream, whose examples have no numbers; or the group is continuous.

    Example:
        >>> from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        ...     intermediate_size=16, image_size=16, patch_size=8))
        >>> model = CanonicalizedModel.wrap(vit, group="c4")
        >>> args = CanonicalizationArguments("out", prior="predictor", realign_rounds=2, max_steps=2,
        ...     save_strategy="no", report_to="none", use_cpu=True, disable_tqdm=True)
        >>> data = [{"pixel_values": torch.rand(3, 16, 16)} for _ in range(4)]
        >>> trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data)
        >>> result = trainer.train()  # doctest: +ELLIPSIS
        {...
        >>> trainer.realignment.poses.shape
        torch.Size([4])
    """

    def __init__(self, trainer: Any, rounds: int):
        self.model: CanonicalizedModel = trainer.model
        dataset, group = trainer.train_dataset, self.model.group
        stream = isinstance(dataset, torch.utils.data.IterableDataset) or not has_length(dataset)
        if dataset is not None and stream:
            raise ValueError(
                "The training set is a stream, and an estimate belongs to an example that can be found again. Give a "
                "data set with a length, or leave out realign_rounds."
            )
        if group.order is None:
            raise ValueError(
                f"realign_rounds={rounds} compares all elements of a group, and {group.name} has infinitely many. Use "
                "a finite group, or leave out realign_rounds."
            )
        self.trainer = trainer
        self.rounds = rounds
        self.scores: Tensor | None = None
        """Of the predictor, `(n, |G|)`, on the cpu; None until they are needed."""
        self.poses: Tensor | None = None
        """The elements that are believed to have happened to the training inputs, `(n,)`, on the cpu."""

    def start(self, checkpoint: str | None) -> None:
        """Forget an earlier training, or go on from what a checkpoint believed.

        Raises:
            ValueError: it believed something of another data set.
        """
        self.scores = self.poses = None
        file = None if checkpoint is None else Path(checkpoint) / POSES_FILE
        if file is None or not file.is_file():
            return
        saved = load_file(file)
        examples = len(self.trainer.train_dataset)
        if len(saved["poses"]) != examples:
            raise ValueError(
                f"{checkpoint} has the poses of {len(saved['poses'])} training inputs, and the data set has "
                f"{examples}. Resume with the same data set."
            )
        self.scores, self.poses = saved.get("scores"), saved["poses"]

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        starts = {-(-part * state.max_steps // self.rounds) for part in range(self.rounds)}
        if state.global_step in starts or self.poses is None:
            self.estimate(first=state.global_step == 0)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.poses is None or args.save_only_model or not args.should_save or not folder.is_dir():
            return
        known = {"poses": self.poses} if self.scores is None else {"poses": self.poses, "scores": self.scores}
        save_file(known, folder / POSES_FILE)

    def estimate(self, first: bool) -> None:
        """Ask both experts, and believe their product.

        Args:
            first: nothing has been learned yet, and the prior speaks for the canonicalizer.
        """
        before, facts = self.poses, {}
        if first and self.trainer.args.prior == "identity":  # whatever the predictor would say
            self.poses = torch.zeros(len(self.trainer.train_dataset), dtype=torch.long)
        else:
            if self.scores is None:
                self.scores = self._asked(predictor_scores, "asking the predictor for the poses")
            likings = (self.scores / self.trainer.args.prior_temperature).log_softmax(-1)
            belief = self._prior() if first else self._asked(posterior, "estimating the poses")
            self.poses = (likings + belief).argmax(-1)
            if not first:
                facts["pose_agreement"] = share(belief.argmax(-1) == self.scores.argmax(-1))
        if before is not None:
            facts["poses_changed"] = share(self.poses != before)
        self.trainer.log({"poses_moved": share(self.poses != 0), **facts})

    def _prior(self) -> Tensor:
        prior = self.trainer.args.prior
        order = len(self.model.group.elements)
        if isinstance(prior, str):
            return torch.zeros(order)
        if len(prior) != order:
            raise ValueError(
                f"This prior has {len(prior)} probabilities, and {self.model.group.name} has {order} "
                "elements. Give one for each element, or prior='predictor'."
            )
        return torch.tensor([float(one) for one in prior]).log()

    def _asked(self, ask: Ask, what: str) -> Tensor:
        """Something of every training input, `(n, |G|)`, in their order."""
        trainer = self.trainer
        answers: list[Tensor] = []

        # As an objective it runs inside the forward pass, where distributed wrappers bring the weights together.
        def answer(model: CanonicalizedModel, x: Tensor, labels: Any, lengths: Tensor | None) -> Tensor:
            answers.append(trainer.accelerator.gather_for_metrics(ask(model, x, lengths).float()).cpu())
            return x.new_zeros(())

        loader = trainer.get_test_dataloader(trainer.train_dataset)
        quiet = trainer.args.disable_tqdm or not trainer.is_world_process_zero()
        training = self.model.training
        self.model.eval()
        with torch.no_grad(), repeated_draws(trainer.args.seed, trainer.args.device):
            for batch in tqdm(loader, desc=what, disable=quiet, leave=False):
                given = {name: value for name, value in trainer._prepare_inputs(batch).items() if name != "labels"}
                output: ImageClassifierOutput = trainer.model_wrapped(**given, objective=answer)
                assert output.loss is not None
        self.model.train(training)
        return torch.cat(answers)


def posterior(model: CanonicalizedModel, x: Tensor, lengths: Tensor | None) -> Tensor:
    """The canonicalizer's log-probabilities, `(batch, |G|)`."""
    log_probabilities: Tensor = model.canonicalizer(x, lengths).float().log_softmax(-1)
    return log_probabilities


def share(found: Tensor) -> float:
    return float(found.float().mean())


@contextmanager
def repeated_draws(seed: int, device: torch.device) -> Iterator[None]:
    """Random numbers are the same ones each time, and those outside go on as if nothing had been drawn."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            set_seed(seed)
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
