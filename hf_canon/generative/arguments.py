"""What can be set when a generator is trained."""

from dataclasses import dataclass

from .divergences import divergence_named


@dataclass
class GANArguments:
    """By default the training of arXiv 2305.13517: Adam without momentum, two steps of the critic for one of the
    generator, and a one-sided penalty.

    Args:
        output_dir: for checkpoints, sample grids, the log and the generator.
        steps: of the generator.
        batch_size: samples in a batch, of each process.
        divergence: "lipschitz", "wasserstein" or "relativistic".
        alpha: of "lipschitz".
        critic_steps: for each step of the generator.
        penalty: weight of the gradient penalty.
        generator_learning_rate: of Adam, and `critic_learning_rate`.
        ema_decay: of the average of the generator's weights, which is what is saved; less in the first steps.
        mixed_precision: "no", "fp16" or "bf16", as accelerate has it.
        seed: of noise, poses and the order of the data.
        logging_steps: how often the log is written, and the training's health looked at.
        sample_steps: how often a grid of samples is drawn.
        save_steps: how often a checkpoint is written; the last two are kept.
        stop_on_collapse: whether a training that has collapsed or diverged ends; what is not finite always ends it.

    Raises:
        ValueError: a number cannot be what it is meant for.

    Example:
        >>> GANArguments("out", steps=500).critic_steps
        2
    """

    output_dir: str
    steps: int = 5000
    batch_size: int = 64
    divergence: str = "lipschitz"
    alpha: float = 2.0
    critic_steps: int = 2
    penalty: float = 10.0
    generator_learning_rate: float = 1e-4
    critic_learning_rate: float = 4e-4
    ema_decay: float = 0.999
    mixed_precision: str = "no"
    seed: int = 0
    logging_steps: int = 50
    sample_steps: int = 500
    save_steps: int = 500
    stop_on_collapse: bool = True

    def __post_init__(self) -> None:
        divergence_named(self.divergence, self.alpha)
        for name in ("steps", "batch_size", "critic_steps", "logging_steps", "sample_steps", "save_steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is counted from 1 on, and cannot be {getattr(self, name)}.")
        if self.batch_size < 2:
            raise ValueError("Samples of a batch are compared with each other. Give a batch_size of 2 or more.")
        if not 0 <= self.ema_decay < 1:
            raise ValueError(f"ema_decay is a share below 1, and cannot be {self.ema_decay}. Give 0.999, say.")
        if not self.penalty >= 0:
            raise ValueError(f"A penalty cannot be {self.penalty}. Give penalty=10.0, say, or 0 for none.")
