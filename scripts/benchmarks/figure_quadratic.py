"""Quadratic against linear neurons at equal parameters, with the wins and the losses in one table.

    make quickstart
    python scripts/assets/prepare_offline_assets.py --only digits small_digits
    python scripts/benchmarks/figure_quadratic.py --seeds 0 1 2 3 4 --plot docs/quadratic.png

Learning rates, and their ratio for what is of second order, are chosen by the calibration split, with seeds that are
not counted: at every size where that is cheap, and for canonicalizers and the lift at the middle one. Every run is
kept in build/figures/quadratic, and not repeated. The tasks are in quadratic_tasks.py; all take about two hours
of one core.
"""

import argparse
import math
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import quadratic_tasks
from drawing import save
from kept_runs import Row, key, run_all
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from quadratic_tasks import TARGETS
from scipy import stats
from seeds import deviation, standard_error

SELECTION_SEEDS = (100, 101)
RATES = (5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2, 4e-2)
CANONICALIZER_RATES = (2e-3, 5e-3, 1e-2, 2e-2)
LIFT_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
NEURONS = ("linear", "quadratic", "compact")
NAMES = {
    "linear": "linear",
    "quadratic": "quadratic",
    "compact": "quadratic, compact form",
    "energies": "linear, quadratic energies",
}
LIFT, LORA = "quadratic lift, rank 2", "LoRA, rank 4"


@dataclass(frozen=True)
class Measured:
    """One kind of network at one size, trained with several seeds."""

    size: dict[str, Any]
    settings: dict[str, Any]
    rows: list[Row]

    @property
    def parameters(self) -> int:
        return self.rows[0]["parameters"]

    @property
    def mean(self) -> float:
        return statistics.mean(row["test"] for row in self.rows)

    @property
    def deviation(self) -> float:
        return deviation([row["test"] for row in self.rows])


Found = dict[str, list[Measured]]
"""By kind of network."""


@dataclass(frozen=True)
class Part:
    """One task: the kinds of network that are compared, their sizes, and the size at which settings are chosen."""

    task: str
    kinds: list[dict[str, Any]]
    sizes: list[dict[str, Any]] = field(default_factory=list)
    chosen_at: dict[str, Any] | None = None
    """None where every size has its own settings."""
    widths: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Sizes of those neurons, where a width means another number of parameters for each."""

    def sizes_of(self, kind: dict[str, Any]) -> list[dict[str, Any]]:
        return self.widths.get(kind.get("neuron", ""), self.sizes)

    def settings(self, kind: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """What the calibration split chooses from."""
        if self.task == "lift":
            yield from ({"lr": lr} for lr in (LIFT_RATES if kind["method"] != "frozen" else (0.0,)))
        elif self.task == "depth":  # the ratio is what is looked at
            yield from ({"lr": lr} for lr in RATES)
        else:
            ratios = (1.0,) if kind["neuron"] == "linear" else (0.1, 1.0)
            rates = CANONICALIZER_RATES if self.task == "orientation" else RATES
            yield from ({"lr": lr, "ratio": ratio} for lr in rates for ratio in ratios)


def widths(*numbers: int) -> list[dict[str, Any]]:
    return [{"width": number} for number in numbers]


def orientation(canonicalizer: str, group: str, *neurons: str, largest: int = 100_000) -> Part:
    kinds = [{"canonicalizer": canonicalizer, "group": group, "neuron": neuron} for neuron in neurons]
    targets = [target for target in TARGETS if target <= largest]
    # Linear ones a little smaller and larger too, so that all the others lie between two of them.
    linear = [targets[0] // 2, *targets, targets[-1] * 4 // 3]
    sizes = {name: [{"target": target} for target in some] for name, some in (("linear", linear), ("", targets))}
    return Part("orientation", kinds, sizes[""], sizes[""][len(targets) // 2], {"linear": sizes["linear"]})


PARTS = {
    **{
        f"spheres, {dimensions} dimensions": Part(
            "spheres",
            [{"dimensions": dimensions, "neuron": neuron} for neuron in NEURONS],
            widths={
                "linear": widths(1, 2, 3, 6, 12, 24, 128, 512),
                "quadratic": widths(1, 2, 4, 8),
                "compact": widths(1, 3, 6, 12),
            },
        )
        for dimensions in (10, 20, 40)
    },
    "small digits": Part(
        "small_digits",
        [{"neuron": neuron} for neuron in NEURONS],
        widths={
            "linear": widths(4, 6, 8, 16, 24, 48, 96),
            "quadratic": widths(3, 6, 8, 16, 32),
            "compact": widths(4, 8, 12, 24, 48),
        },
    ),
    "depth": Part(
        "depth",
        [
            {"start": "linear", "ratio": 1.0},
            {"start": "random", "ratio": 1.0},
            {"start": "ReLinear", "ratio": 1.0},
            {"start": "ReLinear", "ratio": 0.1},
        ],
        [{"layers": layers} for layers in (1, 2, 4, 6, 8, 10)],
    ),
    "orbit": orientation("orbit", "c4", *NEURONS, "energies"),
    "shift": orientation("shift", "c8", *NEURONS),
    "equivariant": orientation("equivariant", "c4", *NEURONS, largest=10_000),  # the slowest
    **{
        f"lift, {task}": Part(
            "lift",
            [{"task": task, "method": method} for method in ("frozen", "head", "LoRA", "lift", "everything")],
            [{"shots": shots} for shots in (1, 5, 20)],
            {"shots": 5},
        )
        for task in ("other hands", "turned")
    },
}


def results(name: str, seeds: list[int], folder: Path, jobs: int) -> Found:
    """For each kind of network, each of its sizes, with the settings that were chosen and a row for every seed."""
    part = PARTS[name]
    places = [(kind, size) for kind in part.kinds for size in part.sizes_of(kind)]
    tried = [
        {**kind, **(part.chosen_at or size), **one, "seed": seed}
        for kind, size in places
        for one in part.settings(kind)
        for seed in SELECTION_SEEDS
    ]
    task = getattr(quadratic_tasks, part.task)
    kept = run_all(name, task, tried, folder, jobs)

    def chosen(kind: dict[str, Any], size: dict[str, Any]) -> dict[str, Any]:
        def score(one: dict[str, Any]) -> float:
            rows = [kept[key({**kind, **(part.chosen_at or size), **one, "seed": seed})] for seed in SELECTION_SEEDS]
            return statistics.mean(row["calibration"] for row in rows)

        return max(part.settings(kind), key=score)

    wanted = [(kind, size, chosen(kind, size)) for kind, size in places]
    runs = [{**kind, **size, **one, "seed": seed} for kind, size, one in wanted for seed in seeds]
    kept = run_all(name, task, runs, folder, jobs)
    found: Found = {title(kind): [] for kind in part.kinds}
    for kind, size, one in wanted:
        rows = [kept[key({**kind, **size, **one, "seed": seed})] for seed in seeds]
        found[title(kind)].append(Measured(size, one, rows))
    return found


def title(kind: dict[str, Any]) -> str:
    if "neuron" in kind:
        return NAMES[kind["neuron"]]
    if "start" in kind:
        ratio = f", ratio {kind['ratio']:g}" if kind["start"] == "ReLinear" else ""
        return kind["start"] + (" start" if kind["start"] != "linear" else "") + ratio
    return {"head": "head only", "lift": LIFT, "LoRA": LORA}.get(kind["method"], kind["method"])


def print_table(name: str, found: Found) -> None:
    """Mean and deviation over the seeds, beside what the network costs, and what a linear one would need."""
    against = found.get("linear") if PARTS[name].task != "depth" else None
    print(f"\n{name}: test accuracy in %\n")
    print(
        "| network | size | parameters | multiply-adds | accuracy | worst seed | a linear one needs | rate (ratio) |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for kind, sizes in found.items():
        for one in sizes:
            needs = "" if against is None or kind == "linear" else linear_needs(one, against)
            what = ", ".join(f"{word} {value:,}" for word, value in one.size.items())
            ratio = f" ({one.settings['ratio']:g})" if "ratio" in one.settings else ""
            print(
                f"| {kind} | {what} | {one.parameters:,} | {one.rows[0]['macs']:,} | {one.mean:.1f} ± "
                f"{one.deviation:.1f} | {min(row['test'] for row in one.rows):.1f} | {needs} "
                f"| {one.settings['lr']:g}{ratio} |"
            )


def linear_needs(one: Measured, linear: list[Measured]) -> str:
    """How many times the parameters the linear curve takes to that accuracy, straight between its sizes."""
    if one.mean <= linear[0].mean:
        return f"at most {linear[0].parameters / one.parameters:.1f} x"
    for less, more in pairwise(linear):
        if less.mean < one.mean <= more.mean:
            share = (one.mean - less.mean) / (more.mean - less.mean)
            return f"{less.parameters * (more.parameters / less.parameters) ** share / one.parameters:.1f} x"
    return f"more than {linear[-1].parameters / one.parameters:.1f} x"


def print_comparison(found: dict[str, Found]) -> None:
    """Wins and losses in one table: every quadratic network against a linear one of as many parameters, and the lift
    against LoRA of as many. A difference counts where a t-interval of 95 % over the seeds leaves out zero."""
    print("\nQuadratic against linear (the lift: against LoRA) at equal parameters: test accuracy in %\n")
    print(
        "| task | network | parameters | multiply-adds | accuracy | worst seed | against | difference | linear needs |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for task, kind, one, (expected, error), needs in comparisons(found):
        difference = one.mean - expected
        reach = stats.t.ppf(0.975, len(one.rows) - 1) * error
        verdict = "level" if abs(difference) <= reach else "**win**" if difference > 0 else "loss"
        print(
            f"| {task} | {kind} | {one.parameters:,} | {one.rows[0]['macs']:,} | {one.mean:.1f} ± {one.deviation:.1f} "
            f"| {min(row['test'] for row in one.rows):.1f} | {expected:.1f} | {difference:+.1f}, {verdict} "
            f"| {'' if verdict == 'level' else needs} |"
        )


def comparisons(found: dict[str, Found]) -> Iterator[tuple[str, str, Measured, tuple[float, float], str]]:
    """Task, network, what it reached, what a linear one does with the standard error of the difference, and how many
    times its parameters a linear one needs."""
    for name, kinds in found.items():
        if PARTS[name].task == "lift":
            for lifted, lora in zip(kinds[LIFT], kinds[LORA], strict=True):  # from the same shots
                pairs = zip(lifted.rows, lora.rows, strict=True)
                error = standard_error([one["test"] - other["test"] for one, other in pairs])
                yield f"{name}, {lifted.size['shots']} of each class", LIFT, lifted, (lora.mean, error), ""
        elif PARTS[name].task != "depth":
            for kind, one in ((kind, one) for kind, sizes in kinds.items() if kind != "linear" for one in sizes):
                yield name, kind, one, linear_at(one, kinds["linear"]), linear_needs(one, kinds["linear"])


def linear_at(one: Measured, linear: list[Measured]) -> tuple[float, float]:
    """The accuracy of a linear network of as many parameters, straight between two that were trained, and the standard
    error of the difference.

    Raises:
        ValueError: it has more or fewer parameters than all that were trained.
    """
    for less, more in pairwise(linear):
        if less.parameters <= one.parameters <= more.parameters:
            share = math.log(one.parameters / less.parameters) / math.log(more.parameters / less.parameters)
            own, left, right = (standard_error([row["test"] for row in each.rows]) for each in (one, less, more))
            return less.mean + share * (more.mean - less.mean), math.hypot(own, (1 - share) * left, share * right)
    raise ValueError(
        f"{one.parameters} parameters lie beyond the linear networks that were trained. Train others too."
    )


def plot(found: dict[str, Found], path: Path) -> None:

    panels = {
        "spheres, 40 dimensions": "Concentric spheres, 40 dimensions",
        "small digits": "Digits of 8 x 8 pixels",
        "depth": "Digits, no norms, by depth",
        "lift, other hands": "Lift: digits of other hands",
        "orbit": "Pose over c4, orbit",
        "equivariant": "Pose over c4, equivariant",
        "shift": "Pose over c8, shift",
        "lift, turned": "Lift: digits turned by 90°",
    }
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    axes = figure.subplots(2, 4)
    for axis, (name, heading) in zip(axes.flat, panels.items(), strict=True):
        axis.set_title(heading, fontsize=10)
        if name not in found:
            axis.set_axis_off()
            continue
        part = PARTS[name]
        for index, (kind, sizes) in enumerate(found[name].items()):
            what = {"depth": "layers", "lift": "shots"}.get(part.task)
            places = [one.parameters if what is None else one.size[what] for one in sizes]
            means, deviations = [one.mean for one in sizes], [one.deviation for one in sizes]
            style: dict[str, Any] = {"color": f"C{index}", "marker": "osD^v"[index], "markersize": 4, "capsize": 2}
            axis.errorbar(places, means, deviations, label=kind, **style)
        if part.task != "depth":
            axis.set_xscale("log")
            axis.xaxis.set_minor_formatter(NullFormatter())
        axis.set_xlabel(
            {"depth": "hidden layers", "lift": "labelled digits of each class"}.get(part.task, "parameters")
        )
        if part.task == "lift":
            axis.set_xticks([1, 5, 20], ["1", "5", "20"])
            axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc={"depth": "lower left", "lift": "center right"}.get(part.task, "lower right"))
    for axis in axes[:, 0]:
        axis.set_ylabel("test accuracy, %")
    save(figure, path, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument(
        "--parts", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument("--folder", type=Path, default=Path("build/figures/quadratic"), help="where runs are kept")
    parser.add_argument("--plot", type=Path, default=Path("build/figures/quadratic.png"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes, of one thread each")
    arguments = parser.parse_args()
    found = {}
    for name in arguments.parts:
        found[name] = results(name, arguments.seeds, arguments.folder, arguments.jobs)
    for name, one in found.items():
        print_table(name, one)
    print_comparison(found)
    plot(found, arguments.plot)


if __name__ == "__main__":
    main()
