"""Group-invariant GANs: how many samples a symmetry saves, without a GAN and with one, and how a GAN without it fails.

    python scripts/benchmark_invariant_gan.py --plot docs/invariant_gan.png

First the distribution that the guarantee rests on (arXiv 2305.13517): W1 between the symmetrized sample of n points
and their distribution, of order (|G| n)^(-1/d). Then generators of four Gaussians that quarter turns leave as they
are, learned from 20, 80 and 320 points, and last of handwritten digits that are turned by random quarters. The
learning rate is chosen for every model by the distance to other points or digits, with seeds that are not counted.
Every run is kept in build/figures, and not repeated while the code is the same. The runs are in gan_tasks.py and
gan_digits.py; the distribution takes half a minute of two cores, the Gaussians a quarter of an hour, and the digits an
hour."""

import argparse
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import gan_digits
import gan_tasks as tasks
import torch
from kept_runs import Row, key, run_all
from t_interval import mean_and_reach

DISTRIBUTION_SEEDS, COLUMNS = 5, 5
SIZES, SELECTION = (20, 80, 320), (80, (100, 101))
"""Numbers to learn from; and the one by which a rate is chosen, with the seeds of those runs."""
RATES = (3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)
DIGIT_SIZES, DIGIT_SELECTION = (40, 160, 640), (160, (100, 101))
DIGIT_RATES = (5e-4, 1e-3, 2e-3, 4e-3, 8e-3)
NAMES = {
    "plain": "plain",
    "augmented": "plain, from all four images of each",
    "critic": "invariant critic alone",
    "generator": "invariant generator alone",
    "both": "both invariant",
    "canonical": "both, the critic as D(c(x))",
}
Law = dict[tuple[str, int], list[list[float]]]
"""By group and dimension: for each seed W1 at every size."""
Learned = dict[tuple[str, int], list[Row]]
"""By model and how many it has learned from, a row for each seed."""


def the_distribution(seeds: list[int], folder: Path, jobs: int) -> Law:
    """The distribution without a GAN."""
    places = [(group, dimensions) for dimensions in tasks.DIMENSIONS for group in tasks.GROUPS]

    def arguments(group: str, dimensions: int, n: int, seed: int) -> dict[str, Any]:
        return {"group": group, "dimensions": dimensions, "n": n, "seed": seed}

    wanted = [arguments(*place, n, seed) for place in places for n in tasks.SIZES for seed in seeds]
    kept = run_all("distribution", tasks.sample_size, wanted, folder, jobs)
    return {
        place: [[kept[key(arguments(*place, n, seed))]["w1"] for n in tasks.SIZES] for seed in seeds]
        for place in places
    }


def print_distribution(distribution: Law) -> None:
    print(
        "\nW1 between the symmetrization of n points and the uniform distribution of the ball, mean over the seeds\n"
    )
    heading = " | ".join(f"n = {n}" for n in tasks.SIZES)
    print(f"| dimensions | group | elements | {heading} | slope | predicted | points saved by a factor of |")
    print(f"|---|---|---|{'---|' * len(tasks.SIZES)}---|---|---|")
    for (group, dimensions), seeds in distribution.items():
        means = [statistics.mean(column) for column in zip(*seeds, strict=True)]
        slopes = [tasks.line(tasks.SIZES, one)[0] for one in seeds]
        plain = [statistics.mean(column) for column in zip(*distribution["c1", dimensions], strict=True)]
        values = " | ".join(f"{one:.3f}" for one in means)
        print(
            f"| {dimensions} | {group} | {tasks.order(group)} | {values} | {spread(slopes, 2)} "
            f"| {-1 / dimensions:.2f} | {saved(plain, means):.1f} |"
        )


def saved(plain: list[float], symmetrized: list[float]) -> float:
    """How many times as many points a plain sample has to have to be as near to the distribution, by the line through
    log W1 of
    plain samples over log n; the mean over the sizes. Nothing is taken from theory."""
    steep, at_one = tasks.line(tasks.SIZES, plain)
    return statistics.geometric_mean(
        (w / at_one) ** (1 / steep) / n for n, w in zip(tasks.SIZES, symmetrized, strict=True)
    )


def learned(
    name: str,
    task: Callable[..., Row],
    places: Sequence[tuple[str, int]],
    seeds: list[int],
    rates: Sequence[float],
    selection: tuple[int, tuple[int, ...]],
    folder: Path,
    jobs: int,
) -> tuple[Learned, dict[str, float]]:
    """What every model has learned, and at what rate: the one of the least distance on the calibration split.

    Args:
        name: of the runs.
        task: makes a row of `model`, `n`, `seed` and `lr`.
        places: models, and how many each learns from.
        seeds: that are counted.
        rates: of the generator, to choose from.
        selection: how many the runs learn from by which a rate is chosen, and their seeds.
        folder: for the rows.
        jobs: processes.
    """

    def arguments(model: str, n: int, seed: int, lr: float) -> dict[str, Any]:
        return {"model": model, "n": n, "seed": seed, "lr": lr}

    models = models_of(places)
    size, uncounted = selection
    tried = [arguments(model, size, seed, lr) for model in models for lr in rates for seed in uncounted]
    kept = run_all(name, task, tried, folder, jobs)

    def score(model: str, lr: float) -> float:
        return statistics.mean(kept[key(arguments(model, size, seed, lr))]["calibration"] for seed in uncounted)

    chosen = {model: min(rates, key=lambda lr, model=model: score(model, lr)) for model in models}  # type: ignore[misc]
    wanted = {place: [arguments(*place, seed, chosen[place[0]]) for seed in seeds] for place in places}
    kept = run_all(name, task, [one for some in wanted.values() for one in some], folder, jobs)
    return {place: [kept[key(one)] for one in some] for place, some in wanted.items()}, chosen


def models_of(places: Iterable[tuple[str, int]]) -> list[str]:
    return list(dict.fromkeys(model for model, _ in places))


def print_learned(found: Learned, rates: dict[str, float], tried: Sequence[float], measure: str, digits: int) -> None:
    """A table of that measure, and what a training says that collapses.

    How much farther a model is than "both" is the mean over the sizes, with a 95 % interval over the seeds, each of
    which has the same data for all models.
    """
    models, sizes = models_of(found), sorted({n for _, n in found})
    heading = " | ".join(f"n = {n}" for n in sizes)
    print(f"| model | {heading} | farther than both | poses, n = {sizes[0]} | what its signs said | rate |")
    print(f"|---|{'---|' * len(sizes)}---|---|---|---|")
    for model in models:
        values = [spread([row[measure] for row in found[model, n]], digits) for n in sizes]
        rows = [row for n in sizes for row in found[model, n]]
        said = [row["sentence"] for row in rows if row["sentence"]]
        counts = {kind: sum(kind in one for one in said) for kind in ("collapse", "divergence", "stopped")}
        ended = ", ".join(f"{count} of {len(rows)}: {kind}" for kind, count in counts.items() if count) or "trained"
        poses = spread([100 * row["diversity"] for row in found[model, sizes[0]]], 0)
        edge = " (at the edge)" if rates[model] in (tried[0], tried[-1]) else ""
        by_size = (
            [one[measure] - other[measure] for one, other in zip(found[model, n], found["both", n], strict=True)]
            for n in sizes
        )
        away = [statistics.mean(seed) for seed in zip(*by_size, strict=True)]
        farther = "" if model == "both" else interval(away, digits)
        print(f"| {' | '.join([NAMES[model], *values, farther, f'{poses} %', ended, f'{rates[model]:g}{edge}'])} |")
    example = next((row["sentence"] for row in found["critic", sizes[0]] if row["sentence"]), None)
    if example is not None:
        print(f"\nWhat a training says that collapses: {example}")


def interval(values: list[float], digits: int) -> str:
    """The mean and its 95 % interval, by Student's t."""
    mean, reach = mean_and_reach(values)
    return f"{mean:.{digits}f} [{mean - reach:.{digits}f}, {mean + reach:.{digits}f}]"


def spread(values: list[float], digits: int = 3) -> str:
    deviation = statistics.stdev(values) if len(values) > 1 else 0.0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def plot(distribution: Law, found: Learned, path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(15, 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.35, 1))
    axes = top.subplots(1, 3)
    for axis, dimensions in zip(axes, tasks.DIMENSIONS, strict=False):
        for index, group in enumerate(tasks.GROUPS):
            means = [statistics.mean(column) for column in zip(*distribution[group, dimensions], strict=True)]
            axis.plot(tasks.SIZES, means, "os^D"[index] + "-", label=f"{group.upper()}, |G| = {tasks.order(group)}")
        start = statistics.mean(one[0] for one in distribution["c1", dimensions])
        predicted = [start * (n / tasks.SIZES[0]) ** (-1 / dimensions) for n in tasks.SIZES]
        axis.plot(tasks.SIZES, predicted, "--", color="grey", label=f"slope -1/{dimensions}")
        axis.set_title(f"A symmetrized sample and its distribution, {dimensions} dimensions", fontsize=10)
        axis.set_xscale("log", base=2)
        axis.set_yscale("log", base=2)
        axis.set_xlabel("points n")
        axis.legend(fontsize=8)
    axes[0].set_ylabel("W1")
    for index, model in enumerate(tasks.MODELS):
        values = [[row["w1"] for row in found[model, n]] for n in SIZES]
        deviations = [statistics.stdev(one) if len(one) > 1 else 0.0 for one in values]
        means = [statistics.mean(one) for one in values]
        axes[2].errorbar(SIZES, means, deviations, marker="os^Dvx"[index], capsize=2, label=NAMES[model])
    floor = statistics.mean(row["floor"] for row in found["plain", SIZES[0]])
    axes[2].axhline(floor, color="grey", linestyle="--", label="two samples of the distribution")
    axes[2].set_title("Generators of four Gaussians, learned from n points", fontsize=10)
    axes[2].set_xscale("log")
    axes[2].set_yscale("log")
    axes[2].set_xticks(SIZES, [str(n) for n in SIZES])
    axes[2].minorticks_off()
    axes[2].set_xlabel("points n")
    axes[2].legend(fontsize=7, loc="upper right", bbox_to_anchor=(1, 0.9))
    for axis, model in zip(bottom.subplots(1, len(tasks.MODELS)), tasks.MODELS, strict=True):
        row = found[model, SIZES[0]][0]
        axis.scatter(*zip(*row["samples"], strict=True), s=4, alpha=0.5, label="samples")
        axis.scatter(*zip(*row["data"], strict=True), s=12, marker="x", color="C3", label="learned from")
        axis.set(xlim=(-3.6, 3.6), ylim=(-3.6, 3.6), aspect="equal")
        axis.set_title(NAMES[model], fontsize=8)
        axis.tick_params(labelsize=7)
    bottom.axes[0].legend(fontsize=7, loc="lower left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    print(f"\nDrawn in {path}")


def plot_digits(found: Learned, path: Path) -> None:
    """What every model makes, that has learned from the fewest digits with the first seed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    models, least = models_of(found), min(n for _, n in found)
    shown = {"learned from": gan_digits.draw_digits(least, 0)[:, 0]}
    for model in models:
        shown[NAMES[model]] = torch.tensor(found[model, least][0]["samples"]) / 255
    figure, axes = plt.subplots(1, len(shown), figsize=(15, 3.9), layout="constrained")
    for axis, (name, images) in zip(axes, shown.items(), strict=True):
        rows = images[: gan_digits.SHOWN].unflatten(0, (-1, COLUMNS))
        axis.imshow(rows.transpose(1, 2).flatten(2).flatten(0, 1).numpy(), cmap="gray", vmin=0, vmax=1)
        axis.set_title(name.replace(", ", ",\n"), fontsize=9)
        axis.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    print(f"\nDrawn in {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="of the generators")
    parser.add_argument("--plot", type=Path, default=Path("build/figures/invariant_gan.png"))
    parser.add_argument("--plot-digits", type=Path, default=Path("build/figures/invariant_gan_digits.png"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes, of one thread each")
    arguments = parser.parse_args()
    seeds, jobs = arguments.seeds, arguments.jobs
    distribution = the_distribution(list(range(DISTRIBUTION_SEEDS)), tasks.FOLDER, jobs)
    print_distribution(distribution)

    places = [(model, n) for model in tasks.MODELS for n in SIZES]
    found, rates = learned("points", tasks.points, places, seeds, RATES, SELECTION, tasks.FOLDER, jobs)
    floor = spread([row["floor"] for row in found["plain", SIZES[0]]])
    print(
        f"\nFour Gaussians: W1 of {tasks.MEASURED:,} samples to as many fresh points of the distribution, ± deviation"
    )
    print(f"(two such sets of points are {floor} apart); poses: the share of the orbit that samples have\n")
    print_learned(found, rates, RATES, "w1", 3)
    for model in ("critic", "both", "canonical"):
        evaluations = statistics.mean(row["evaluations"] for n in SIZES for row in found[model, n])
        print(f"Evaluations of the critic for a point, {NAMES[model]}: {evaluations:.1f}")
    plot(distribution, found, arguments.plot)

    told = gan_digits.train_classifier(gan_digits.FOLDER / "classifier.safetensors")
    places = [(model, n) for model in gan_digits.MODELS for n in DIGIT_SIZES]
    task, folder = gan_digits.digits, gan_digits.FOLDER
    found, rates = learned("digits", task, places, seeds, DIGIT_RATES, DIGIT_SELECTION, folder, jobs)
    floor = found["plain", DIGIT_SIZES[0]][0]["floor"]
    print(f"\nTurned digits: Fréchet distance of {gan_digits.MEASURED:,} samples to the test digits in all poses,")
    print("± deviation, in the last hidden layer of a classifier. Of the calibration digits, which are")
    print(f"{floor:.1f} away, it tells the kind of {told['digit']:.0%} and the quarter of {told['quarter']:.0%}\n")
    print_learned(found, rates, DIGIT_RATES, "distance", 1)
    plot_digits(found, arguments.plot_digits)


if __name__ == "__main__":
    main()
