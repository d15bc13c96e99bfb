"""Quadratic against linear neurons at equal parameters, with the wins and the losses in one table.

    make quickstart
    python scripts/prepare_offline_assets.py --only digits small_digits
    python scripts/benchmark_quadratic.py --seeds 0 1 2 3 4 --plot docs/quadratic.png

Learning rates, and their ratio for what is of second order, are chosen for each kind of network by the calibration
split at one size, with seeds that are not counted. Every run is kept in build/figures/quadratic, and not repeated. The
tasks are in quadratic_tasks.py; all of them take about two hours of one core.
"""

import argparse
import json
import os
import statistics
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import quadratic_tasks
import torch
from quadratic_tasks import TARGETS, Row, grid
from tqdm import tqdm

SELECTION_SEEDS = (100, 101)
LIFT_RATES = (1e-3, 3e-3, 1e-2, 3e-2)
NEURONS = ("linear", "quadratic", "compact")
NAMES = {
    "linear": "linear",
    "quadratic": "quadratic",
    "compact": "quadratic, compact form",
    "energies": "linear, quadratic energies",
}


@dataclass(frozen=True)
class Part:
    """One task: the kinds of network that are compared, their sizes, and the size at which settings are chosen."""

    task: str
    kinds: list[dict[str, Any]]
    sizes: list[dict[str, Any]]
    chosen_at: dict[str, Any]
    widths: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Sizes of those neurons, where a width means another number of parameters for each."""

    def sizes_of(self, kind: dict[str, Any]) -> list[dict[str, Any]]:
        return self.widths.get(kind.get("neuron", ""), self.sizes)

    def settings(self, kind: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if self.task == "lift":
            yield from ({"lr": lr} for lr in (LIFT_RATES if kind["method"] != "frozen" else (0.0,)))
        elif self.task == "depth":  # the ratio is what is looked at
            yield from ({"lr": lr} for lr in (2e-3, 5e-3, 1e-2))
        else:
            yield from ({"lr": lr, "ratio": ratio} for lr, ratio in grid(kind["neuron"]))


def widths(*numbers: int) -> list[dict[str, Any]]:
    return [{"width": number} for number in numbers]


def orientation(canonicalizer: str, group: str, *neurons: str) -> Part:
    kinds = [{"canonicalizer": canonicalizer, "group": group, "neuron": neuron} for neuron in neurons]
    return Part("orientation", kinds, [{"target": target} for target in TARGETS], {"target": 10_000})


PARTS = {
    **{
        f"spheres, {dimensions} dimensions": Part(
            "spheres",
            [{"dimensions": dimensions, "neuron": neuron} for neuron in NEURONS],
            [],
            {"width": 4},
            {
                "linear": widths(3, 6, 12, 24, 128, 512),
                "quadratic": widths(1, 2, 4, 8),
                "compact": widths(1, 3, 6, 12),
            },
        )
        for dimensions in (10, 20, 40)
    },
    "small digits": Part(
        "small_digits",
        [{"neuron": neuron} for neuron in NEURONS],
        [],
        {"width": 16},
        {
            "linear": widths(8, 16, 24, 48, 96),
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
        {"layers": 4},
    ),
    "orbit": orientation("orbit", "c4", *NEURONS, "energies"),
    "shift": orientation("shift", "c8", *NEURONS),
    "equivariant": orientation("equivariant", "c4", *NEURONS),
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


def run(task: str, arguments: dict[str, Any]) -> Row:
    torch.set_num_threads(1)
    return getattr(quadratic_tasks, task)(**arguments)


def run_all(name: str, wanted: list[dict[str, Any]], folder: Path, jobs: int) -> dict[str, Row]:
    """The results of those runs, by their arguments; those that are kept are not repeated."""
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.json"
    kept: dict[str, Row] = json.loads(path.read_text()) if path.is_file() else {}
    missing = [arguments for arguments in wanted if key(arguments) not in kept]
    with ProcessPoolExecutor(jobs) as pool:
        runs = {pool.submit(run, PARTS[name].task, arguments): arguments for arguments in missing}
        for done in tqdm(as_completed(runs), name, total=len(runs), disable=not runs):
            kept[key(runs[done])] = done.result()
            path.with_suffix(".partial").write_text(json.dumps(kept, indent=1) + "\n")
            path.with_suffix(".partial").replace(path)
    return kept


def key(arguments: dict[str, Any]) -> str:
    return json.dumps(arguments, sort_keys=True)


def results(name: str, seeds: list[int], folder: Path, jobs: int) -> dict[str, list[list[Row]]]:
    """For each kind of network, and each of its sizes, a row for every seed."""
    part = PARTS[name]
    tried = [
        {**kind, **part.chosen_at, **one, "seed": seed}
        for kind in part.kinds
        for one in part.settings(kind)
        for seed in SELECTION_SEEDS
    ]
    kept = run_all(name, tried, folder, jobs)

    def score(kind: dict[str, Any], one: dict[str, Any]) -> float:
        rows = [kept[key({**kind, **part.chosen_at, **one, "seed": seed})] for seed in SELECTION_SEEDS]
        return statistics.mean(row["calibration"] for row in rows)

    best = [max(part.settings(kind), key=lambda one, kind=kind: score(kind, one)) for kind in part.kinds]
    wanted = [
        [[{**kind, **size, **one, "seed": seed} for seed in seeds] for size in part.sizes_of(kind)]
        for kind, one in zip(part.kinds, best, strict=True)
    ]
    kept = run_all(name, [one for sizes in wanted for seeds_of in sizes for one in seeds_of], folder, jobs)
    for kind, one in zip(part.kinds, best, strict=True):
        print(f"  {title(kind):<28} {', '.join(f'{name} {value:g}' for name, value in one.items())}")
    return {
        title(kind): [[kept[key(one)] for one in of_seeds] for of_seeds in sizes]
        for kind, sizes in zip(part.kinds, wanted, strict=True)
    }


def title(kind: dict[str, Any]) -> str:
    if "neuron" in kind:
        return NAMES[kind["neuron"]]
    if "start" in kind:
        ratio = f", ratio {kind['ratio']:g}" if kind["start"] == "ReLinear" else ""
        return kind["start"] + (" start" if kind["start"] != "linear" else "") + ratio
    return {"head": "head only", "lift": "quadratic lift, rank 2", "LoRA": "LoRA, rank 4"}.get(
        kind["method"], kind["method"]
    )


def summary(rows: list[Row]) -> tuple[float, float]:
    values = [row["test"] for row in rows]
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def print_table(name: str, found: dict[str, list[list[Row]]]) -> None:
    """Mean and deviation over the seeds, beside what the network costs, and what a linear one would need."""
    part = PARTS[name]
    against = found["linear"] if "linear" in found and part.task != "depth" else None
    print(f"\n{name}: test accuracy in %\n")
    print("| network | size | parameters | multiply-adds | accuracy | worst seed | a linear one needs |")
    print("|---|---|---|---|---|---|---|")
    for (kind, sizes), described in zip(found.items(), part.kinds, strict=True):
        for rows, size in zip(sizes, part.sizes_of(described), strict=True):
            mean, deviation = summary(rows)
            needs = "" if against is None or kind == "linear" else linear_needs(mean, rows[0]["parameters"], against)
            what = ", ".join(f"{word} {value:,}" for word, value in size.items())
            print(
                f"| {kind} | {what} | {rows[0]['parameters']:,} | {rows[0]['macs']:,} | {mean:.1f} ± {deviation:.1f} "
                f"| {min(row['test'] for row in rows):.1f} | {needs} |"
            )


def linear_needs(mean: float, parameters: int, linear: list[list[Row]]) -> str:
    """How many times the parameters the linear curve takes to that accuracy, straight between its sizes."""
    curve = [(rows[0]["parameters"], summary(rows)[0]) for rows in linear]
    if mean <= curve[0][1]:
        return f"at most {curve[0][0] / parameters:.1f} x"
    for (fewer, low), (more, high) in zip(curve, curve[1:], strict=False):
        if low < mean <= high:
            return f"{fewer * (more / fewer) ** ((mean - low) / (high - low)) / parameters:.1f} x"
    return f"more than {max(size for size, _ in curve) / parameters:.1f} x"


def plot(found: dict[str, dict[str, list[list[Row]]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

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
    figure, axes = plt.subplots(2, 4, figsize=(15, 7.2), layout="constrained")
    for axis, (name, heading) in zip(axes.flat, panels.items(), strict=True):
        axis.set_title(heading, fontsize=10)
        if name not in found:
            axis.set_axis_off()
            continue
        part = PARTS[name]
        for index, ((kind, sizes), described) in enumerate(zip(found[name].items(), part.kinds, strict=True)):
            what = {"depth": "layers", "lift": "shots"}.get(part.task)
            places = (
                [rows[0]["parameters"] for rows in sizes]
                if what is None
                else [size[what] for size in part.sizes_of(described)]
            )
            means, deviations = zip(*(summary(rows) for rows in sizes), strict=True)
            axis.errorbar(
                places,
                means,
                deviations,
                color=f"C{index}",
                marker="osD^v"[index],
                markersize=4,
                capsize=2,
                label=kind,
            )
        if part.task != "depth":
            axis.set_xscale("log")
        axis.set_xlabel(
            {"depth": "hidden layers", "lift": "labelled digits of each class"}.get(part.task, "parameters")
        )
        if part.task == "lift":
            axis.set_xticks([1, 5, 20], ["1", "5", "20"])
            axis.minorticks_off()
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7, loc="lower left" if part.task == "depth" else "lower right")
    for axis in axes[:, 0]:
        axis.set_ylabel("test accuracy, %")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    print(f"\nDrawn in {path}")


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
    arguments.folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name in arguments.parts:
        print(f"\n{name}, chosen by the calibration split:")
        found[name] = results(name, arguments.seeds, arguments.folder, arguments.jobs)
    for name, one in found.items():
        print_table(name, one)
    plot(found, arguments.plot)


if __name__ == "__main__":
    main()
