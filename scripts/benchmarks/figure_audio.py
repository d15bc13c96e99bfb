"""Figure 4: a frozen Whisper encoder that names the language of a word, against playback speed and pitch.

    python scripts/assets/prepare_offline_assets.py --only words whisper
    bash scripts/benchmarks/audio_rivals.sh
    python scripts/benchmarks/figure_audio.py

Eight languages, and in the test split words that neither the head nor the canonicalizer has heard. Test clips are
transformed as waveforms by other implementations than ours, speed by `scipy.signal.resample` and pitch by
`librosa.effects.pitch_shift`, and the checkpoint's extractor then makes log-mel spectrograms of two seconds. An octave
slower, a clip is twice as long and may be cut there: nobody can undo that, and the oracle shows what it costs.

The canonicalizer is trained without labels, on the training clips, each transformed as a waveform by a few random
elements of the group. What it finds is undone on the spectrogram (`ours`), or before there is one (`ours, in the
audio`, by `canonical_clips`, which reads the clip twice); there is an oracle for either. `augmentation` fits the
checkpoint's linear head again, to the same transformed clips with their labels (no seeds: the problem is convex).
Nothing beyond an octave is ever found, so that the pose error at -12 and 12 flatters. The orbit has a member for each
shift of the table, so that the oracle is one of them. What was trained and measured is kept, in `--folder`."""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from assets.linear_head import logistic_regression
from assets.playback import at_speed
from drawing import BLUE, DPI, FAINT, INK, VERMILLION
from matplotlib.figure import Figure
from pitch_shifters import apart, librosa_shift, own_process
from torch import Tensor
from torch.nn.functional import cross_entropy
from words import BATCH, COPIES, Clips, train

from hf_canon import CanonicalizedModel, get_group
from hf_canon.evaluation import bootstrap

SHIFTS = tuple(range(-12, 13, 4))
"""Semitones."""
GROUPS = {"speed12": "playback speed", "pitch12": "pitch"}
PENALTIES = [10.0**power for power in (-5, -4, -3, -2, -1)]
TIMED = 9
PRECISION = torch.bfloat16
"""Of the predictor, for every row alike; the canonicalizer decides in single precision, and so is the cost timed."""
ROWS = {
    "untouched": {"color": VERMILLION, "linewidth": 2.0, "marker": "s", "markersize": 4},
    "augmentation": {"color": INK, "linewidth": 1.4, "marker": "^", "markersize": 4},
    "orbit mean": {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (1, 1.2))},
    "most confident": {"color": FAINT, "linewidth": 1.1, "linestyle": (0, (4, 1.8))},
    "ours": {"color": BLUE, "linewidth": 2.4, "marker": "o", "markersize": 4.6},
    "ours, in the audio": {
        "color": BLUE,
        "linewidth": 2.4,
        "marker": "D",
        "markersize": 4.6,
        "linestyle": (0, (3, 1)),
    },
    "oracle": {"color": FAINT, "linewidth": 0.9, "linestyle": "-"},
    "oracle, in the audio": {"color": FAINT, "linewidth": 0.9, "linestyle": (0, (3, 1))},
}
DRAWN = ("oracle, in the audio", "oracle", "augmentation", "untouched", "ours", "ours, in the audio")


def shifted_pitch(pool: ProcessPoolExecutor, audio: np.ndarray, semitones: float) -> np.ndarray:
    return apart(pool, librosa_shift, audio, float(semitones))[0]


# ---------------------------------------------------------------------------------------------------- encoder and head


@torch.inference_mode()
def encoded(model: CanonicalizedModel, x: Tensor) -> Tensor:
    """Means of the encoder's frames, `(clips, width)`: all that the head, which is linear, looks at."""
    encoder = model.predictor.encoder
    with torch.autocast("cpu", PRECISION):
        return torch.cat([encoder(part).last_hidden_state.float().mean(1) for part in x.split(BATCH)])


@torch.inference_mode()
def untouched_head(model: CanonicalizedModel, features: Tensor) -> Tensor:
    return model.predictor.classifier(model.predictor.projector(features))


def training_features(name: str, model: CanonicalizedModel, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of the training clips, as they are and transformed, and of calibration clips that are treated alike:
    features and labels."""
    found = []
    for split, transformed in (("train", x), ("calibration", Clips("calibration").transformed_at_random(name, 2)[0])):
        clips = Clips(split)
        features = encoded(model, torch.cat([clips.features(clips.clips), transformed]))
        found += [features, clips.labels.repeat(len(features) // len(clips.labels))]
    return tuple(found)


def augmented_head(x: Tensor, labels: Tensor, held_back: Tensor, held_labels: Tensor) -> Callable[[Tensor], Tensor]:
    """The linear head, fitted again; the second pair chooses its penalty. From features to logits."""
    mean, spread = x.double().mean(0), x.double().std(0)

    def logits(head: tuple[Tensor, ...], features: Tensor) -> Tensor:
        return (features.double() - mean) / spread @ head[0].T + head[1]

    heads = [logistic_regression((x.double() - mean) / spread, labels, penalty) for penalty in PENALTIES]
    return partial(logits, min(heads, key=lambda head: float(cross_entropy(logits(head, held_back), held_labels))))


# ------------------------------------------------------------------------------------------------------------- testing


@torch.inference_mode()
def transformed_clips(name: str) -> list[list[np.ndarray]]:
    """The test clips after every shift."""
    test = Clips("test")
    with own_process() as pool:
        shift = at_speed if name.startswith("speed") else partial(shifted_pitch, pool)
        return [test.transformed(shift, semitones) for semitones in SHIFTS]


@torch.inference_mode()
def transformed_tests(clips: list[list[np.ndarray]], model: CanonicalizedModel) -> tuple[Tensor, Tensor]:
    """Test clips as the checkpoint reads them after every shift, `(shifts, clips, bins, frames)`; and what its encoder
    makes of them after each shift of the table was undone, `(shifts, clips, members, width)`."""
    test, found, features = Clips("test"), [], []
    for transformed in clips:
        x = test.features(transformed)
        lengths, members = model.lengths(x, {}), []
        for shift in SHIFTS:
            undone = model.group.act(x, torch.full((len(x),), float(-shift)), lengths)
            members.append(encoded(model, undone))
        found.append(x)
        features.append(torch.stack(members, 1))
    return torch.stack(found), torch.stack(features)


@torch.inference_mode()
def answers(model: CanonicalizedModel, transformed: Tensor) -> tuple[Tensor, Tensor]:
    """Classes and elements of the canonicalized model, `(shifts, clips)` each."""
    with torch.autocast("cpu", PRECISION):
        outputs = [model(input_features=part) for part in transformed.flatten(0, 1).split(BATCH)]
    classes = torch.cat([output.logits.argmax(-1) for output in outputs])
    elements = torch.cat([output.canonicalization.element for output in outputs])
    return classes.view(transformed.shape[:2]), elements.view(transformed.shape[:2])


@torch.inference_mode()
def answers_in_the_audio(model: CanonicalizedModel, clips: list[list[np.ndarray]]) -> Tensor:
    """Classes where what was found is undone in the waveform, `(shifts, clips)`."""
    test, found = Clips("test"), []
    for transformed in clips:
        parts = [transformed[start : start + BATCH] for start in range(0, len(transformed), BATCH)]
        canonical = [one for part in parts for one in model.canonical_clips(part, test.extractor)]
        found.append(untouched_head(model, encoded(model, test.features(canonical))).argmax(-1))
    return torch.stack(found)


@torch.inference_mode()
def told_in_the_audio(name: str, model: CanonicalizedModel, clips: list[list[np.ndarray]]) -> Tensor:
    """The same, told the shift."""
    test, group, found = Clips("test"), get_group(name), []
    for semitones, transformed in zip(SHIFTS, clips, strict=True):
        undo, canonical = torch.tensor([float(-semitones)]), []
        for audio in transformed:
            canonical.append(group.act(torch.from_numpy(audio)[None], undo, torch.tensor([len(audio)]))[0].numpy())
        found.append(untouched_head(model, encoded(model, test.features(canonical))).argmax(-1))
    return torch.stack(found)


def milliseconds(model: CanonicalizedModel, x: Tensor) -> dict[str, float]:
    """Cpu time a clip, of the untouched and the canonicalized model in turns."""
    x = x[:16]
    found: dict[str, list[float]] = {"untouched": [], "ours": []}
    with torch.inference_mode():
        for _ in range(TIMED):
            for row, canonicalize in (("untouched", False), ("ours", True)):
                started = time.process_time()
                model(input_features=x, canonicalize=canonicalize)
                found[row].append(1000 * (time.process_time() - started) / len(x))
    return {row: statistics.median(times) for row, times in found.items()}


def kept(path: Path, make: Callable[[], Any]) -> Any:
    """What `make` makes, or made the last time."""
    if not path.is_file():
        torch.save(make(), path)
        print(f"{path} is made", flush=True)
    return torch.load(path, weights_only=False)


def measure(name: str, seeds: list[int], folder: Path) -> dict:
    """All that is known of one group, for JSON."""
    start = f"{folder}/{name}"
    x, elements = kept(Path(f"{start}-train.pt"), lambda: Clips("train").transformed_at_random(name, COPIES))
    models = {}
    for seed in seeds:
        adapter = f"{start}-{seed}"
        if not Path(adapter).is_dir():
            train(name, seed, x, elements).save_pretrained(adapter)
        models[adapter] = CanonicalizedModel.from_pretrained(adapter)
    first = next(iter(models.values()))
    labels = Clips("test").labels
    clips = kept(Path(f"{start}-clips.pt"), lambda: transformed_clips(name))
    transformed, features = kept(Path(f"{start}-test.pt"), lambda: transformed_tests(clips, first))
    in_audio = [
        kept(Path(f"{one}-audio.pt"), partial(answers_in_the_audio, model, clips)) for one, model in models.items()
    ]
    told = kept(Path(f"{start}-told.pt"), partial(told_in_the_audio, name, first, clips))
    found = [kept(Path(f"{one}.pt"), partial(answers, model, transformed)) for one, model in models.items()]
    augmented = augmented_head(*kept(Path(f"{start}-encoded.pt"), lambda: training_features(name, first, x)))

    members = untouched_head(first, features)  # (shifts, clips, members, classes)
    sure = members.softmax(-1).amax(-1).argmax(2)
    same = torch.arange(len(SHIFTS))
    said = {
        "untouched": [members[:, :, SHIFTS.index(0)].argmax(-1)],
        "augmentation": [augmented(features[:, :, SHIFTS.index(0)]).argmax(-1)],
        "orbit mean": [members.mean(2).argmax(-1)],
        "most confident": [members.argmax(-1).gather(2, sure.unsqueeze(2)).squeeze(2)],
        "ours": [classes for classes, _ in found],
        "ours, in the audio": in_audio,
        "oracle": [members[same, :, same].argmax(-1)],
        "oracle, in the audio": [told],
    }
    right = {row: [(classes == labels).tolist() for classes in seen] for row, seen in said.items()}
    off = [element - torch.tensor(SHIFTS).unsqueeze(1) for _, element in found]
    errors = [each.abs().median(1).values.tolist() for each in off]
    return {
        "shifts": SHIFTS,
        "seeds": seeds,
        "right": right,
        "errors": errors,
        "ms": milliseconds(first, transformed[SHIFTS.index(0)]),
    }


# ---------------------------------------------------------------------------------------------------- table and figure


def accuracies(judged: list) -> np.ndarray:
    """In percent, `(seeds, shifts)`."""
    return 100 * np.array(judged, dtype=float).mean(2)


def print_table(name: str, result: dict) -> None:
    shifts, right = result["shifts"], {row: np.array(judged) for row, judged in result["right"].items()}
    before, upright = right["untouched"], shifts.index(0)
    title = f"{GROUPS[name].capitalize()} ({name})"
    clips, seeds = before.shape[2], len(result["seeds"])
    print(f"\n{title}: accuracy in % against semitones, {clips} test clips; ours is the mean of {seeds} seeds\n")
    columns = " | ".join(f"{shift:+d}" if shift else "0" for shift in shifts)
    print(f"| | {columns} | mean | seeds | right to wrong | wrong to right |")
    print("|---" * (len(shifts) + 5) + "|")
    for row in ROWS:
        values = accuracies(result["right"][row])
        means = values.mean(1)
        cells = [f"{value:.1f}" for value in (*values.mean(0), values.mean())]
        cells.append(f"{means.min():.1f} to {means.max():.1f}" if len(means) > 1 else "")
        # Over all shifts, against the untouched model's answer for the same clip; per seed.
        for flipped in (before & ~right[row], ~before & right[row]):
            cells.append("" if row == "untouched" else f"{flipped.sum((1, 2)).mean():.0f}")
        print(f"| {row} | {' | '.join(cells)} |")
    errors = " | ".join(f"{error:.2f}" for error in np.mean(result["errors"], 0))
    print(f"| pose error of ours, median semitones | {errors} | {np.mean(result['errors']):.2f} | | | |\n")
    for row, rival, at in (
        ("ours", "untouched", [upright]),
        ("augmentation", "untouched", [upright]),
        ("ours, in the audio", "untouched", [upright]),
        ("ours", "untouched", range(len(shifts))),
        ("ours, in the audio", "untouched", range(len(shifts))),
        ("ours", "augmentation", range(len(shifts))),
        ("ours, in the audio", "augmentation", range(len(shifts))),
        ("ours", "oracle", range(len(shifts))),
    ):
        one, other = right[row][:, at], right[rival][:, at]
        difference = bootstrap((one.astype(float) - other).mean((0, 1))[:, None])[0]
        lost, won = ((other & ~one).sum() / len(one), (~other & one).sum() / len(one))
        where = "not transformed" if len(at) == 1 else "all shifts"
        print(f"{where}, {row} against {rival}: {difference}; right to wrong {lost:.1f}, wrong to right {won:.1f}")
    ms = result["ms"]
    print(
        f"cpu time a clip: {ms['untouched']:.1f} ms untouched, {ms['ours']:.1f} ms ours "
        f"({ms['ours'] / ms['untouched']:.2f} times); an orbit takes {len(shifts)} passes"
    )


def draw(results: dict[str, dict], path: Path) -> None:
    figure = Figure(figsize=(4.6 * len(results), 3.7), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, len(results), sharey=True, squeeze=False)[0]
    for axes, (name, result) in zip(panels, results.items(), strict=True):
        shifts = result["shifts"]
        for row in DRAWN:
            values = accuracies(result["right"][row])
            axes.plot(shifts, values.mean(0), label=row, **ROWS[row])
            if len(values) > 1:
                axes.fill_between(shifts, values.min(0), values.max(0), color=ROWS[row]["color"], alpha=0.15, lw=0)
        axes.set_xticks(shifts)
        axes.set_xlabel("semitones", color=INK)
        axes.set_title(GROUPS[name], color=INK, fontsize=11)
        axes.axhline(100 / 8, color=FAINT, linewidth=0.8, linestyle=(0, (1, 3)))
        axes.annotate("chance", (shifts[0], 100 / 8), (2, 3), textcoords="offset points", color=FAINT, fontsize=8)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e5e5e5", linewidth=0.7)
        axes.set_axisbelow(True)
    panels[0].set_ylim(0, 100)
    panels[0].set_ylabel("accuracy, %", color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    order = [labels.index(row) for row in ROWS if row in DRAWN]
    names = [labels[i].replace("ours", "canonicalized") for i in order]
    figure.legend([handles[i] for i in order], names, loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", nargs="*", choices=list(GROUPS), default=list(GROUPS), help="what to measure")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--folder", type=Path, default=Path("build/figures/audio"), help="for all but the figure")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in arguments.groups:
        path = arguments.folder / f"{name}.json"
        path.write_text(json.dumps(measure(name, arguments.seeds, arguments.folder)) + "\n")
    paths = {name: arguments.folder / f"{name}.json" for name in GROUPS}
    results = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
    for name, result in results.items():
        print_table(name, result)
    draw(results, arguments.folder.with_suffix(".png"))


if __name__ == "__main__":
    main()
