"""Figure 5: a segmenter on turned images, behind a canonicalizer that was trained for a classifier.

    python scripts/prepare_offline_assets.py --only saliency efficientnet stamps emoji photos
    python scripts/figure_segmentation.py --out build/figures/segmentation

The predictor is a ViT-S/14 that marks what catches the eye, of an architecture that transformers does not know. The
canonicalizer is that of `figure_stamps.py`, trained with EfficientNet-lite0 on the upright training stamps and emoji,
without labels and without photographs, saved as an adapter, and put on the segmenter: `wrap(segmenter,
adapter=folder)` tells it that this checkpoint's images are normalized otherwise.

Two shares of overlap (intersection over union) are measured on the stamps that nothing was trained on: with the
predictor's own upright answer, turned along; and with the stamp itself, which stands out from its white paper. No
threshold is chosen: a pixel is salient if that class is the likelier one. Stamps have a margin, so that a turn by 45
degrees cuts nothing off. On quarter turns a canonicalized answer moves along to the last bit, so that two starts, 0
and 45 degrees, stand for the eight elements of c8; the untouched predictor is asked at all of them.
"""

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import offline_data
import offline_saliency  # noqa: F401  # registers the architecture
import torch
import transformers
from figure_stamps import BATCH, C4, C8, RESOLUTION, SIDE, VIEWS, PoseNetwork, augment, tensors, train
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageOps
from torch import Tensor
from transformers import (
    AutoImageProcessor,
    AutoModelForSemanticSegmentation,
    EfficientNetForImageClassification,
    set_seed,
)

from hf_canon import CanonicalizedModel
from hf_canon.canonicalizers.base import thumbnail
from hf_canon.evaluation.statistics import bootstrap
from hf_canon.evaluation.transforms import Rotation
from hf_canon.groups import FinitePlanar
from hf_canon.reports.robustness import Interval

MARGIN = 1.2
ANGLES = tuple(range(0, 360, 45))
PHOTOS = {"rocket": 90, "chelsea": 180, "coffee": 270, "astronaut": 180}
"""Photographs that are shown, and the turn that happens to each; stamps are shown at 45 degrees and beyond."""
STAMPS = {0: 45, 1: 135, 2: 225}


@torch.no_grad()
def training_views(network: PoseNetwork) -> tuple[list[Tensor], Tensor]:
    """As in `figure_stamps.py`, without the photographs, which are shown here."""
    set_seed(0)
    stamps = list(offline_data.stamps("train")["image"])
    images = tensors([*stamps, *stamps, *offline_data.emoji()["image"]])
    seen, elements = [], []
    for chosen in torch.arange(len(images)).repeat(VIEWS).split(BATCH):
        turned, element, _ = C8.random_act(augment(images[chosen]))
        seen.append(network.see(thumbnail(turned, RESOLUTION)))
        elements.append(element)
    return [torch.cat(tap) for tap in zip(*seen, strict=True)], torch.cat(elements)


def transformed_adapters(segmenter: Any) -> dict[FinitePlanar, CanonicalizedModel]:
    """The segmenter behind canonicalizers that were trained with a classifier, for each group."""
    classifier = EfficientNetForImageClassification.from_pretrained(offline_data.checkpoint("efficientnet")).eval()
    classifier.requires_grad_(False)
    views = training_views(PoseNetwork(classifier).eval())
    models = {}
    for group in (C4, C8):
        with tempfile.TemporaryDirectory() as folder:
            train(classifier, group, views, seed=0).save_pretrained(folder)
            network = PoseNetwork(classifier)
            models[group] = CanonicalizedModel.wrap(segmenter, adapter=folder, canonicalizer=network)
    return models


def prepared(images: list[Image.Image], processor: Any, margin: float) -> tuple[Tensor, Tensor]:
    """Images `(n, 3, SIDE, SIDE)` with values from 0 to 1, and as the segmenter wants them."""
    if margin > 1:
        plain = (tensors(images, margin) + 1) / 2
    else:
        fitted = [np.asarray(ImageOps.fit(image.convert("RGB"), (SIDE, SIDE))) for image in images]
        plain = torch.from_numpy(np.stack(fitted)).permute(0, 3, 1, 2) / 255
    mean, deviation = (torch.tensor(value).view(3, 1, 1) for value in (processor.image_mean, processor.image_std))
    return plain, (plain - mean) / deviation


def things(plain: Tensor) -> Tensor:
    """Where the stamp is, `(n, SIDE, SIDE)` of 0 and 1: all that white paper does not reach from a corner."""
    masks = []
    for image in plain:
        # The darkest of the three colours of each pixel: paper is white in all of them.
        paper = Image.fromarray((image.amin(0) > 0.96).numpy().astype(np.uint8)).copy()  # one that can be written
        ImageDraw.floodfill(paper, (0, 0), 2)
        masks.append(torch.from_numpy(np.asarray(paper) != 2))
    return torch.stack(masks).float()


def salience(logits: Tensor) -> Tensor:
    """The probability of the second class, `(n, 1, height, width)`."""
    return logits.softmax(1)[:, 1:]


@torch.inference_mode()
def answered(predict: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    return torch.cat([salience(predict(some)) for some in x.split(16)])


def told(segmenter: Any, group: FinitePlanar, angle: int) -> Callable[[Tensor], Tensor]:
    """The oracle: the true element is undone, and the answer carried back."""

    def predict(x: Tensor) -> Tensor:
        element = torch.full((len(x),), int(Rotation(angle).element(group)))
        return group.act(segmenter(group.act(x, group.inverse(element))).logits, element)

    return predict


def overlap(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of what is likelier than not in each pair of maps, `(n,)`."""
    a, b = (map_.flatten(1) > 0.5 for map_ in (a, b))
    return (a & b).sum(1) / (a | b).sum(1).clamp(min=1)


def maps(segmenter: Any, models: dict[FinitePlanar, CanonicalizedModel], x: Tensor) -> dict[str, dict[int, Tensor]]:
    """For each method, the salience of the images at each angle that is asked."""
    free = CanonicalizedModel.wrap(segmenter, C4, "predictor")
    found: dict[str, dict[int, Tensor]] = {
        "untouched": {angle: answered(lambda x: segmenter(x).logits, Rotation(angle)(x)) for angle in ANGLES},
        "most confident, c4": {0: answered(lambda x: free(x).logits, x)},
    }
    for group, model in models.items():
        starts = (0, 45) if group == C8 else (0,)
        found[f"ours, {group.name}"] = {
            start: answered(lambda x, model=model: model(x).logits, Rotation(start)(x)) for start in starts
        }
        found[f"oracle, {group.name}"] = {
            start: answered(told(segmenter, group, start), Rotation(start)(x)) for start in starts
        }
    return found


def measure(found: dict[str, dict[int, Tensor]], truth: Tensor) -> dict[str, dict[str, Any]]:
    """Overlaps at each angle, `(angles, n)`: with the upright answer, and with the stamp."""
    upright = found["untouched"][0]
    return {
        method: {
            "angles": list(at),
            "agreement": torch.stack([overlap(map_, Rotation(angle)(upright)) for angle, map_ in at.items()]),
            "truth": torch.stack([overlap(map_, Rotation(angle)(truth)) for angle, map_ in at.items()]),
        }
        for method, at in found.items()
    }


def over(row: dict[str, Any], kind: str, group: FinitePlanar) -> Tensor:
    """The mean over the elements of the group, `(n,)`."""
    kept = [i for i, angle in enumerate(row["angles"]) if group == C8 or angle % 90 == 0]
    return row[kind][kept].mean(0)


def summary(measured: dict[str, dict[str, Any]], chosen: slice) -> dict[str, Any]:
    """Means of the chosen images, and what is gained over the untouched predictor."""
    result: dict[str, Any] = {}
    for method, row in measured.items():
        of = C8 if method.endswith("c8") else C4
        entry: dict[str, Any] = {}
        for kind in ("agreement", "truth"):
            means = row[kind][:, chosen].mean(1).tolist()
            entry[kind] = dict(zip(row["angles"], means, strict=True))
            entry[f"{kind}, mean"] = {
                group.name: float(over(row, kind, group)[chosen].mean())
                for group in (C4, C8)
                if method == "untouched" or group == of
            }
            gain = over(row, kind, of) - over(measured["untouched"], kind, of)
            tax = measured["untouched"][kind][0] - row[kind][0]
            for name, difference in (("gain", gain), ("upright tax", tax)):
                entry[f"{kind}, {name}"] = vars(bootstrap(difference[chosen, None].numpy())[0])
        result[method] = entry
    return result


def show(result: dict[str, Any], title: str) -> str:
    lines = []
    for kind, what in (("agreement", "the upright answer, turned along"), ("truth", "the stamp")):
        lines.append(f"{title}: overlap with {what}")
        header = "".join(f"{angle:>6}" for angle in ANGLES)
        lines.append(f"{'':20}{header}{'c4':>8}{'c8':>7}   gain over untouched")
        for method, entry in result.items():
            # A quarter turn of what was asked has the same overlap.
            start = {angle: angle if method == "untouched" else angle % 90 for angle in ANGLES}
            cells = "".join(f"{entry[kind][start[a]]:6.3f}" if start[a] in entry[kind] else f"{'':6}" for a in ANGLES)
            means = "".join(
                f"{entry[f'{kind}, mean'][g]:{width}.3f}" if g in entry[f"{kind}, mean"] else " " * width
                for g, width in (("c4", 8), ("c8", 7))
            )
            gain = "" if method == "untouched" else f"   {Interval(**entry[f'{kind}, gain'])}"
            lines.append(f"{method:20}{cells}{means}{gain}")
    return "\n".join(lines) + "\n"


@torch.inference_mode()
def recovered(model: CanonicalizedModel, group: FinitePlanar, x: Tensor) -> float:
    """The share of images whose element is found, at the starts of the group."""
    shares = []
    for angle in (0, 45) if group == C8 else (0,):
        found = [model.canonicalize(some).element for some in Rotation(angle)(x).split(16)]
        shares.append(Rotation(angle).recovered(torch.cat(found), group).float().mean())
    return float(torch.stack(shares).mean())


@torch.inference_mode()
def draw(segmenter: Any, model: CanonicalizedModel, processor: Any, stamps: list[Image.Image], file: Path) -> None:
    """Each column: an image, and what the checkpoint marks in it; then turned, and marked with and without us."""
    names = {path.stem: path for path in offline_data.photos()}
    columns = [(*prepared([Image.open(names[name])], processor, 1.0), angle) for name, angle in PHOTOS.items()]
    columns += [(*prepared([stamps[i]], processor, MARGIN), angle) for i, angle in STAMPS.items()]
    figure = Figure(figsize=(1.75 * len(columns), 7.6), layout="constrained")
    axes = figure.subplots(4, len(columns))
    for ax, name in zip(axes[:, 0], ("upright", "turned", "untouched", "canonicalized"), strict=True):
        ax.set_ylabel(name, fontsize=11)
    for column, (plain, x, angle) in zip(axes.T, columns, strict=True):
        turned, shown = Rotation(angle)(x), Rotation(angle)(plain)
        upright, untouched, ours = (
            salience(answer.logits) for answer in (segmenter(x), segmenter(turned), model(turned))
        )
        expected = Rotation(angle)(upright)
        for ax, image, map_ in zip(
            column, (plain, shown, shown, shown), (upright, None, untouched, ours), strict=True
        ):
            paint(ax, image[0], None if map_ is None else map_[0, 0])
        column[1].set_xlabel(f"by {angle}\N{DEGREE SIGN}", fontsize=10)
        for ax, map_ in zip(column[2:], (untouched, ours), strict=True):
            ax.set_xlabel(f"overlap {overlap(map_, expected).item():.2f}", fontsize=10)
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=110)


def paint(ax: Any, image: Tensor, map_: Tensor | None) -> None:
    """An image; and where a map is given, what it marks in colour and the rest in grey."""
    pixels = image.clamp(0, 1).permute(1, 2, 0).numpy()
    if map_ is not None:
        share = map_.numpy()[..., None]
        grey = 0.35 + 0.4 * pixels.mean(-1, keepdims=True)
        pixels = share * pixels + (1 - share) * grey
    ax.imshow(pixels)
    if map_ is not None:
        ax.contour(map_.numpy(), [0.5], colors="orangered", linewidths=1.2)
    ax.set_xticks([])
    ax.set_yticks([])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("build/figures/segmentation"), help="without a suffix")
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()

    folder = offline_data.checkpoint("saliency")
    segmenter = AutoModelForSemanticSegmentation.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    models = transformed_adapters(segmenter)
    splits = [offline_data.stamps(split) for split in ("calibration", "excluded", "test")]
    calibration = list(splits[0]["image"])
    draw(segmenter, models[C8], processor, calibration, arguments.out.with_suffix(".png"))

    plain, x = prepared([image for split in splits for image in split["image"]], processor, MARGIN)
    truth = things(plain).unsqueeze(1)
    seen = truth.flatten(1).mean(1) > 0.01  # white paper hides the others
    measured = measure(maps(segmenter, models, x[seen]), truth[seen])
    few = int(seen[: len(calibration)].sum())
    results = {
        f"calibration stamps, {few}": summary(measured, slice(few)),
        f"stamps that nothing was trained on, {int(seen.sum())}": summary(measured, slice(None)),
    }
    poses = {group.name: recovered(model, group, x[seen]) for group, model in models.items()}
    for title, result in results.items():
        print(show(result, title))
    print(", ".join(f"pose accuracy over {name} {share:.3f}" for name, share in poses.items()))
    arguments.out.with_suffix(".json").write_text(json.dumps({**results, "pose accuracy": poses}, indent=2) + "\n")


if __name__ == "__main__":
    main()
