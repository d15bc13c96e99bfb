"""The digits of benchmark_invariant_gan.py: generators that learn turned digits, and how far their samples are off."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import offline_data
import torch
import torch.nn.functional as F
from gan_tasks import LEARNS
from kept_runs import Row, folder_of
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from transformers import set_seed
from transformers.utils import logging

from hf_canon import get_group
from hf_canon.generative import (
    GANArguments,
    GANTrainer,
    GeneratorConfig,
    InvariantGenerator,
    critic_of,
    orbit_diversity,
)
from hf_canon.generative.data import Samples

C4 = get_group("c4")
SIDE, LATENT, WIDTH = 16, 32, 8
SHAPE = (1, SIDE, SIDE)
STEPS, BATCH, MEASURED, SHOWN = 600, 32, 2000, 40
MODELS = {
    "plain": ("none", "none"),
    "augmented": ("none", "none"),
    "critic": ("none", "orbit"),
    "generator": ("output", "none"),
    "both": ("output", "orbit"),
}
"""How the generator and how the critic is invariant."""
FOR_CLASSIFIER = 1500
"""Training digits that the classifier learns from; generators learn from others."""
FOLDER = folder_of("invariant_gan_digits", [Path(__file__), *LEARNS])


@cache
def upright(split: Any) -> tuple[Tensor, Tensor]:
    """Digits `(n, 1, 16, 16)` from 0 to 1, and their labels."""
    data = offline_data.digits(split)
    images = Samples(data, SHAPE)
    return torch.stack([images[i] for i in range(len(images))]), torch.tensor(data["label"])


def every_pose(x: Tensor) -> Tensor:
    return C4.orbit(x).flatten(0, 1)


class Classifier(nn.Module):
    """Tells a digit and its quarter. One that knew digits alone would look past a generator that leaves out poses."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 32, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(32, 64, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64 * (SIDE // 4) ** 2, 64),
            nn.ReLU(),
        )
        self.digit, self.quarter = nn.Linear(64, 10), nn.Linear(64, 4)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.features(x)
        return self.digit(hidden), self.quarter(hidden)


def train_classifier(path: Path, steps: int = 1500) -> dict[str, float]:
    """Train it into a file, unless it is there; the shares of calibration digits whose kind and quarter it tells."""
    classifier = Classifier()
    if path.is_file():
        load_model(classifier, path)
    else:
        set_seed(0)
        classifier = Classifier()
        x, labels = (one[:FOR_CLASSIFIER] for one in upright("train"))
        optimizer = torch.optim.AdamW(classifier.parameters(), 2e-3, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps)
        for _ in range(steps):
            chosen, quarter = torch.randint(len(x), (64,)), C4.sample(64)
            shifted = torch.roll(x[chosen], torch.randint(-1, 2, (2,)).tolist(), (2, 3))
            digit, turned = classifier(C4.act(shifted, quarter))
            loss = F.cross_entropy(digit, labels[chosen]) + F.cross_entropy(turned, quarter)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        path.parent.mkdir(parents=True, exist_ok=True)
        save_model(classifier, str(path))
    x, labels = upright("calibration")
    with torch.inference_mode():
        digit, quarter = classifier.eval()(every_pose(x))
    poses = C4.elements.repeat(len(x))
    return {
        "digit": float((digit.argmax(1) == labels.repeat_interleave(4)).float().mean()),
        "quarter": float((quarter.argmax(1) == poses).float().mean()),
    }


@torch.inference_mode()
def features(x: Tensor) -> Tensor:
    """The last hidden layer of the classifier, `(n, 64)`."""
    classifier = Classifier()
    load_model(classifier, FOLDER / "classifier.safetensors")
    return classifier.eval().features(x).double()


@cache
def features_of(split: Any) -> Tensor:
    """Of the digits of a split, in all poses."""
    return features(every_pose(upright(split)[0]))


def frechet(a: Tensor, b: Tensor) -> float:
    """|m - n|^2 + tr(A + B - 2 (A B)^(1/2)) of the Gaussians with the means and covariances of the rows, `(n, d)`: the
    distance of arXiv 1706.08500, squared as it is there."""
    of_a, of_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(of_a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    cross = torch.linalg.eigvalsh(root @ of_b @ root).clamp(min=0).sqrt().sum()  # (A B)^(1/2) has the same trace
    return float((a.mean(0) - b.mean(0)).square().sum() + of_a.trace() + of_b.trace() - 2 * cross)


def draw_digits(n: int, seed: int) -> Tensor:
    """Digits that the classifier has not learned from, each turned by a random quarter."""
    pool = upright("train")[0][FOR_CLASSIFIER:]
    generator = torch.Generator().manual_seed(10_000 + seed)
    some = pool[torch.randperm(len(pool), generator=generator)[:n]]
    return C4.act(some, C4.sample(n, generator))


def digits(model: str, n: int, seed: int, lr: float) -> Row:
    """A generator that has learned from n turned digits: the Fréchet distance of its samples to others, in all poses.

    Args:
        model: one of `MODELS`; "augmented" learns from all four images of each digit.
        n: digits.
        seed: of the digits, the weights and the training; the critic learns four times as fast as the generator.
        lr: of the generator.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    data = draw_digits(n, seed)
    if model == "augmented":
        data = every_pose(data)
    set_seed(seed)
    symmetry, invariance = MODELS[model]
    generator = InvariantGenerator(GeneratorConfig("c4", symmetry, SHAPE, LATENT, WIDTH))
    critic = critic_of(invariance, C4, SHAPE, WIDTH)
    with TemporaryDirectory() as folder:
        rates = {"generator_learning_rate": lr, "critic_learning_rate": 4 * lr}
        never = {"save_steps": STEPS, "sample_steps": STEPS + 1, "stop_on_collapse": False}
        args = GANArguments(folder, STEPS, BATCH, seed=seed, ema_decay=0.99, **rates, **never)  # type: ignore[arg-type]
        result = GANTrainer(generator, critic, data, args).train()
        made = InvariantGenerator.from_pretrained(folder).sample(MEASURED, torch.Generator().manual_seed(seed))
    of_made, of_calibration, of_test = features(made), features_of("calibration"), features_of("test")
    return {
        "calibration": frechet(of_made, of_calibration),
        "distance": frechet(of_made, of_test),
        "floor": frechet(of_calibration, of_test),
        "diversity": float(orbit_diversity(made, C4)),
        "sentence": result.sentence,
        "samples": (255 * made[:SHOWN, 0]).round().int().tolist(),
    }
