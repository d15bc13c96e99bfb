"""The runs of benchmark_invariant_gan.py: each is one empirical distribution, or one generator that is trained on
points."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import point_groups
import torch
from kept_runs import Row, folder_of
from point_groups import PointGroup
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn
from transformers.utils import logging

from hf_canon import generative
from hf_canon.generative import (
    CanonicalCritic,
    GANArguments,
    GANTrainer,
    OrbitCritic,
    SymmetrizedGenerator,
    orbit_diversity,
)
from hf_canon.generative.generator import PlainGenerator
from hf_canon.groups import Group

# The distribution without a GAN: how near is the symmetrized sample?

REFERENCE = 1024
"""Points that stand for the distribution itself; with all their images under the group."""


def sample_size(group: str, dimensions: int, n: int, seed: int) -> Row:
    """W1 between the symmetrization of n points of a ball, and the uniform distribution of that ball.

    Both are left as they are by the group, so that W1 is an optimal transport between orbits: the cost of two points
    is the distance of the one to the nearest image of the other (arXiv 2305.13517, Lemma 1, in its dual form).
    """
    generator = torch.Generator().manual_seed(seed)
    some, distribution = (in_ball(number, dimensions, generator) for number in (n, REFERENCE))
    return {
        "w1": transport(orbit_distances(PointGroup(group), some, distribution).repeat_interleave(REFERENCE // n, 0))
    }


def in_ball(n: int, dimensions: int, generator: torch.Generator) -> Tensor:
    """Points that are uniform in the unit ball, `(n, dimensions)`."""
    direction = torch.randn(n, dimensions, generator=generator, dtype=torch.float64)
    radius = torch.rand(n, 1, generator=generator, dtype=torch.float64) ** (1 / dimensions)
    return radius * direction / direction.norm(dim=1, keepdim=True)


def orbit_distances(group: Group, a: Tensor, b: Tensor) -> Tensor:
    """From each point to the nearest image of each other one, `(len(a), len(b))`."""
    images = [group.act(b, one.expand(len(b))) for one in group.elements]
    return torch.stack([torch.cdist(a, image) for image in images]).amin(0)


def transport(cost: Tensor) -> float:
    """The mean cost of the best assignment."""
    rows, columns = linear_sum_assignment(cost.numpy())
    return float(cost[rows, columns].mean())


# Generators of a distribution in the plane that quarter turns leave as it is: four Gaussians.

C4 = PointGroup("c4")
MIDDLE, DEVIATION = (2.0, 0.7), 0.3
MODELS = ("plain", "augmented", "critic", "generator", "both", "canonical")
MEASURED, STEPS, BATCH, LATENT = 1000, 800, 64, 4


def gaussians(n: int, generator: torch.Generator) -> Tensor:
    one = torch.tensor(MIDDLE) + DEVIATION * torch.randn(n, 2, generator=generator)
    return C4.act(one, C4.sample(n, generator))


def points(model: str, n: int, seed: int, lr: float) -> Row:
    """A generator that has learned from n points: W1 of a thousand samples to a thousand fresh points of the
    distribution.

    Args:
        model: "plain"; "augmented", which learns from all four images of each point; "critic", of which the critic
            alone is invariant; "generator", of which the generator alone is; "both"; or "canonical": both, with
            D(c(x)) for the mean over the orbit.
        n: points.
        seed: of the points, the weights and the training; the critic learns four times as fast as the generator.
        lr: of the generator.
    """
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    draw = torch.Generator().manual_seed(10_000 + seed)
    data, calibration, test = (gaussians(number, draw) for number in (n, MEASURED, MEASURED))
    if model == "augmented":
        data = torch.cat([C4.act(data, one.expand(n)) for one in C4.elements])
    torch.manual_seed(seed)
    network: Any = mlp(LATENT, 2)
    invariant = model in ("generator", "both", "canonical")
    generator = SymmetrizedGenerator(network, C4, LATENT) if invariant else PlainGenerator(network, LATENT)
    inner = critic = nn.Sequential(mlp(2, 1), nn.Flatten(0))
    if model in ("critic", "both"):
        critic = OrbitCritic(critic, C4)
    elif model == "canonical":
        critic = CanonicalCritic(critic, Angle())  # type: ignore[arg-type]
    with TemporaryDirectory() as folder:
        rates = {"generator_learning_rate": lr, "critic_learning_rate": 4 * lr}
        never = {"save_steps": STEPS, "sample_steps": STEPS, "stop_on_collapse": False}
        args = GANArguments(folder, STEPS, BATCH, "wasserstein", seed=seed, ema_decay=0.99, **rates, **never)  # type: ignore[arg-type]
        trainer = GANTrainer(generator, critic, data, args, group=C4)
        result = trainer.train()
    seen: list[int] = []
    inner.register_forward_hook(lambda module, args, scores: seen.append(len(scores)))
    with torch.no_grad():
        critic(test)
        made = trainer.average.module(torch.randn(MEASURED, LATENT))
    return {
        "calibration": transport(torch.cdist(made, calibration)),
        "w1": transport(torch.cdist(made, test)),
        "floor": transport(torch.cdist(calibration, test)),
        "diversity": float(orbit_diversity(made, C4)),
        "sentence": result.sentence,
        "evaluations": sum(seen) / MEASURED,
        "samples": made[:300].tolist(),
        "data": data[:300].tolist(),
    }


def mlp(inputs: int, outputs: int, width: int = 64) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs)
    )


class Angle(nn.Module):
    """A canonicalizer of points in closed form: the quarter that a point lies in."""

    group = C4

    def forward(self, x: Tensor) -> Tensor:
        first = torch.tensor([[1.0, 0.0]], dtype=x.dtype).expand(4, -1)
        return x @ C4.act(first, C4.elements).T


LEARNS = sorted(Path(generative.__file__).parent.glob("*.py"))
"""The code that a generator learns by."""
FOLDER = folder_of("invariant_gan", [Path(__file__), Path(point_groups.__file__), *LEARNS])
DIMENSIONS, GROUPS = (2, 3), ("c1", "c4", "c8", "d4")
SIZES = (8, 16, 32, 64, 128)


def order(group: str) -> int:
    return len(PointGroup(group).elements)


def line(sizes: Any, values: Any) -> tuple[float, float]:
    """The slope of log W1 over log n, by least squares, and W1 at n = 1 on that line."""
    x, y = (torch.tensor([math.log(one) for one in some]) for some in (sizes, values))
    steep = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return float(steep), float((y.mean() - steep * x.mean()).exp())
