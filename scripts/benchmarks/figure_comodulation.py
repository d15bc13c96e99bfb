"""Stochastic comodulation against a frozen checkpoint, its head, LoRA and a deterministic gain: wins and losses.

    python scripts/assets/prepare_offline_assets.py --only digits efficientnet stamps emoji
    python scripts/benchmarks/figure_comodulation.py --seeds 0 1 2 3 4 --plot docs/comodulation.png

Learning rates are chosen by average precision on the calibration split, for every method at every size, with seeds
that are not counted. Every run is kept in build/figures/comodulation, and not repeated while the code is the same. The
tasks are in comodulation_tasks.py; all take an hour and a half of two cores, which `--parts` divides.
"""

import argparse
import os
import statistics
import timeit
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import comodulation_tasks as tasks
import torch
from drawing import save
from kept_runs import Row, key, run_all
from matplotlib.figure import Figure
from seeds import deviation, mean_and_reach, spread
from transformers import EfficientNetForImageClassification

from hf_canon.adaptation import Comodulation, comodulate

SELECTION_SEEDS = (100, 101, 102, 103)
"""Of mosaics each has another quadrant; of drawings, which are five tasks, two are enough."""
SIZES = (10, 30, 100)
RATES = {
    "head": (3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1),
    "LoRA": (1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0),
    "deterministic": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0),
    "comodulated": (1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0),
    "noise": (3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0),
    "frozen": (0.0,),
}
NAMES = {
    "frozen": "frozen",
    "head": "head only",
    "LoRA": "LoRA, rank 1",
    "deterministic": "deterministic gain",
    "comodulated": "comodulation",
    "noise": "comodulation, learned by noise",
}
LAYERS = ("blocks.11", "blocks.13", "blocks.14", "blocks.15", "top_activation")
LAYER_KINDS = ("Animals & Nature", "Food & Drink", "Objects")


@dataclass(frozen=True)
class Part:
    """One network and the tasks that it is adapted to.

    Args:
        task: a function in comodulation_tasks.py.
        each: the tasks, whose mean is reported.
        methods: what is compared.
        sizes: labelled examples of a task.
        fixed: further arguments.
        rates: of `RATES`, what the calibration split chooses from, where not from all.
    """

    task: Callable[..., Row]
    each: tuple[dict[str, Any], ...]
    methods: tuple[str, ...]
    sizes: tuple[int, ...] = SIZES
    fixed: tuple[tuple[str, Any], ...] = ()
    rates: tuple[float, ...] | None = None

    @property
    def selection_seeds(self) -> tuple[int, ...]:
        return SELECTION_SEEDS if len(self.each) == 1 else SELECTION_SEEDS[:2]

    def arguments(self, method: str, shots: int, seed: int, lr: float) -> list[dict[str, Any]]:
        """Of the runs for every task."""
        return [
            {**one, **dict(self.fixed), "method": method, "shots": shots, "seed": seed, "lr": lr} for one in self.each
        ]

    def rates_of(self, method: str) -> tuple[float, ...]:
        known = RATES[method]
        return known if self.rates is None or method == "frozen" else tuple(one for one in known if one in self.rates)


ADAPTED = ("frozen", "head", "LoRA", "deterministic", "comodulated")
PARTS = {
    "drawings": Part(tasks.drawings, tuple({"kind": kind} for kind in tasks.KINDS), ADAPTED),
    **{
        f"{read_out} read-out, {units}": Part(
            tasks.mosaics, ({"read_out": read_out},), (*ADAPTED, "noise"), fixed=(("units", units),)
        )
        for read_out in ("local", "dense")
        for units in ("places", "channels")
    },
}
BY_LAYER = {
    f"drawings, {layer}": Part(
        tasks.drawings,
        tuple({"kind": kind} for kind in LAYER_KINDS),
        ("frozen", "deterministic", "comodulated"),
        (30,),
        (("layer", layer),),
        (3e-2, 1e-1, 3e-1, 1.0, 3.0, 10.0),
    )
    for layer in LAYERS
}


@dataclass(frozen=True)
class Measured:
    """One method at one size: for every seed the rows of all tasks."""

    rows: list[list[Row]]
    lr: float

    def values(self, measure: str) -> list[float]:
        """The mean over the tasks, for each seed."""
        return [statistics.mean(row["test"][measure] for row in seed) for seed in self.rows]

    def curve(self) -> list[tuple[int, float]]:
        """Steps, and the mean average precision on the calibration split by then."""
        curves = [row["curve"] for seed in self.rows for row in seed]
        return [(points[0][0], statistics.mean(value for _, value in points)) for points in zip(*curves, strict=True)]

    def steps_to(self, precision: float) -> int | None:
        return next((step for step, value in self.curve() if value >= precision), None)


Found = dict[tuple[str, int], Measured]
"""By method and size."""


def results(name: str, part: Part, seeds: list[int], folder: Path, jobs: int) -> Found:
    places = [(method, shots) for method in part.methods for shots in part.sizes]
    tried = [
        one
        for method, shots in places
        for lr in part.rates_of(method)
        for seed in part.selection_seeds
        for one in part.arguments(method, shots, seed, lr)
    ]
    kept = run_all(name, part.task, tried, folder, jobs)

    def chosen(method: str, shots: int) -> float:
        def score(lr: float) -> float:
            runs = [one for seed in part.selection_seeds for one in part.arguments(method, shots, seed, lr)]
            return statistics.mean(kept[key(one)]["calibration"]["ap"] for one in runs)

        return max(part.rates_of(method), key=score)

    rates = {place: chosen(*place) for place in places}
    runs = {place: [part.arguments(*place, seed, rates[place]) for seed in seeds] for place in places}
    kept = run_all(name, part.task, [one for of in runs.values() for seed in of for one in seed], folder, jobs)
    return {
        place: Measured([[kept[key(one)] for one in seed] for seed in runs[place]], rates[place]) for place in runs
    }


def print_adaptation(name: str, found: Found) -> None:
    """What every method reached, and whether comodulation is above or below the others by more than chance."""
    print(f"\n{name}: on the test split, mean over the tasks, ± deviation over the seeds\n")
    print(
        "| labelled | method | trained | accuracy, % | AP, % | NLL | calibration error, % | steps to the head's AP | "
        "comodulation's AP against it | rate |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for shots in sorted({shots for _, shots in found}):
        target = found["head", shots].curve()[-1][1]
        for method in (method for method, size in found if size == shots):
            one = found[method, shots]
            steps = one.steps_to(target) if one.rows[0][0]["curve"] else None
            cells = [spread(one.values(measure), digits) for measure, digits in MEASURES.items()]
            against = "" if method == "comodulated" else difference(found["comodulated", shots], one)
            edge = " (at the edge)" if one.lr in (RATES[method][0], RATES[method][-1]) else ""
            print(
                f"| {shots} | {NAMES[method]} | {one.rows[0][0]['trained']:,} | {' | '.join(cells)} "
                f"| {'-' if steps is None else steps} | {against} | {f'{one.lr:g}{edge}' if one.lr else ''} |"
            )


MEASURES = {"accuracy": 1, "ap": 1, "nll": 2, "ece": 1}


def difference(one: Measured, other: Measured, measure: str = "ap") -> str:
    """Of the same seeds and tasks; it counts where a t-interval of 95 % over the seeds leaves out zero."""
    return verdict([a - b for a, b in zip(one.values(measure), other.values(measure), strict=True)])


def verdict(differences: list[float]) -> str:
    """The mean, and whether five seeds can tell it from zero.

    Example:
        >>> verdict([1.0, 1.1, 0.9]), verdict([-1.0, -1.1, -0.9]), verdict([1.0, -1.0])
        ('+1.0, **win**', '-1.0, loss', '+0.0, level')
    """
    mean, reach = mean_and_reach(differences)
    return f"{mean:+.1f}, {'level' if abs(mean) <= reach else '**win**' if mean > 0 else 'loss'}"


def print_regions(seeds: list[int], folder: Path, jobs: int) -> dict[tuple[str, str, str], list[float]]:
    """No labels at all: the quadrant is given."""
    methods = {
        "frozen": "frozen",
        "deterministic": "deterministic gain, exp(k), k = 1",
        "strong": "deterministic gain, k = 3",
        "comodulated": "comodulation, by the product",
        "sampled": "comodulation, by 500 samples",
        "masked": "the rest of the map removed",
    }
    wanted = [
        {"read_out": read_out, "method": method, "seed": seed}
        for read_out in ("local", "dense")
        for method in methods
        for seed in seeds
    ]
    kept = run_all("regions", tasks.regions, wanted, folder, jobs)
    found = {
        (read_out, method, measure): [
            kept[key({"read_out": read_out, "method": method, "seed": seed})]["test"][measure] for seed in seeds
        ]
        for read_out in ("local", "dense")
        for method in methods
        for measure in ("accuracy", "ap")
    }
    print("\nThe digit in a quadrant that is given, without a label: on the test split, %\n")
    print("| method | local read-out: accuracy | AP | dense read-out: accuracy | AP |")
    print("|---|---|---|---|---|")
    for method, title in methods.items():
        cells = [spread(found[kind, method, one]) for kind in ("local", "dense") for one in ("accuracy", "ap")]
        print(f"| {title} | {' | '.join(cells)} |")
    return found


def print_decoding(seeds: list[int], folder: Path, jobs: int) -> None:
    methods = ("logistic", "sign alone", "modulator-guided", "oracle")
    wanted = [{"method": m, "seed": seed, "trials": n} for m in methods for n in SIZES for seed in seeds]
    kept = run_all("decoding", tasks.decoding, wanted, folder, jobs)
    print(
        "\nWhich of two stimuli 500 simulated units have seen, 25 of which know: accuracy in %. The modulator reaches"
    )
    print("just these, and the guided decoder is told it; the logistic one sees neither it nor bins of a trial.\n")
    print(f"| decoder | {' | '.join(f'{n} labelled trials' for n in SIZES)} |")
    print("|---|---|---|---|")
    for method in methods:
        cells = [
            spread([kept[key({"method": method, "seed": seed, "trials": n})]["test"]["accuracy"] for seed in seeds])
            for n in SIZES
        ]
        print(f"| {method} | {' | '.join(cells)} |")


def print_diagnosis(
    found: dict[str, Found], seeds: list[int], folder: Path, jobs: int
) -> list[tuple[str, float, list[float]]]:
    """What the diagnostic says of each layer before training, beside what was measured with 30 labelled examples."""
    layers = run_all("diagnosed drawings", tasks.diagnosed_drawings, [{"layer": one} for one in LAYERS], folder, jobs)
    places = [{"read_out": r, "units": u} for r in ("local", "dense") for u in ("places", "channels")]
    wanted = [{**one, "seed": seed} for one in places for seed in seeds]
    mosaics = run_all("diagnosed mosaics", tasks.diagnosed_mosaics, wanted, folder, jobs)

    def rows() -> Iterator[tuple[str, list[Row], Found]]:
        for layer in LAYERS:
            yield f"EfficientNet, {layer}", [layers[key({"layer": layer})]], found[f"drawings, {layer}"]
        for one in places:
            name = f"{one['read_out']} read-out, {one['units']}"
            yield f"mosaics, {name}", [mosaics[key({**one, "seed": seed})] for seed in seeds], found[name]

    print("\nThe diagnostic's verdict, and what was measured with 30 labelled examples: AP on the test split, %\n")
    print(
        "| layer | units | selectivity | verdict | frozen | deterministic | comodulation | against frozen | against "
        "deterministic | was it right? |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    points = []
    for name, said, one in rows():
        como, gain = one["comodulated", 30], one["deterministic", 30]
        cells = " | ".join(
            spread(one[method, 30].values("ap")) for method in ("frozen", "deterministic", "comodulated")
        )
        differences = [a - b for a, b in zip(como.values("ap"), gain.values("ap"), strict=True)]
        value = statistics.mean(row["selectivity"] for row in said)
        verdicts = statistics.multimode(row["verdict"] for row in said)
        told = difference(como, gain)
        right = (
            "cannot tell" if "level" in told else "yes" if (verdicts == ["comodulated"]) == ("win" in told) else "no"
        )
        print(
            f"| {name} | {said[0]['units']} | {value:.2f} | {' or '.join(verdicts)} | {cells} "
            f"| {difference(como, one['frozen', 30])} | {told} | {right} |"
        )
        points.append((name, value, differences))
    return points


def print_switching() -> None:
    """Many tasks on one frozen model: what a switch costs, and that a task comes back to the bit."""
    from peft import LoraConfig

    torch.manual_seed(0)
    names = [f"task {index}" for index in range(10)]
    model = EfficientNetForImageClassification.from_pretrained(tasks.checkpoint()).eval()
    x = torch.rand(2, 3, tasks.SIDE, tasks.SIDE)
    with torch.no_grad():
        frozen = model(x).logits
        one = comodulate(model, ["encoder.blocks.15", "encoder.top_activation"], inputs=x, task=None)
        answers = []
        for name in names:
            one.add_task(name)
            for part in one.parts[:-1]:  # the last one reads
                part.tasks[-1].uniform_()
            with one.estimating():
                model(x)
            answers.append(model(x).logits)
        one.set_task(names[0])
        same = torch.equal(model(x).logits, answers[0])
        one.save_pretrained(tasks.FOLDER / "switching")
        saved = (tasks.FOLDER / "switching/comodulation.safetensors").stat().st_size
        again = EfficientNetForImageClassification.from_pretrained(tasks.checkpoint()).eval()
        Comodulation.from_pretrained(again, tasks.FOLDER / "switching")
        loaded = torch.equal(again(x).logits, answers[0])
        seconds = seconds_of(lambda index: one.set_task(names[index % 10]))
        one.remove()
        gone = torch.equal(model(x).logits, frozen)
    for name in names:
        model.add_adapter(LoraConfig(r=1, target_modules=["top_conv"]), adapter_name=name.replace(" ", "-"))
    rival = seconds_of(lambda index: model.set_adapter(names[index % 10].replace(" ", "-")))
    print(
        f"\nTen tasks on EfficientNet: {saved / 1e4:.1f} kB each; a switch takes {1e6 * seconds:.0f} microseconds "
        f"({rival / seconds:.0f} times as long between LoRA adapters of PEFT). The first task comes back to the bit: "
        f"{same}; loaded from its file: {loaded}; after remove() the checkpoint does: {gone}."
    )
    assert same and loaded and gone


def seconds_of(switch: Callable[[int], None]) -> float:
    def ten() -> None:
        for index in range(10):
            switch(index)

    return min(timeit.repeat(ten, number=10, repeat=5)) / 100


def plot(
    found: dict[str, Found],
    regions: dict[tuple[str, str, str], list[float]],
    points: list[tuple[str, float, list[float]]],
    path: Path,
) -> None:

    figure = Figure(figsize=(17, 4.2), layout="constrained")
    axes = figure.subplots(1, 4)
    panels = {
        "drawings": "EfficientNet, five tasks: what is drawn?",
        "local read-out, places": "Which digit is there? Local read-out",
        "dense read-out, places": "Which digit is there? Dense read-out",
    }
    for axis, (name, heading) in zip(axes, panels.items(), strict=False):
        axis.set_title(heading, fontsize=10)
        for index, method in enumerate(ADAPTED):
            some = [found[name][method, shots].values("ap") for shots in SIZES]
            style: dict[str, Any] = {"color": f"C{index}", "marker": "xos^D"[index], "markersize": 4, "capsize": 2}
            deviations = [deviation(values) for values in some]
            axis.errorbar(SIZES, [statistics.mean(v) for v in some], deviations, label=NAMES[method], **style)
        if name != "drawings":
            kind = name.split()[0]
            level = statistics.mean(regions[kind, "comodulated", "ap"])
            axis.axhline(level, color="C4", linestyle=":")
            where = {"va": "bottom" if level > 60 else "top", "color": "C4", "fontsize": 8}
            axis.text(10, level, " comodulation, region given, no labels", **where)
        axis.set_xscale("log")
        axis.set_xticks(SIZES, [str(size) for size in SIZES])
        axis.minorticks_off()
        axis.set_xlabel("labelled examples of a task")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("average precision, %")
    axes[0].legend(fontsize=7)
    last = axes[-1]
    last.set_title("What the diagnostic said beforehand", fontsize=10)
    for index, (name, value, differences) in enumerate(points):
        style = {"color": f"C{index}", "marker": "o" if name.startswith("Eff") else "s", "capsize": 2, "label": name}
        last.errorbar([value], [statistics.mean(differences)], [deviation(differences)], linestyle="none", **style)
    last.axhline(0, color="grey", linewidth=0.8)
    last.set_xlabel("selectivity, before training")
    last.set_ylabel("AP: comodulation less deterministic gain")
    last.grid(alpha=0.3)
    last.legend(fontsize=6)
    save(figure, path, 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--parts", nargs="+", choices=PRINTED, default=list(PRINTED), help="what is printed")
    parser.add_argument("--plot", type=Path, default=Path("build/figures/comodulation.png"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes, of one thread each")
    arguments = parser.parse_args()
    folder, jobs, seeds = tasks.FOLDER, arguments.jobs, arguments.seeds
    folder.mkdir(parents=True, exist_ok=True)
    prepare([*seeds, *SELECTION_SEEDS])
    parts = arguments.parts
    wanted = {name: part for name, part in PARTS.items() if "adaptation" in parts or "layers" in parts}
    wanted |= BY_LAYER if "layers" in parts else {}
    found = {name: results(name, part, seeds, folder, jobs) for name, part in wanted.items()}
    for name in PARTS if "adaptation" in parts else ():
        print_adaptation(name, found[name])
    regions = print_regions(seeds, folder, jobs) if "regions" in parts else {}
    if "decoding" in parts:
        print_decoding(seeds, folder, jobs)
    points = print_diagnosis(found, seeds, folder, jobs) if "layers" in parts else []
    if "switching" in parts:
        print_switching()
    if set(parts) == set(PRINTED):
        plot(found, regions, points, arguments.plot)


PRINTED = ("adaptation", "regions", "decoding", "layers", "switching")


def prepare(seeds: list[int]) -> None:
    """What runs share is made once, and not in every process."""
    for first in sorted({int(layer[7:]) for layer in LAYERS if layer.startswith("blocks.")}):
        tasks.activities(first)
    for seed in seeds:
        for read_out in ("local", "dense"):
            tasks.trained_on_mosaics(read_out, seed)


if __name__ == "__main__":
    main()
