"""Figure 8: what a calibration promises and what is kept, over 20 random splits; and what each decision rule does.

    make quickstart
    python scripts/prepare_offline_assets.py --only efficientnet stamps emoji photos words whisper
    python scripts/figure_selection.py

Two models: the quickstart's digits, `shift` over c8, which is not exact on the grid; and EfficientNet-lite0 behind
`orbit` over c4, which is, trained as for figure 3. Neither has seen the images that are split here: the calibration
and test digits, and the stamps outside of the training split. One half of them calibrates, the other is measured.
Digits count as right by their labels, all ten of them; stamps by the untouched upright answer, as most have no label,
and the 133 that have one once more by that.

What the canonicalizer and the predictor say of every image in every pose is recorded once; thresholds and decisions
are then made from that by the library's own functions, split by split. Nothing is chosen by what is measured here:
the levels are round numbers.

Words, for the audio: the Whisper encoder of figure 4 behind `shift` over speed12, a continuous group, on calibration
and test clips; a speed is covered if it is in the set to within a bin.

Patches of photographs without a canonical pose (grass, tissue, stars, a retina) show whether the rule backs off.
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import figure_audio
import figure_stamps
import numpy as np
import offline_data
import torch
from datasets import concatenate_datasets
from digits import digits
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor
from transformers import EfficientNetForImageClassification

from hf_canon import CanonicalizedModel
from hf_canon.calibration.calibrate import Measured, logits_of, measure, nearest, thresholds
from hf_canon.canonicalizers import OrbitCanonicalizer
from hf_canon.evaluation.transforms import transformed_by
from hf_canon.outputs import Inputs
from hf_canon.reports.plots import BLUE, DPI, FAINT, INK, VERMILLION
from hf_canon.selection import RULES, Calibration, decide
from hf_canon.selection.conformal import set_size

SPLITS = 20
ALPHAS, HARMS = (0.2, 0.1, 0.05), (0.1, 0.05, 0.02)
ALPHA, HARM = 0.1, 0.02
"""Of the table of rules."""
PATCHES = 40
"""Of each photograph without a pose."""


@dataclass(frozen=True)
class Recorded:
    """What was said of some images in every pose.

    Args:
        measured: what a calibration measures of them.
        poses: `(items, shifts, |G|)`, the canonicalizer's logits after each shift.
        said: `(items, shifts, |G|, classes)`, the predictor's probabilities after each element was undone.
        right: bool `(items, classes)`, which answers are right.
    """

    measured: Measured
    poses: Tensor
    said: Tensor
    right: Tensor

    def __getitem__(self, index: Tensor) -> "Recorded":
        return Recorded(self.measured[index], self.poses[index], self.said[index], self.right[index])


# ----------------------------------------------------------------------------------------------------------- recording


@torch.inference_mode()
def record(model: CanonicalizedModel, x: Tensor, right: Tensor | None, labels: list[int] | None) -> Recorded:
    """Ask about every image in every pose; right is what `right` says, or else the untouched upright answer."""
    group = model.group
    items = [{"pixel_values": one} for one in x]
    if labels is not None:
        items = [{**item, "label": label} for item, label in zip(items, labels, strict=True)]
    measured = measure(model, items)
    poses, said = [], []
    for part in x.split(32):
        shifted = [transformed_by(group, g)(part) for g in range(group.order)]
        poses.append(torch.stack([logits_of(model, Inputs(one)) for one in shifted], 1))
        if group.is_exact:  # the orbit of a transformed image is that of the image, in another order
            orbit = torch.stack([answers(model, part, g) for g in range(group.order)], 1)
            order = group.compose(group.inverse(group.elements)[:, None], group.elements[None])
            said.append(orbit[:, order])
        else:
            rows = [torch.stack([answers(model, one, g) for g in range(group.order)], 1) for one in shifted]
            said.append(torch.stack(rows, 1))
    everything = torch.cat(said)
    upright = everything[:, 0, 0].argmax(-1)
    own = torch.nn.functional.one_hot(upright, everything.shape[-1]).bool()
    return Recorded(measured, torch.cat(poses), everything, own if right is None else right)


def answers(model: CanonicalizedModel, x: Tensor, element: int) -> Tensor:
    """The predictor's probabilities after an element was undone."""
    undo = model.group.inverse(torch.full((len(x),), element))
    return model.predictor(pixel_values=model.group.act(x, undo)).logits.softmax(-1)


def digit_records() -> dict[str, Recorded]:
    adapter = Path("build/quickstart/adapter")
    if not (adapter / "model.safetensors").is_file():
        raise SystemExit("There is no adapter in build/quickstart yet: run `make quickstart` first.")
    model = CanonicalizedModel.from_pretrained(adapter)
    data = concatenate_datasets([digits("calibration"), digits("test")]).with_format("torch")
    labels = torch.as_tensor(data["label"][:])
    right = torch.nn.functional.one_hot(labels, 10).bool()
    return {"digits, c8": record(model, data["pixel_values"][:], right, labels.tolist())}


def stamp_model(folder: Path) -> tuple[CanonicalizedModel, Any]:
    """EfficientNet behind the canonicalizer of figure 3, trained once and kept."""
    predictor = EfficientNetForImageClassification.from_pretrained(offline_data.checkpoint("efficientnet")).eval()
    predictor.requires_grad_(False)
    path = folder / "stamps-c4.pt"
    if not path.is_file():
        views = figure_stamps.training_views(figure_stamps.PoseNetwork(predictor).eval())
        trained = figure_stamps.train(predictor, figure_stamps.C4, views, seed=0)
        torch.save(trained.canonicalizer.state_dict(), path)
    network = figure_stamps.PoseNetwork(predictor)
    canonicalizer = OrbitCanonicalizer(figure_stamps.C4, resolution=figure_stamps.RESOLUTION, network=network)
    canonicalizer.load_state_dict(torch.load(path))
    return CanonicalizedModel.wrap(predictor, figure_stamps.C4, canonicalizer), predictor


def stamp_records(model: CanonicalizedModel) -> dict[str, Recorded]:
    splits = [offline_data.stamps(split) for split in ("test", "excluded", "calibration")]
    images = [image for split in splits for image in split["image"]]
    every = record(model, figure_stamps.tensors(images), None, None)
    accepted = list(splits[0]["imagenet"])
    right = torch.zeros(len(accepted), every.right.shape[1], dtype=torch.bool)
    for row, classes in zip(right, accepted, strict=True):
        row[classes] = True
    labelled = every[torch.arange(len(accepted))]
    was = right.gather(1, labelled.said[:, 0, 0].argmax(-1, keepdim=True)).squeeze(1)
    element = model.canonicalizer.element(labelled.measured.upright)
    answer = labelled.said[torch.arange(len(accepted)), 0, element].argmax(-1, keepdim=True)
    spoiled = was & ~right.gather(1, answer).squeeze(1)
    measured = Measured(**{**vars(labelled.measured), "spoiled": spoiled, "labelled": True})
    return {
        "stamps, c4": every,
        "labelled stamps, c4": Recorded(measured, labelled.poses, labelled.said, right),
    }


def word_measurements(folder: Path) -> Measured:
    """What a calibration measures of the words that nothing was trained on, each transformed by a random speed."""
    adapter = folder / "speed12"
    if not adapter.is_dir():
        transformed, elements = figure_audio.Clips("train").transformed_at_random("speed12", figure_audio.COPIES)
        figure_audio.train("speed12", 0, transformed, elements).save_pretrained(adapter)
    model = CanonicalizedModel.from_pretrained(adapter)
    items = []
    for split in ("calibration", "test"):
        clips = figure_audio.Clips(split)
        features = clips.features(clips.clips)
        items += [{"input_features": x, "label": int(y)} for x, y in zip(features, clips.labels, strict=True)]
    return measure(model, items)


def patches_without_pose() -> Tensor:
    """Squares cut out of photographs in which nothing is up, at random places and sizes."""
    rng = np.random.default_rng(0)
    found = []
    for path in offline_data.photos(canonical_pose=False):
        photo = Image.open(path).convert("RGB")
        for _ in range(PATCHES):
            side = int(rng.integers(112, min(photo.size) // 2))
            left, top = (int(rng.integers(0, length - side)) for length in photo.size)
            patch = photo.crop((left, top, left + side, top + side))
            found.append(patch.resize((figure_stamps.SIDE, figure_stamps.SIDE), Image.Resampling.BICUBIC))
    return figure_stamps.values(found)


# ----------------------------------------------------------------------------------------------------------- measuring


def decided(recorded: Recorded, shift: int, name: str, calibration: Calibration) -> dict[str, Tensor]:
    """What a rule does with the images after one shift: whether it is right, and what it took; `(items,)` each."""
    model = recorded.measured.model
    logits = recorded.poses[:, shift]
    probabilities = (logits / calibration.temperature).softmax(-1)
    element = model.canonicalizer.element(logits)
    found = decide(probabilities, element, model.group, RULES[name], calibration)
    decision = found.decision
    weight = probabilities * (found.ranking.place < decision.passes.unsqueeze(1))
    if not RULES[name].averages:
        weight = torch.nn.functional.one_hot(decision.element, model.group.order).float()
    said = torch.einsum("ig,igc->ic", weight, recorded.said[:, shift]).argmax(-1, keepdim=True)
    assert found.members is not None and found.size is not None
    return {
        "right": recorded.right.gather(1, said).squeeze(1),
        "was": recorded.right.gather(1, recorded.said[:, shift, 0].argmax(-1, keepdim=True)).squeeze(1),
        "passes": decision.passes.float(),
        "flagged": decision.action == 3,
        "left": decision.action == 2,
        "covered": found.members[:, shift],
        "size": found.size.float(),
        "confidence": found.ranking.confidence,
    }


def split_of(recorded: Recorded, seed: int) -> tuple[Recorded, Recorded]:
    order = torch.randperm(len(recorded.right), generator=torch.Generator().manual_seed(1000 + seed))
    half = len(order) // 2
    return recorded[order[:half]], recorded[order[half:]]


def over_splits(recorded: Recorded) -> dict[str, Any]:
    """Every figure of the tables for every split."""
    shifts = range(recorded.poses.shape[1])
    coverage: dict[float, list[list[float]]] = {alpha: [] for alpha in ALPHAS}
    sizes: dict[float, list[float]] = {alpha: [] for alpha in ALPHAS}
    harms: dict[float, list[tuple[float, ...]]] = {harm: [] for harm in HARMS}
    rules: dict[str, list[list[float]]] = {name: [] for name in ("untouched", *RULES)}
    for seed in range(SPLITS):
        held, test = split_of(recorded, seed)
        for alpha in ALPHAS:
            calibration = thresholds(held.measured, alpha, None, seed)
            seen = [decided(test, shift, "conformal", calibration) for shift in shifts]
            coverage[alpha].append([float(one["covered"].float().mean()) for one in seen])
            sizes[alpha].append(float(torch.stack([one["size"] for one in seen]).mean()))
        for harm in HARMS:
            calibration = thresholds(held.measured, ALPHA, harm, seed)
            left, flagged, likely = (decided(test, 0, name, calibration) for name in ("identity", "abstain", "argmax"))
            harms[harm].append(
                (
                    float((left["was"] & ~left["right"]).float().mean()),
                    float((flagged["was"] & ~flagged["right"] & ~flagged["flagged"]).float().mean()),
                    float((likely["was"] & ~likely["right"]).float().mean()),
                    float((~left["left"]).float().mean()),
                )
            )
        calibration = thresholds(held.measured, ALPHA, HARM, seed)
        for name in rules:
            seen = [decided(test, shift, "argmax" if name == "untouched" else name, calibration) for shift in shifts]
            right = [one["was" if name == "untouched" else "right"] for one in seen]
            up = seen[0]
            rules[name].append(
                [
                    float(right[0].float().mean()),
                    float(torch.stack(right).float().mean()),
                    float((up["was"] & ~right[0]).float().mean()),
                    float((~up["was"] & right[0]).float().mean()),
                    1.0 if name == "untouched" else float(torch.stack([one["passes"] for one in seen]).mean()),
                    float(torch.stack([one["flagged"] for one in seen]).float().mean()),
                ]
            )
    return {
        "items": len(recorded.right),
        "coverage": {str(alpha): found for alpha, found in coverage.items()},
        "size": {str(alpha): found for alpha, found in sizes.items()},
        "harm": {str(harm): found for harm, found in harms.items()},
        "rules": rules,
    }


def audio_over_splits(measured: Measured) -> dict[str, Any]:
    """Coverage, set sizes and harm for every split."""
    bins = measured.transformed.shape[1]
    found: dict[str, Any] = {"items": len(measured), "coverage": {}, "size": {}, "harm": {}}
    for seed in range(SPLITS):
        order = torch.randperm(len(measured), generator=torch.Generator().manual_seed(1000 + seed))
        held, test = measured[order[: len(order) // 2]], measured[order[len(order) // 2 :]]
        for alpha in ALPHAS:
            calibration = thresholds(held, alpha, None, seed)
            ranking = test.ranked(test.transformed, calibration.temperature)
            size = set_size(ranking, calibration)
            true = ranking.place.gather(1, nearest(measured.model.group, test.element, bins).unsqueeze(1)).squeeze(1)
            found["coverage"].setdefault(str(alpha), []).append(float((true < size).float().mean()))
            found["size"].setdefault(str(alpha), []).append(float(size.float().mean()))
        for harm in HARMS:
            calibration = thresholds(held, ALPHA, harm, seed)
            assert test.spoiled is not None and calibration.confidence is not None
            acts = test.ranked(test.upright, calibration.temperature).confidence > calibration.confidence
            row = [test.spoiled & acts, test.spoiled, acts]
            found["harm"].setdefault(str(harm), []).append([float(one.float().mean()) for one in row])
    return found


def without_pose(recorded: Recorded, other: Recorded) -> dict[str, Any]:
    """Set sizes and confidence on images like those of the calibration, and on images without a pose."""
    found: dict[str, list[list[float]]] = {"stamps": [], "patches": []}
    for seed in range(SPLITS):
        held, test = split_of(recorded, seed)
        calibration = thresholds(held.measured, ALPHA, HARM, seed)
        for name, images in (("stamps", test), ("patches", other)):
            seen = decided(images, 0, "conformal", calibration)
            unsure = decided(images, 0, "abstain", calibration)["flagged"]
            found[name].append(
                [
                    float(seen["confidence"].mean()),
                    float(seen["size"].mean()),
                    float((seen["size"] == 1).float().mean()),
                    float((seen["size"] == recorded.poses.shape[2]).float().mean()),
                    float(unsure.float().mean()),
                ]
            )
    return found


# ------------------------------------------------------------------------------------------------------------- showing


def spread(values: Any) -> str:
    """Mean and standard deviation over the splits, in %."""
    values = 100 * np.asarray(values)
    return f"{values.mean():5.1f} ± {values.std(ddof=1):3.1f}"


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}: {found['items']} images, {SPLITS} splits into halves, mean ± deviation over splits, in %\n")
    print(f"  {'coverage of the pose':<22}{'upright':>14}{'over the group':>18}{'worst element':>16}{'set size':>11}")
    for alpha in ALPHAS:
        rows = np.asarray(found["coverage"][str(alpha)])
        size = np.mean(found["size"][str(alpha)])
        worst = 100 * rows.mean(0).min()
        print(
            f"  nominal {100 * (1 - alpha):<14.0f}{spread(rows[:, 0]):>14}{spread(rows.mean(1)):>18}{worst:>16.1f}"
            f"{size:>11.2f}"
        )
    print(f"\n  {'upright, right->wrong':<22}{'argmax':>14}{'identity':>14}{'acts on':>14}{'abstain, unflagged':>22}")
    for harm in HARMS:
        left, flagged, likely, acts = zip(*found["harm"][str(harm)], strict=True)
        print(
            f"  bound {100 * harm:<16.0f}{spread(likely):>14}{spread(left):>14}{spread(acts):>14}{spread(flagged):>22}"
        )
    print(
        f"\n  {f'alpha {ALPHA:g}, harm {HARM:g}':<22}{'upright':>14}{'over the group':>16}{'right->wrong':>14}"
        f"{'wrong->right':>14}{'passes':>9}{'flagged':>14}"
    )
    for rule, rows in found["rules"].items():
        up, over, harmed, helped, passes, flagged = np.asarray(rows).T
        print(
            f"  {rule:<22}{spread(up):>14}{spread(over):>16}{spread(harmed):>14}{spread(helped):>14}"
            f"{passes.mean():>9.2f}{spread(flagged):>14}"
        )


def show_audio(found: dict[str, Any]) -> None:
    print(
        f"\nwords, speed12: {found['items']} clips, {SPLITS} splits into halves, mean ± deviation over splits, in %\n"
    )
    print(f"  {'coverage of the speed':<22}{'transformed at random':>18}{'set size':>11}")
    for alpha in ALPHAS:
        size = np.mean(found["size"][str(alpha)])
        print(f"  nominal {100 * (1 - alpha):<14.0f}{spread(found['coverage'][str(alpha)]):>18}{size:>11.2f}")
    print(f"\n  {'as recorded, r->w':<22}{'argmax':>14}{'identity':>14}{'acts on':>14}")
    for harm in HARMS:
        left, likely, acts = zip(*found["harm"][str(harm)], strict=True)
        print(f"  bound {100 * harm:<16.0f}{spread(likely):>14}{spread(left):>14}{spread(acts):>14}")


def show_without_pose(found: dict[str, Any], order: int) -> None:
    print(f"\nImages without a canonical pose, alpha {ALPHA:g}, harm {HARM:g}, {SPLITS} splits, in %\n")
    print(f"  {'':<22}{'confidence':>14}{'set size':>10}{'one element':>14}{f'all {order}':>14}{'flagged':>14}")
    for name, rows in found.items():
        sure, size, one, every, unsure = np.asarray(rows).T
        cells = "".join(f"{spread(share):>14}" for share in (one, every, unsure))
        print(f"  {name:<22}{spread(sure):>14}{size.mean():>10.2f}{cells}")


def draw(results: dict[str, Any], path: Path) -> None:
    """Each split a dot: what was promised, and what was kept."""
    figure = Figure(figsize=(8.6, 3.6), dpi=DPI, layout="constrained", facecolor="white")
    panels = figure.subplots(1, 2)
    for axes, kind, levels, title in (
        (panels[0], "coverage", ALPHAS, "true pose in the set, %"),
        (panels[1], "harm", HARMS, "upright answers spoiled under `identity`, %"),
    ):
        for offset, (name, color) in zip(
            (-0.16, 0.16), (("digits, c8", BLUE), ("stamps, c4", VERMILLION)), strict=True
        ):
            for place, level in enumerate(levels):
                rows = np.asarray(results[name][kind][str(level)])
                values = 100 * (rows.mean(1) if kind == "coverage" else rows[:, 0])
                jitter = np.random.default_rng(0).uniform(-0.09, 0.09, len(values))
                label = name if place == 0 else None
                axes.scatter(place + offset + jitter, values, s=11, color=color, alpha=0.55, label=label, linewidths=0)
                axes.hlines(values.mean(), place + offset - 0.13, place + offset + 0.13, color=color, linewidth=2.2)
        for place, level in enumerate(levels):
            nominal = 100 * (1 - level if kind == "coverage" else level)
            axes.hlines(nominal, place - 0.36, place + 0.36, color=INK, linewidth=1.1, linestyle=(0, (4, 2)))
        bound = "at least {:.0f}" if kind == "coverage" else "at most {:.0f}"
        names = [bound.format(100 * (1 - level if kind == "coverage" else level)) for level in levels]
        axes.set_xticks(range(len(levels)), names, color=INK)
        axes.set_title(title, fontsize=10.5, color=INK)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#E3E3E3", linewidth=0.7)
        axes.set_axisbelow(True)
        axes.tick_params(labelsize=9, labelcolor=INK, color=FAINT)
    panels[1].set_ylim(bottom=0)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    figure.savefig(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("build/figures/selection"), help="for all that is made")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    model, _ = stamp_model(arguments.folder)
    records = digit_records() | stamp_records(model)
    for name, recorded in records.items():
        results[name] = over_splits(recorded)
        show(name, results[name])
    patches = record(model, patches_without_pose(), None, None)
    results["without pose"] = without_pose(records["stamps, c4"], patches)
    show_without_pose(results["without pose"], model.group.order or 0)
    results["words, speed12"] = audio_over_splits(word_measurements(arguments.folder))
    show_audio(results["words, speed12"])
    (arguments.folder / "selection.json").write_text(json.dumps(results) + "\n")
    draw(results, arguments.folder / "selection.png")
    print(f"\nEvery split: {arguments.folder / 'selection.json'}; image: {arguments.folder / 'selection.png'}")


if __name__ == "__main__":
    main()
