"""Cost and pose accuracy of equiadapt 0.1.2, the rival, in one process, on one thread, in cpu time.

    bash scripts/rival_environment.sh
    python scripts/prepare_offline_assets.py --only digits
    build/rival-venv/bin/python scripts/compare_equiadapt.py --part cost
    build/rival-venv/bin/python scripts/compare_equiadapt.py --part train --steps 1500 --batch-size 64 --seeds 0 1 2

Cost: the whole call `canonicalize`, which decides and then turns the image at full size. Every contender is measured
in turn, round after round, so that a busy machine slows all of them alike; the median over the rounds is printed.

Training: MNIST digits without 6 and 9, which are turns of each other. Element g of the cyclic group of order n is a
turn by 360 g / n degrees counter-clockwise, as `torch.rot90`. The pose is right when the element that was applied is
recovered; an untouched digit has element 0. Settings are chosen on a part of the training split.

To add a contender, see `our_contenders` (cost) and `our_recipes` (training): a callable each.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# torchvision's compiled operators may not match this torch; equiadapt needs only its padding, cropping and resizing.
# Declaring the two operators that its import looks up is enough. This comes before anything that imports torchvision
# (transformers does, where it is installed), and the library lives as long as the module.
_TORCHVISION_OPERATORS = torch.library.Library("torchvision", "DEF")
for _operator in ("nms", "qnms"):
    _TORCHVISION_OPERATORS.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import equiadapt  # noqa: E402
import offline_data  # noqa: E402
from omegaconf import DictConfig  # noqa: E402

from hf_canon import get_group  # noqa: E402
from hf_canon.canonicalizers import Canonicalizer, build_canonicalizer  # noqa: E402

DIGIT_SIZE = 32
# From pixels to element indices; and from pixels to canonical pixels.
Decide = Callable[[Tensor], Tensor]
Canonicalize = Callable[[Tensor], Tensor]


# --------------------------------------------------------------------------------------------------------------- rival


def optimized(
    order: int,
    size: int,
    *,
    channels: int = 3,
    kernel_size: int = 7,
    artifact_weight: float = 0.0,
) -> equiadapt.OptimizedGroupEquivariantImageCanonicalization:
    """equiadapt's cheaper canonicalizer, as `examples/images/classification/configs` of its wheel sets it up.

    Its default is to score at 96 pixels; smaller images are not enlarged to that here, which favours the rival. With
    one channel it skips padding, cropping and resizing: that is its own path for digits.
    """
    scored = min(96, size)
    network = equiadapt.ConvNetwork((channels, scored, scored), 16, kernel_size, num_layers=3, out_vector_size=128)
    hyperparameters = {
        "group_type": "rotation",
        "num_rotations": order,
        "beta": 1.0,
        "input_crop_ratio": 0.8,
        "resize_shape": scored,
        "learn_ref_vec": False,
        "artifact_err_wt": artifact_weight,
    }
    canonicalizer = equiadapt.OptimizedGroupEquivariantImageCanonicalization(
        network, DictConfig(hyperparameters), (channels, size, size)
    )
    # Only `canonicalize` sets it, and training below asks for the scores alone.
    canonicalizer.device = torch.device("cpu")
    return canonicalizer


def digit_optimized(order: int, artifact_weight: float = 0.0):
    """For digits: 28 pixels are padded to 32 and the kernel is 5, because its three layers of kernel 7 do not fit."""
    return optimized(order, DIGIT_SIZE, channels=1, kernel_size=5, artifact_weight=artifact_weight)


def group_convolution(order: int, size: int) -> equiadapt.GroupEquivariantImageCanonicalization:
    """equiadapt's canonicalizer with an equivariant network (e2cnn), as its examples set it up."""
    scored = min(96, size)
    network = equiadapt.ESCNNEquivariantNetwork((3, scored, scored), 32, 5, "rotation", order, num_layers=3)
    hyperparameters = {"beta": 1.0, "input_crop_ratio": 0.8, "resize_shape": scored}
    return equiadapt.GroupEquivariantImageCanonicalization(network, DictConfig(hyperparameters), (3, size, size))


def rival_element(canonicalizer, order: int) -> Decide:
    """The rival's decision as an index. It answers in degrees, and undoes them by turning clockwise."""

    def decide(pixels: Tensor) -> Tensor:
        degrees = canonicalizer.get_groupelement(pixels)["rotation"]
        return (degrees * order / 360).round().long() % order

    return decide


# ---------------------------------------------------------------------------------------------------------------- turn


def turn(pixels: Tensor, degrees: float) -> Tensor:
    """Turn (batch, channels, side, side) counter-clockwise about the centre (side - 1) / 2.

    Quarter turns permute pixels. Other angles are bicubic, because canonicalizers undo them bilinearly: a turn made
    and undone by the same interpolation would be easier than a real one.
    """
    quarters = degrees / 90
    if quarters == int(quarters):
        return torch.rot90(pixels, int(quarters) % 4, (-2, -1))
    angle = math.radians(degrees)
    matrix = torch.tensor([[math.cos(angle), -math.sin(angle), 0.0], [math.sin(angle), math.cos(angle), 0.0]])
    grid = F.affine_grid(matrix.expand(len(pixels), 2, 3), list(pixels.shape), align_corners=True)
    return F.grid_sample(pixels, grid, mode="bicubic", padding_mode="zeros", align_corners=True)


def turn_each(pixels: Tensor, elements: Tensor, order: int) -> Tensor:
    """Turn every image by its own element of the cyclic group."""
    turned = torch.empty_like(pixels)
    for element in range(order):
        chosen = elements == element
        if chosen.any():
            turned[chosen] = turn(pixels[chosen], 360 * element / order)
    return turned


# ---------------------------------------------------------------------------------------------------------------- cost


@dataclass
class Contender:
    """One line of the cost table: `canonicalize` maps (batch, channels, size, size) to canonical pixels."""

    name: str
    group: str
    size: int
    batch: int
    canonicalize: Canonicalize
    channels: int = 3


def rival_contenders(orders: list[int]) -> list[Contender]:
    contenders = []
    for order, (size, batch) in itertools.product(orders, ((64, 16), (224, 1))):
        group = f"c{order}"
        contenders += [
            Contender(REFERENCE, group, size, batch, optimized(order, size).eval().canonicalize),
            Contender("equiadapt e2cnn", group, size, batch, group_convolution(order, size).eval().canonicalize),
        ]
    for order in orders:
        digits = digit_optimized(order).eval().canonicalize
        contenders.append(Contender(REFERENCE, f"c{order}", DIGIT_SIZE, 16, digits, channels=1))
    return contenders


def in_every_pose(canonicalizer: Canonicalizer) -> Canonicalize:
    """Our canonicalization, decision and transform, as if every element were found equally often.

    Our transform copies pixels for quarter turns and resamples for other angles. Which elements an untrained network
    finds is an accident, so its decision is timed, and then the elements of the whole group are undone in turn.
    """
    group = canonicalizer.group
    starts = itertools.cycle(range(group.order))

    def canonicalize(pixels: Tensor) -> Tensor:
        decided = canonicalizer.element(canonicalizer(pixels))
        element = (torch.arange(len(decided)) + next(starts)) % group.order
        return group.act(pixels, group.inverse(element))

    return canonicalize


def our_contenders(orders: list[int]) -> list[Contender]:
    contenders = []
    for order, name in itertools.product(orders, OURS):
        for size, batch, channels in ((64, 16, 3), (224, 1, 3), (DIGIT_SIZE, 16, 1)):
            torch.manual_seed(0)
            canonicalizer = build_canonicalizer(name, get_group(f"c{order}"), channels=channels).eval()
            canonicalize = in_every_pose(canonicalizer)
            contenders.append(Contender(f"ours, {name}", f"c{order}", size, batch, canonicalize, channels))
    return contenders


REFERENCE = "equiadapt optimized"
OURS = ("orbit", "shift")
"""With their default settings, in both parts."""


def smooth_images(contender: Contender) -> list[Tensor]:
    """A batch in every pose of the group, so that the identity, which may be skipped, has no more than its share."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(contender.batch, contender.channels, 8, 8, generator=generator)
    pixels = F.interpolate(coarse, size=contender.size, mode="bicubic", align_corners=True).clamp(0, 1)
    order = int(contender.group[1:])
    return [turn(pixels, 360 * element / order).contiguous() for element in range(order)]


SLICE = 0.1
"""Cpu seconds that a contender is given in a round."""


@torch.no_grad()
def measure(contenders: list[Contender], rounds: int) -> list[list[float]]:
    """Cpu milliseconds an image in every round, for each contender."""
    poses = [smooth_images(contender) for contender in contenders]
    calls_a_round = []
    for contender, batches in zip(contenders, poses, strict=True):
        contender.canonicalize(batches[0])
        started = time.process_time()
        contender.canonicalize(batches[-1])
        # Equal slices of time, and every pose equally often within one: a fast contender would otherwise be measured
        # on the caches that a slow one left behind. The time of slow ones does not depend on the pose.
        times = int(SLICE / (time.process_time() - started))
        calls_a_round.append(math.ceil(times / len(batches)) * len(batches) or 1)
    endless = [itertools.cycle(batches) for batches in poses]
    samples: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        for contender, batches, calls, times in zip(contenders, endless, calls_a_round, samples, strict=True):
            chosen = list(itertools.islice(batches, calls))
            started = time.process_time()
            for pixels in chosen:
                contender.canonicalize(pixels)
            times.append(1e3 * (time.process_time() - started) / (calls * contender.batch))
    return samples


def compare_cost(orders: list[int], rounds: int) -> list[dict]:
    contenders = rival_contenders(orders) + our_contenders(orders)
    samples = measure(contenders, rounds)
    rival = {
        (contender.group, contender.size, contender.batch): times
        for contender, times in zip(contenders, samples, strict=True)
        if contender.name == REFERENCE
    }
    rows = []
    for contender, times in zip(contenders, samples, strict=True):
        reference = rival[contender.group, contender.size, contender.batch]
        # Neighbours in time share the state of the machine: the spread is over the ratios within a round.
        ratios = [theirs / ours for theirs, ours in zip(reference, times, strict=True)]
        low, _, high = statistics.quantiles(ratios, n=4)
        rows.append(
            {"name": contender.name, "group": contender.group, "size": contender.size, "batch": contender.batch}
            | {"ms": statistics.median(times), "ratio": statistics.median(ratios), "low": low, "high": high}
        )
    rows.sort(key=lambda row: (row["size"], row["group"], -row["ms"]))
    print(
        f"\n| canonicalizer | group | pixels | batch | cpu-ms an image | times cheaper than {REFERENCE} | quartiles |"
    )
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        print("| {name} | {group} | {size} | {batch} | {ms:.3f} | {ratio:.1f} | {low:.1f}-{high:.1f} |".format(**row))
    return rows


# ------------------------------------------------------------------------------------------------------------ training


@dataclass(frozen=True)
class Setting:
    """What is chosen on the validation part. The weights belong to equiadapt's own losses."""

    learning_rate: float
    orthogonality_weight: float = 0.0
    artifact_weight: float = 0.0

    def __str__(self) -> str:
        return ", ".join(f"{key.replace('_', ' ')} {value:g}" for key, value in asdict(self).items() if value)


@dataclass
class Recipe:
    """`train(order, images, setting, steps, batch_size, seed)` gives what decides and what canonicalizes."""

    name: str
    settings: tuple[Setting, ...]
    train: Callable[[int, Tensor, Setting, int, int, int], tuple[Decide, Canonicalize]]


def digits(split: str) -> tuple[Tensor, list[str]]:
    """Upright digits without 6 and 9, (count, 1, 32, 32) in [0, 1] on black, and their names."""
    rows = [row for row in offline_data.digits(split) if row["label"] not in (6, 9)]
    pixels = torch.from_numpy(np.stack([np.asarray(row["image"], dtype=np.float32) for row in rows])) / 255
    margin = (DIGIT_SIZE - pixels.shape[-1]) // 2
    return F.pad(pixels[:, None], (margin,) * 4), [row["name"] for row in rows]


def held_out(names: list[str]) -> Tensor:
    """One training image in ten, by a hash of its name, for choosing settings."""
    return torch.tensor([hashlib.sha256(name.encode()).digest()[0] % 10 == 0 for name in names])


def training_batches(
    images: Tensor, order: int, steps: int, batch_size: int, seed: int, *, turned: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled epochs of (pixels, element): turned by a random element, or upright with element 0."""
    generator = torch.Generator().manual_seed(seed)
    indices = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(indices) < batch_size:
            indices = torch.cat([indices, torch.randperm(len(images), generator=generator)])
        batch, indices = images[indices[:batch_size]], indices[batch_size:]
        elements = torch.zeros(batch_size, dtype=torch.long)
        if turned:
            elements = torch.randint(order, (batch_size,), generator=generator)
            batch = turn_each(batch, elements, order)
        yield batch, elements


def train_rival(
    order: int, images: Tensor, setting: Setting, steps: int, batch_size: int, seed: int, *, turned: bool
) -> tuple[Decide, Canonicalize]:
    """Train equiadapt's optimized canonicalizer without a predictor: no labels enter.

    Upright images: the published objective, 100 times its prior loss plus its own loss of the optimized variant.
    Turned images: cross-entropy on the element. Its scores are cosines, whose softmax can hardly leave the uniform
    one, so they are multiplied by 10 (.945 instead of .924 over C8 after 300 steps).
    """
    torch.manual_seed(seed)
    canonicalizer = digit_optimized(order, setting.artifact_weight).train()
    optimizer = torch.optim.AdamW(canonicalizer.parameters(), lr=setting.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for pixels, elements in training_batches(images, order, steps, batch_size, seed, turned=turned):
        # The scores alone: `canonicalize` would also turn the image, which only a predictor's loss would need.
        canonicalizer.get_groupelement(pixels)
        if turned:
            loss = F.cross_entropy(10 * canonicalizer.canonicalization_info_dict["group_activations"], elements)
        else:
            loss = 100 * canonicalizer.get_prior_regularization_loss()
            if setting.orthogonality_weight:
                loss = loss + setting.orthogonality_weight * canonicalizer.get_optimization_specific_loss()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    canonicalizer.eval()
    # In use it would go on scoring artifact copies, which only its loss reads: switched off in the rival's favour.
    canonicalizer.artifact_err_wt = 0.0
    return rival_element(canonicalizer, order), canonicalizer.canonicalize


def rival_recipes() -> list[Recipe]:
    def published(*arguments):
        return train_rival(*arguments, turned=False)

    def random_element(*arguments):
        return train_rival(*arguments, turned=True)

    # The identity prior spoils C8 faster at a high rate; the other objective was best inside the brisk three.
    gentle, brisk = (3e-4, 1e-3, 3e-3), (1e-3, 3e-3, 1e-2)
    plain = tuple(Setting(rate) for rate in gentle)
    # The weights of the notebook "understanding_discrete_canonicalization" in its wheel.
    notebook = tuple(Setting(rate, orthogonality_weight=0.1, artifact_weight=1000.0) for rate in gentle)
    return [
        Recipe("equiadapt, published (identity prior, upright)", plain + notebook, published),
        Recipe("equiadapt, random element predicted", tuple(Setting(rate) for rate in brisk), random_element),
    ]


def train_ours(
    name: str, order: int, images: Tensor, setting: Setting, steps: int, batch_size: int, seed: int
) -> tuple[Decide, Canonicalize]:
    """Train ours as `PriorRegularization` does: every image turned by a random element, which is to be predicted."""
    torch.manual_seed(seed)
    group = get_group(f"c{order}")
    canonicalizer = build_canonicalizer(name, group, channels=1).train()
    optimizer = torch.optim.AdamW(canonicalizer.parameters(), lr=setting.learning_rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for pixels, _ in training_batches(images, order, steps, batch_size, seed, turned=False):
        loss = canonicalizer.pose_loss(*group.random_act(pixels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    canonicalizer.eval()

    def decide(pixels: Tensor) -> Tensor:
        return canonicalizer.element(canonicalizer(pixels))

    return decide, lambda pixels: group.act(pixels, group.inverse(decide(pixels)))


def our_recipes() -> list[Recipe]:
    settings = tuple(Setting(rate) for rate in (1e-3, 2e-3, 3e-3))
    return [Recipe(f"ours, {name}", settings, partial(train_ours, name)) for name in OURS]


@torch.no_grad()
def in_chunks(function: Callable[[Tensor], Tensor], pixels: Tensor, chunk: int = 256) -> Tensor:
    return torch.cat([function(part) for part in pixels.split(chunk)])


def pose_accuracy(decide: Decide, images: Tensor, order: int) -> dict[str, float | list[float]]:
    """Share of images whose element is recovered: for every element, and within half a step at 16 other angles."""
    step = 360 / order
    by_element = []
    for element in range(order):
        decided = in_chunks(decide, turn(images, element * step))
        by_element.append((decided == element).float().mean().item())
    others = []
    for angle in (11.25 + 22.5 * index for index in range(16)):
        error = (in_chunks(decide, turn(images, angle)) * step - angle + 180) % 360 - 180
        others.append((error.abs() <= step / 2).float().mean().item())
    return {
        "upright": by_element[0],
        "elements": statistics.mean(by_element),
        "other_angles": statistics.mean(others),
        "by_element": by_element,
    }


def check_convention(decide: Decide, canonicalize: Canonicalize, images: Tensor, order: int) -> tuple[float, float]:
    """Check that what is decided is undone: where the element is right, the canonical image is nearly the upright.

    Returns:
        Mean absolute pixel error to the upright images, before and after canonicalization.

    Raises:
        RuntimeError: If canonicalization does not bring the images closer, as a wrong sign would not.
    """
    before, after = [], []
    for element in range(1, order):
        turned = turn(images, 360 * element / order)
        right = in_chunks(decide, turned) == element
        if right.any():
            before.append((turned - images)[right].abs().mean().item())
            after.append((in_chunks(canonicalize, turned) - images)[right].abs().mean().item())
    if not before or statistics.mean(after) > 0.5 * statistics.mean(before):
        raise RuntimeError(f"The decided element is not the one undone: error {before} before, {after} after.")
    return statistics.mean(before), statistics.mean(after)


def compare_training(
    orders: list[int], steps: int, selection_steps: int, batch_size: int, seeds: list[int], recipes: list[Recipe]
) -> list[dict]:
    train, names = digits("train")
    test, _ = digits("test")
    validation = held_out(names)
    print(
        f"{len(train)} training digits, {int(validation.sum())} of them choose the settings, {len(test)} test digits"
    )
    rows = []
    for order, recipe in itertools.product(orders, recipes):
        setting = recipe.settings[0]
        if len(recipe.settings) > 1:
            chosen = []
            for candidate in recipe.settings:
                decide, _ = recipe.train(order, train[~validation], candidate, selection_steps, batch_size, seeds[0])
                score = validation_accuracy(decide, train[validation], order)
                chosen.append(score)
                print(f"  c{order}, {recipe.name}, {candidate}: {score:.3f} on the validation part", flush=True)
            setting = recipe.settings[chosen.index(max(chosen))]
        results, seconds = [], []
        for seed in seeds:
            started = time.process_time()
            decide, canonicalize = recipe.train(order, train, setting, steps, batch_size, seed)
            seconds.append(time.process_time() - started)
            results.append(pose_accuracy(decide, test, order))
            before, after = check_convention(decide, canonicalize, test[:64], order)
            found = ", ".join(f"{key} {results[-1][key]:.3f}" for key in ("upright", "elements", "other_angles"))
            print(
                f"  c{order}, {recipe.name}, seed {seed}: {found}; pixel error {before:.3f} -> {after:.3f}", flush=True
            )
        rows.append(
            {"recipe": recipe.name, "group": f"c{order}", "setting": asdict(setting), "steps": steps}
            | {"batch_size": batch_size, "seeds": results, "train_cpu_s": statistics.mean(seconds)}
        )
    print_training(rows)
    return rows


def validation_accuracy(decide: Decide, images: Tensor, order: int) -> float:
    elements = torch.arange(len(images)) % order
    return (in_chunks(decide, turn_each(images, elements, order)) == elements).float().mean().item()


def print_training(rows: list[dict]) -> None:
    def spread(row: dict, key: str) -> str:
        values = [100 * result[key] for result in row["seeds"]]
        return f"{statistics.mean(values):.1f}" + (f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else "")

    print("\n| pose accuracy, % | group | chosen | upright | mean over the group | 16 other angles | training cpu-s |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        figures = " | ".join(spread(row, key) for key in ("upright", "elements", "other_angles"))
        setting = Setting(**row["setting"])
        print(f"| {row['recipe']} | {row['group']} | {setting} | {figures} | {row['train_cpu_s']:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("cost", "train", "all"), default="all")
    parser.add_argument("--orders", type=int, nargs="+", default=[4, 8], help="orders of the rotation groups")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved measurements of the cost")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--selection-steps", type=int, help="steps of the runs that choose settings; default: --steps")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--whose", choices=("both", "ours", "rival"), default="both", help="what to train")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore", message="indexing with dtype torch.uint8")  # e2cnn 0.2.3 on a new torch
    report = {}
    if arguments.part in ("cost", "all"):
        report["cost"] = compare_cost(arguments.orders, arguments.rounds)
    if arguments.part in ("train", "all"):
        selection_steps = arguments.selection_steps or arguments.steps
        recipes = {"rival": rival_recipes(), "ours": our_recipes(), "both": rival_recipes() + our_recipes()}
        report["training"] = compare_training(
            arguments.orders,
            arguments.steps,
            selection_steps,
            arguments.batch_size,
            arguments.seeds,
            recipes[arguments.whose],
        )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
