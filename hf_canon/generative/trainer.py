"""Trains a generator against a critic, through accelerate: mixed precision, several processes, checkpoints."""

import json
import math
import shutil
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import set_seed
from safetensors.torch import save_model
from torch import Tensor, nn
from torch.func import functional_call
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import PreTrainedModel
from transformers.utils import logging

from ..data.provenance import describe_dataset
from ..groups import Group
from ..hub import require_ours
from .arguments import GANArguments
from .data import Draws, Samples
from .divergences import Divergence, divergence_named, gradient_penalty
from .generator import noise_for
from .grids import draw_samples
from .health import Health, non_finite, vital_signs

logger = logging.get_logger(__name__)

KEPT = 2
"""Checkpoints."""
LOG_FILE, STATE_FOLDER = "log.jsonl", "state"
LOOKED_AT = 512
"""Samples by which the health of a training is judged."""
SKIPPED = 50
"""Steps, one after the other, whose gradients were not finite in half precision."""
BLIND = 0.05
"""How much of what noise does to the scores of a critic a move may do, where it is called blind to poses."""


@dataclass
class TrainingResult:
    """What came of a training.

    Attributes:
        steps: of the generator that were done.
        trouble: "divergence", "collapse" or "non-finite", or None.
        sentence: what went wrong, and what to do.
        log: what the log file holds.
    """

    steps: int
    trouble: str | None = None
    sentence: str | None = None
    log: list[dict[str, Any]] = field(default_factory=list)


class GANTrainer:
    """Trains a generator and a critic against each other. Under `accelerate launch` on several devices as well.

    The average of the generator's weights over the training is what is saved and drawn from. Every `logging_steps`
    the signs of `hf_canon.generative.health` are logged; a training that has diverged or collapsed says so in one
    sentence and stops, after it has written a checkpoint.

    Args:
        generator: an `InvariantGenerator`; or a module with a `latent_size` that maps noise to samples.
        critic: maps samples to scores `(batch,)`; see `critic_of`.
        group: that leaves the distribution as it is; by default that of the generator.
        dataset: as `Samples` takes it.
        args: what is set.

    Raises:
        ValueError: the data are not samples as the generator makes them, no group is known, or the output folder
            holds another checkpoint.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from hf_canon.generative import GANArguments, GeneratorConfig, InvariantGenerator, critic_of
        >>> generator = InvariantGenerator(GeneratorConfig(group="c4", shape=(1, 8, 8), width=4))
        >>> critic = critic_of("orbit", generator.group, (1, 8, 8), 4)
        >>> with TemporaryDirectory() as folder:
        ...     args = GANArguments(folder, steps=2, batch_size=8)
        ...     result = GANTrainer(generator, critic, torch.rand(20, 1, 8, 8), args).train()
        >>> result.steps, result.trouble
        (2, None)
    """

    def __init__(
        self, generator: nn.Module, critic: nn.Module, dataset: Any, args: GANArguments, group: Group | None = None
    ):
        self.args = args
        AcceleratorState._reset_state()  # of a training before, which may have had another precision
        self.accelerator = Accelerator(mixed_precision=args.mixed_precision)
        known = getattr(generator, "group", None) if group is None else group
        if known is None:
            raise ValueError(
                f"{type(generator).__name__} has no group, and whether its samples are in all poses cannot be told. "
                "Give group=get_group('c4'), say."
            )
        if not hasattr(generator, "latent_size"):
            raise ValueError(
                f"{type(generator).__name__} does not say how much noise it takes. Give it an attribute latent_size."
            )
        self.group: Group = known
        if args.mixed_precision == "fp16" and self.accelerator.device.type == "cpu":
            raise ValueError("fp16 needs an accelerator, and there is none here. Give mixed_precision='bf16' or 'no'.")
        require_free(args.output_dir, generator)
        if isinstance(generator, PreTrainedModel):
            self.samples = Samples(dataset, generator.config.shape, generator.config.sample_kind)
        else:
            self.samples = Samples(dataset, shape_of(generator))
        self.generator, self.critic = generator.train(), critic.train()
        set_seed(args.seed, device_specific=True)
        self.divergence = divergence_named(args.divergence, args.alpha)
        self.average = AveragedModel(generator, multi_avg_fn=partial(averaged, args.ema_decay))
        self._generator_step = GeneratorStep(generator)
        self._critic_step = CriticStep(critic, self.divergence, args.penalty)
        rates = (args.generator_learning_rate, args.critic_learning_rate)
        steps = (self._generator_step, self._critic_step)
        self._optimizers: Any = [
            torch.optim.Adam(trained(step), lr=rate, betas=(0.0, 0.9)) for step, rate in zip(steps, rates, strict=True)
        ]
        prepared = self.accelerator.prepare(*steps, *self._optimizers)
        self._generator_step, self._critic_step, *self._optimizers = prepared
        self.average.to(self.accelerator.device)
        self._progress = Progress(self.average)
        self.accelerator.register_for_checkpointing(self._progress)

    def train(self, resume_from_checkpoint: bool | str | Path = False) -> TrainingResult:
        """Train until `args.steps`, or until something is wrong.

        Args:
            resume_from_checkpoint: go on from that folder, or (True) from the last one in `args.output_dir`. Those of
                later steps are deleted when the next is written.

        Raises:
            ValueError: there is no checkpoint to resume from, or it is of other networks; or there are some of this or
                another training, and nobody wants to resume from them.
        """
        args, accelerator = self.args, self.accelerator
        folder = Path(args.output_dir)
        if resume_from_checkpoint:
            last = last_checkpoint(folder) if resume_from_checkpoint is True else Path(resume_from_checkpoint)
            state = require_state(last)
            if checkpoints(folder) and last.resolve().parent != folder.resolve():
                raise ValueError(
                    f"{args.output_dir!r} holds checkpoints of another training than {str(last)!r}. Name another "
                    "output_dir."
                )
            try:
                accelerator.load_state(str(state))
            except RuntimeError as error:
                raise ValueError(
                    f"{str(last)!r} is of another generator or critic than these, and cannot be resumed from: "
                    f"{error} Make both as they were, or name another output_dir."
                ) from error
            rates = (args.generator_learning_rate, args.critic_learning_rate)
            for optimizer, rate in zip(self._optimizers, rates, strict=True):
                for parameters in optimizer.param_groups:
                    parameters["lr"] = rate
        elif checkpoints(folder) or self._progress.step:
            raise ValueError(
                f"{args.output_dir!r} holds checkpoints of a training. Go on with train(resume_from_checkpoint=True), "
                "or name another output_dir."
            )
        start = self._progress.step
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            cut_log(folder / LOG_FILE, start)
        health = Health(args.steps, self._blind_to_poses(), self._progress.seen)
        result = TrainingResult(start)
        wanted = range(start * args.critic_steps, args.steps * args.critic_steps)
        draws = Draws(len(self.samples), args.batch_size, wanted, args.seed, accelerator.process_index)
        # Its own generator: a loader draws a seed, and a training that is resumed would go on with other noise.
        batches = iter(DataLoader(self.samples, batch_sampler=draws, generator=torch.Generator()))
        quiet = not accelerator.is_main_process or not logging.is_progress_bar_enabled()
        with tqdm(total=args.steps, initial=start, desc="train", disable=quiet) as bar:
            for step in range(start + 1, args.steps + 1):
                fault, gap = self._step(step, batches)
                if fault is not None:
                    result.trouble, result.sentence = "non-finite", fault
                    break
                self.average.update_parameters(self.generator)
                self._progress.step = result.steps = step
                bar.update()
                if step % args.logging_steps == 0 or step == args.steps:
                    signs = self._signs(gap)
                    self._log(step, signs, result)
                    found = health(step, signs)
                    if found is not None and result.trouble is None:
                        result.trouble, result.sentence = found
                        if args.stop_on_collapse or result.trouble == "non-finite":
                            self._progress.seen.clear()  # who goes on from here has other settings
                            break
                if step % args.sample_steps == 0:
                    self._draw(folder / f"samples-{step}.png")
                if step % args.save_steps == 0 and step < args.steps:
                    self.save_checkpoint()
        if result.sentence is not None:
            logger.warning(result.sentence)
        # After a fault one of the two is a little ahead; a checkpoint from before it is better.
        if result.trouble != "non-finite" or not (folder / f"checkpoint-{self._progress.step}").exists():
            self.save_checkpoint(result.sentence)
        self._describe(result.sentence)
        self.save_model()
        return result

    def _step(self, step: int, batches: Any) -> tuple[str | None, Tensor]:
        """Of the critic, and of the generator. What is not finite, if anything is; and the gap between the critic's
        scores."""
        accelerator, device = self.accelerator, self.accelerator.device
        for _ in range(self.args.critic_steps):
            real = next(batches).to(device)
            with torch.no_grad():
                fake = self._generator_step(noise_for(self.generator, len(real), device))
            loss, gap = self._critic_step(real, fake)
            fault = self._update(step, "the critic's loss", loss, 1)
            if fault is not None:
                return fault, gap
        fake = self._generator_step(noise_for(self.generator, len(real), device))
        # Its weights get no gradient, and distributed wrappers do not see this pass.
        weights = {name: one.detach() for name, one in self.critic.named_parameters()}
        with accelerator.autocast():
            scores = functional_call(self.critic, weights, (fake,)).float()
            with torch.no_grad():
                of_real = functional_call(self.critic, weights, (real,)).float()
        loss = self.divergence.generator_loss(of_real, scores)
        return self._update(step, "the generator's loss", loss, 0), gap

    def _update(self, step: int, what: str, loss: Tensor, which: int) -> str | None:
        """One step of an optimizer, or the sentence on what is not finite."""
        accelerator, optimizer = self.accelerator, self._optimizers[which]
        losses = accelerator.gather(loss.detach().reshape(1))
        if not losses.isfinite().all():
            return non_finite(step, what, float(losses[~losses.isfinite()][0]))
        optimizer.zero_grad()
        accelerator.backward(loss)
        parameters = [one for group in optimizer.param_groups for one in group["params"]]
        if accelerator.scaler is None:
            norm = float(nn.utils.get_total_norm([one.grad for one in parameters if one.grad is not None]))
            if not math.isfinite(norm):
                return non_finite(step, f"the gradient of {what}", norm)
        optimizer.step()
        # A scaler skips steps whose gradients are not finite, and lowers its scale: a few times that is no fault.
        skipped = self._progress.skipped
        skipped[which] = skipped[which] + 1 if optimizer.step_was_skipped else 0
        if skipped[which] > SKIPPED:
            return non_finite(step, f"the gradient of {what}", math.inf)
        return None

    @torch.no_grad()
    def _signs(self, gap: Tensor) -> Tensor:
        device = self.accelerator.device
        # To look must not change what is drawn after.
        with torch.random.fork_rng([] if device.type == "cpu" else [device], device_type=device.type):
            parts = [noise_for(self.generator, n, device) for n in split(LOOKED_AT, self.args.batch_size)]
            fake = torch.cat([self._generator_step(noise) for noise in parts])
        signs = vital_signs(self._looked_at.to(device), fake.float(), gap.detach(), self.group)
        return self.accelerator.gather(signs[None]).mean(0).cpu()

    @cached_property
    def _looked_at(self) -> Tensor:
        """Some of the data, read once: of few all of them, for the same sample twice is no distance."""
        order = torch.randperm(len(self.samples), generator=torch.Generator().manual_seed(self.args.seed))
        return torch.stack([self.samples[i] for i in order[:LOOKED_AT].tolist()])

    @torch.no_grad()
    def _blind_to_poses(self) -> bool:
        """Whether the critic has one score for all members of an orbit, as far as rounding lets it. Those that are
        resampled differ otherwise, and are not looked at, as in the diversity of poses."""
        elements = self.group.exact_elements
        if len(elements) < 2:
            return False
        x = self._looked_at[: LOOKED_AT // 8].to(self.accelerator.device)
        with torch.random.fork_rng([]):
            torch.manual_seed(self.args.seed)
            transformed = self.group.act(x, elements[torch.randint(len(elements), (len(x),))].to(x.device))
            noise = x + x.std() * torch.randn(x.shape).to(x)
        scores, of_transformed, of_others = (self.critic(one).float() for one in (x, transformed, noise))
        return bool((scores - of_transformed).abs().mean() < BLIND * (scores - of_others).abs().mean())

    def _log(self, step: int, signs: Tensor, result: TrainingResult) -> None:
        names = ("steepness", "distance", "spread", "diversity", "diversity_of_data")
        row = {"step": step, **{name: round(value, 4) for name, value in zip(names, signs.tolist(), strict=True)}}
        result.log.append(row)
        if self.accelerator.is_main_process:
            folder = Path(self.args.output_dir)
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / LOG_FILE).open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")

    def _describe(self, trouble: str | None = None) -> None:
        """Facts for the card, in the configuration of what is saved."""
        config = getattr(self.average.module, "config", None)
        if config is None:
            return
        named = ("batch_size", "divergence", "alpha", "critic_steps", "penalty", "generator_learning_rate")
        chosen = {name: getattr(self.args, name) for name in (*named, "critic_learning_rate", "ema_decay", "seed")}
        config.training = {
            "samples": len(self.samples),
            "data": describe_dataset(self.samples.dataset),
            "critic": type(self.critic).__name__,
            "steps": self._progress.step,
            "arguments": chosen,
            **({"trouble": trouble} if trouble else {}),
        }

    def _draw(self, path: Path) -> None:
        if self.accelerator.is_main_process and isinstance(self.generator, PreTrainedModel):
            path.parent.mkdir(parents=True, exist_ok=True)
            draw_samples(self.average.module, path)

    def save_checkpoint(self, trouble: str | None = None) -> None:
        """The state of the training, and the average of the generator, as `checkpoint-<step>`; as a whole or not at
        all.

        Args:
            trouble: what its card has to say.
        """
        folder = Path(self.args.output_dir)
        target = folder / f"checkpoint-{self._progress.step}"
        new = folder / f".partial-{target.name}"
        accelerator = self.accelerator
        accelerator.save_state(str(new / STATE_FOLDER))
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            self._describe(trouble)
            save(self.average.module, new)
            if target.exists():
                target.rename(folder / f".old-{target.name}")
            new.rename(target)
            # Later ones are of a training that was resumed from an earlier one.
            kept = [path for path in checkpoints(folder) if step_of(path) <= self._progress.step][-KEPT:]
            for old in (*checkpoints(folder), *folder.glob(".old-*"), *folder.glob(".partial-*")):
                if old not in kept:
                    shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def save_model(self, output_dir: str | Path | None = None) -> None:
        """The average of the generator, as `InvariantGenerator.from_pretrained` reads it."""
        if self.accelerator.is_main_process:
            save(self.average.module, Path(self.args.output_dir if output_dir is None else output_dir))


class GeneratorStep(nn.Module):
    """Samples for a batch of noise. What is trained has a single forward pass in each step, as distributed wrappers
    want it."""

    def __init__(self, generator: nn.Module):
        super().__init__()
        self.generator = generator

    def forward(self, noise: Tensor) -> Tensor:
        made = self.generator(noise)
        return made if isinstance(made, Tensor) else made.samples


class CriticStep(nn.Module):
    """The critic's loss for real and generated samples, penalty and all, and the gap between its scores."""

    def __init__(self, critic: nn.Module, divergence: Divergence, penalty: float):
        super().__init__()
        self.critic, self.divergence, self.penalty = critic, divergence, penalty

    def forward(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        of_real, of_fake = self.critic(torch.cat([real, fake.to(real.dtype)])).float().split([len(real), len(fake)])
        loss = self.divergence.critic_loss(of_real, of_fake)
        if self.penalty:
            loss = loss + self.penalty * gradient_penalty(self.critic, real, fake)
        return loss, of_real.mean() - of_fake.mean()


class Progress:
    """What a checkpoint holds beside weights, optimizers and random numbers.

    Attributes:
        average: of the generator.
        step: of the generator that was done.
        skipped: updates of the generator and of the critic, one after the other.
        seen: what `Health` has seen.
    """

    def __init__(self, average: nn.Module):
        self.average, self.step, self.skipped = average, 0, [0, 0]
        self.seen: dict[str, list[bool]] = {}

    def state_dict(self) -> dict[str, Any]:
        return {"step": self.step, "skipped": self.skipped, "seen": self.seen, "average": self.average.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.step, self.skipped, self.seen = state["step"], state["skipped"], state["seen"]
        self.average.load_state_dict(state["average"])


def trained(module: nn.Module) -> list[nn.Parameter]:
    return [one for one in module.parameters() if one.requires_grad]


@torch.no_grad()
def shape_of(generator: Any) -> tuple[int, ...]:
    """Of the samples of a module that no configuration describes."""
    device = next((one.device for one in generator.parameters()), torch.device("cpu"))
    with torch.random.fork_rng([]):
        return tuple(generator.eval()(noise_for(generator, 2, device)).shape[1:])


def averaged(decay: float, averages: Any, weights: Any, steps: Any) -> None:
    """The moving average of weights, in place. It forgets the first ones sooner (as in TensorFlow's
    ExponentialMovingAverage): of short trainings they would be the most part."""
    share = min(decay, (1 + int(steps)) / (10 + int(steps)))
    torch._foreach_lerp_(averages, weights, 1 - share)


def cut_log(path: Path, step: int) -> None:
    """Leave of a log what was before that step."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.is_file() else []
    kept = [line for line in lines if json.loads(line)["step"] <= step]
    if lines != kept:
        path.write_text("".join(kept), encoding="utf-8")


def split(total: int, size: int) -> list[int]:
    """
    Example:
        >>> split(5, 2)
        [2, 2, 1]
    """
    return [min(size, total - done) for done in range(0, total, size)]


def save(generator: Any, folder: Path) -> None:
    if isinstance(generator, PreTrainedModel):
        generator.save_pretrained(folder)
    else:
        require_free(folder, generator)
        folder.mkdir(parents=True, exist_ok=True)
        save_model(generator, str(folder / "model.safetensors"))


def require_free(folder: str | Path, generator: Any) -> None:
    """Raise ValueError if a checkpoint is there that this generator would overwrite."""
    ours = generator.config.model_type if isinstance(generator, PreTrainedModel) else "none"
    require_ours(folder, ours, "a generator")


def checkpoints(folder: Path) -> list[Path]:
    """Of a training, by their steps."""
    found = [path for path in folder.glob("checkpoint-*") if path.name.partition("-")[2].isdigit()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.partition("-")[2])


def last_checkpoint(folder: Path) -> Path:
    """
    Raises:
        ValueError: there is none.
    """
    found = checkpoints(folder)
    if not found:
        raise ValueError(
            f"There is no checkpoint in {str(folder)!r} to resume from. Leave out resume_from_checkpoint."
        )
    return found[-1]


def require_state(checkpoint: Path) -> Path:
    """
    Raises:
        ValueError: no training can be resumed from there.
    """
    state = checkpoint / STATE_FOLDER
    if not state.is_dir():
        raise ValueError(f"{str(checkpoint)!r} holds no state of a training. Name a folder checkpoint-<step> of one.")
    return state
