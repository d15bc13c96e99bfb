"""Figure 3: EfficientNet-lite0 on turned stamps, behind a canonicalizer that has seen no label and no test stamp.

    python scripts/prepare_offline_assets.py --only efficientnet stamps emoji photos
    python scripts/figure_stamps.py --json build/figures/stamps.json

The canonicalizer is `orbit` around the first 15 of the checkpoint's own 16 blocks, at 120 pixels: four looks and one
answer cost less than two passes of the predictor. The blocks stay frozen, so what they see in the training images is
computed once, and a seed trains a head on that in seconds. It learns from the upright training stamps, emoji and
photographs alone; the test stamps, and those that are too close to them, are never trained on and choose nothing.

Images are turned by bicubic interpolation with white outside, and turned back by bilinear. A stamp fills its canvas,
so that a turn by 45 degrees cuts corners off, which no canonicalizer can bring back: everything is measured once more
with a margin of 20 %, where next to nothing is lost. Quarter turns permute pixels and move all answers alike, so two
angles, 0 and 45 degrees, stand for the eight of c8, and one for the four of c4.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import offline_data
import torch
import torch.nn.functional as F
import transformers
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import EfficientNetForImageClassification, set_seed

from hf_canon import CanonicalizedModel, evaluate_robustness
from hf_canon.canonicalizers import OrbitCanonicalizer
from hf_canon.canonicalizers.base import thumbnail
from hf_canon.evaluation.baselines import OrbitLogits
from hf_canon.evaluation.statistics import bootstrap
from hf_canon.evaluation.transforms import Rotation
from hf_canon.groups import FinitePlanar, Group
from hf_canon.reports.robustness import Interval

SIDE = 224
RESOLUTION = 120
TAPS = {10: (112, 7), 14: (192, 3)}
"""The blocks that the head reads: channels and side of what they give at RESOLUTION."""
VIEWS = 8
EPOCHS = 6
BATCH = 64
C4, C8 = FinitePlanar(4, reflections=False), FinitePlanar(8, reflections=False)
MARGINS = {"as they are": 1.0, "with a margin": 1.2}


class PoseNetwork(nn.Module):
    """The checkpoint's first blocks, frozen, and a head that keeps where in the image something was seen."""

    def __init__(self, checkpoint: EfficientNetForImageClassification, width: int = 32, features: int = 128):
        super().__init__()
        self.embeddings = checkpoint.efficientnet.embeddings
        self.blocks = checkpoint.efficientnet.encoder.blocks[: max(TAPS) + 1]
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels, affine=False),
                nn.Conv2d(channels, width, 1),
                nn.GELU(),
                nn.Flatten(),
                nn.Dropout(0.4),
                nn.Linear(width * side * side, features),
            )
            for channels, side in TAPS.values()
        )
        self.last = nn.Sequential(nn.GELU(), nn.Dropout(0.4))

    def see(self, x: Tensor) -> list[Tensor]:
        """What the frozen blocks give, `(batch, channels, side, side)` for each tap."""
        hidden, seen = self.embeddings(x), []
        for i, block in enumerate(self.blocks):
            hidden = block(hidden)
            if i in TAPS:
                seen.append(hidden)
        return seen

    def judge(self, seen: list[Tensor]) -> Tensor:
        return self.last(torch.cat([branch(x) for branch, x in zip(self.branches, seen, strict=True)], -1))

    def forward(self, x: Tensor) -> Tensor:
        return self.judge(self.see(x))


def canvases(images: list[Image.Image], margin: float = 1.0) -> list[Image.Image]:
    """Images of SIDE x SIDE pixels, in the middle of white.

    Two pixels of white stay around them: what lies outside repeats the border, and so is white.
    """
    side = round((SIDE - 4) / margin)
    before = (SIDE - side) // 2
    framed = []
    for image in images:
        canvas = Image.new("RGB", (SIDE, SIDE), "white")
        canvas.paste(ImageOps.fit(image.convert("RGB"), (side, side), Image.Resampling.BICUBIC), (before, before))
        framed.append(canvas)
    return framed


def values(images: list[Image.Image]) -> Tensor:
    """Images `(n, 3, height, width)` as the checkpoint wants them."""
    return torch.from_numpy(np.stack([np.asarray(one) for one in images])).permute(0, 3, 1, 2).float() / 127.5 - 1


def tensors(images: list[Image.Image], margin: float = 1.0) -> Tensor:
    return values(canvases(images, margin))


def uniform(n: int, low: float, high: float, *shape: int) -> Tensor:
    return torch.empty(n, *shape).uniform_(low, high)


def reframe(x: Tensor, mirror: bool = True) -> Tensor:
    """Mirror images, other sizes, places and proportions; what is up stays up."""
    n = len(x)
    theta = torch.zeros(n, 2, 3)
    zoom, stretch = uniform(n, 0.85, 1.4), uniform(n, -0.15, 0.15).exp()
    theta[:, 0, 0] = zoom * stretch * torch.where(uniform(n, 0, 1) < 0.5 * mirror, -1.0, 1.0)
    theta[:, 1, 1] = zoom / stretch
    theta[:, :, 2] = uniform(n, -0.12, 0.12, 2)
    grid = F.affine_grid(theta, list(x.shape), align_corners=True)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=True)


def augment(x: Tensor) -> Tensor:
    """Other framings, and other colours."""
    n, x = len(x), reframe(x)
    ink = (1 - x) * uniform(n, -0.15, 0.15, 3, 1, 1).exp() * uniform(n, -0.3, 0.3, 1, 1, 1).exp()
    x = (1 - ink).clamp(-1, 1)
    return torch.where(uniform(n, 0, 1, 1, 1, 1) < 0.15, x.mean(1, keepdim=True), x)


@torch.no_grad()
def training_views(network: PoseNetwork) -> tuple[list[Tensor], Tensor]:
    """Every training image turned by random elements of c8: what the frozen blocks see in it, and the elements.

    Stamps come twice as often as the rest, which is drawn in another style.
    """
    set_seed(0)
    stamps = list(offline_data.stamps("train")["image"])
    photos = [ImageOps.fit(Image.open(path).convert("RGB"), (SIDE, SIDE)) for path in offline_data.photos()]
    images = tensors([*stamps, *stamps, *offline_data.emoji()["image"], *photos])
    seen, elements = [], []
    for chosen in torch.arange(len(images)).repeat(VIEWS).split(BATCH):
        turned, element, _ = C8.random_act(augment(images[chosen]))
        seen.append(network.see(thumbnail(turned, RESOLUTION)))
        elements.append(element)
    return [torch.cat(tap) for tap in zip(*seen, strict=True)], torch.cat(elements)


def train(
    predictor: EfficientNetForImageClassification, group: FinitePlanar, views: tuple[list[Tensor], Tensor], seed: int
) -> Any:
    """A canonicalized model for that group of rotations."""
    seen, element = views
    # A turn by nearly 45 degrees is no example of c4, whose elements are the even ones of c8.
    step = C8.n // group.n
    kept = element % step == 0
    return fit(predictor, group, [tap[kept] for tap in seen], element[kept] // step, seed)


def fit(
    predictor: EfficientNetForImageClassification, group: Group, seen: list[Tensor], element: Tensor, seed: int
) -> Any:
    """A canonicalized model whose head was trained on single looks: what the blocks saw in them, and the elements.

    Where an exact element acts, four looks at one image tell a head the same as one look at each of four turned
    ones, so that one look, and the element to be found in it, is enough.
    """
    set_seed(seed)
    network = PoseNetwork(predictor)
    canonicalizer = OrbitCanonicalizer(group, resolution=RESOLUTION, network=network)
    model = CanonicalizedModel.wrap(predictor, group, canonicalizer)
    trained = [*network.branches.parameters(), canonicalizer.references, canonicalizer.log_temperature]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, weight_decay=0.05)
    steps = EPOCHS * (len(element) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(EPOCHS):
        for batch in torch.randperm(len(element)).split(BATCH)[: len(element) // BATCH]:
            looks = F.normalize(network.judge([tap[batch] for tap in seen]), dim=-1)
            cosines = looks @ F.normalize(canonicalizer.references, dim=-1).T
            loss = F.cross_entropy(cosines / canonicalizer.log_temperature.exp(), element[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


class Turned:
    """Images turned by 0 and by 45 degrees: what the predictor says of every member of their orbits over c8, and
    what the frozen blocks see in the four exact looks."""

    def __init__(self, model: CanonicalizedModel, network: PoseNetwork, images: Tensor):
        logits, seen = [], []
        with torch.inference_mode():
            for x in images.split(32):
                orbits = OrbitLogits(model, C8, x)
                logits.append(torch.stack([orbits.orbit(Rotation(angle)) for angle in (0.0, 45.0)], 1))
                for angle in (0.0, 45.0):
                    looks = C8.orbit(thumbnail(Rotation(angle)(x), RESOLUTION), C8.inverse(C8.exact_elements))
                    seen.append([tap.unflatten(0, (len(x), 4)) for tap in network.see(looks.flatten(0, 1))])
        self.logits = torch.cat(logits)  # (items, starts, 8, classes)
        taps = [list(tap) for tap in zip(*seen, strict=True)]
        self.seen = [torch.stack([torch.cat(tap[start::2]) for start in (0, 1)], 1) for tap in taps]

    def orbits(self, group: FinitePlanar) -> Tensor:
        """The logits over the orbits of that group, `(items, starts, |G|, classes)`."""
        return self.logits if group == C8 else self.logits[:, :1, ::2]

    @torch.inference_mode()
    def posterior(self, model: Any) -> Tensor:
        """Log-probabilities of the elements, `(items, starts, |G|)`."""
        starts = 2 if model.group == C8 else 1
        looks = [tap[:, :starts].flatten(0, 2) for tap in self.seen]
        embeddings = F.normalize(model.canonicalizer.network.judge(looks), dim=-1).unflatten(0, (-1, 4))
        logits: Tensor = model.canonicalizer.vote(embeddings)
        return logits.log_softmax(-1).unflatten(0, (-1, starts))


def answers(turned: Turned, group: FinitePlanar, posteriors: list[Tensor]) -> dict[str, list[Tensor]]:
    """The class that each method answers, `(items, starts)`; the untouched predictor also differs by quarter turns,
    `(items, starts, 4)`. One entry for each seed, or one alone."""
    orbits = turned.orbits(group)
    said = orbits.argmax(-1)
    confidence = orbits.log_softmax(-1).amax(-1)
    true = torch.arange(orbits.shape[1]).expand(said.shape[:2])

    def pick(element: Tensor) -> Tensor:
        return said.gather(2, element.unsqueeze(-1)).squeeze(-1)

    return {
        "untouched": [said[:, :, group.exact_elements]],
        "orbit mean of logits": [orbits.mean(2).argmax(-1)],
        "most confident member": [pick(confidence.argmax(-1))],
        "ours": [pick(posterior.argmax(-1)) for posterior in posteriors],
        "ours x confidence": [pick((posterior + confidence).argmax(-1)) for posterior in posteriors],
        "oracle": [pick(true)],
    }


def score(right: list[np.ndarray]) -> dict[str, Any]:
    """Upright and mean over the orbit, and what each item contributes, averaged over the seeds."""
    # Quarter turns of the untouched predictor: the first is the input as it is.
    upright = [(r[:, 0, 0] if r.ndim == 3 else r[:, 0]).astype(float) for r in right]
    orbit = [r.reshape(len(r), -1).mean(1) for r in right]
    means = [float(items.mean()) for items in orbit]
    return {
        "upright": float(np.mean(upright)),
        "orbit": statistics.mean(means),
        "orbit_spread": statistics.stdev(means) if len(means) > 1 else None,
        "seeds": means,
        "upright_seeds": [float(items.mean()) for items in upright],
        "items": {"upright": np.mean(upright, 0), "orbit": np.mean(orbit, 0)},
    }


def measure(
    turned: Turned, group: FinitePlanar, posteriors: list[Tensor], accepted: list[list[int]], unseen: int
) -> dict[str, Any]:
    """Accuracy on the labelled stamps, those that `accepted` names classes of; agreement with the upright answer on
    all stamps, and on the first `unseen` of them, which were not trained on."""
    said = answers(turned, group, posteriors)
    labelled = [i for i, classes in enumerate(accepted) if classes]
    upright = turned.logits[:, 0, 0].argmax(-1).numpy()
    table: dict[str, Any] = {}
    for method, per_seed in said.items():
        right, agree = [], []
        for answer in per_seed:
            a = answer.numpy()
            right.append(np.stack([np.isin(a[i], accepted[i]) for i in labelled]))
            agree.append(a == upright.reshape(-1, *[1] * (a.ndim - 1)))
        table[method] = {
            "accuracy": score(right),
            "agreement": score(agree),
            "agreement, unseen": score([a[:unseen] for a in agree]),
        }
    true = torch.arange(posteriors[0].shape[1])
    poses = [(posterior.argmax(-1) == true).float() for posterior in posteriors]
    items = {method: row["accuracy"]["items"] for method, row in table.items()}
    confident = items["most confident member"]["orbit"]
    differences = {
        "upright tax": items["untouched"]["upright"] - items["ours"]["upright"],
        "gain over untouched": items["ours"]["orbit"] - items["untouched"]["orbit"],
        "ours minus most confident": items["ours"]["orbit"] - confident,
        "ours x confidence minus most confident": items["ours x confidence"]["orbit"] - confident,
    }
    intervals = bootstrap(np.stack(list(differences.values()), 1))
    for row in table.values():
        for kind in row.values():
            del kind["items"]
    return {
        "methods": table,
        "pose, labelled": [float(pose[labelled].mean()) for pose in poses],
        "pose, all": [float(pose.mean()) for pose in poses],
        "intervals": {name: vars(interval) for name, interval in zip(differences, intervals, strict=True)},
    }


def passes(predictor: EfficientNetForImageClassification, network: PoseNetwork) -> float:
    """What four looks cost, in passes of the predictor: their multiplications as a share of its own."""

    def operations(module: nn.Module, side: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, 3, side, side))
        return counter.get_total_flops()

    return 4 * operations(network.eval(), RESOLUTION) / operations(predictor, SIDE)


def show(group: FinitePlanar, margin: str, found: dict[str, Any], cost: float) -> str:
    n = group.n
    price = {"untouched": 1.0, "ours": 1 + cost, "ours x confidence": n + cost, "oracle": 1.0}
    lines = [
        f"{group.name}, stamps {margin}",
        f"{'':24}{'passes':>8}{'upright':>10}{'orbit mean':>12}{'spread':>8}{'agreement':>11}{'unseen':>8}",
    ]
    for method, row in found["methods"].items():
        accuracy, agreement, unseen = row.values()
        spread = "" if accuracy["orbit_spread"] is None else f"{accuracy['orbit_spread']:.3f}"
        cells = f"{price.get(method, n):>8.2f}{accuracy['upright']:>10.3f}{accuracy['orbit']:>12.3f}{spread:>8}"
        lines.append(f"{method:24}{cells}{agreement['orbit']:>11.3f}{unseen['orbit']:>8.3f}")
    pose = found["pose, labelled"], found["pose, all"]
    lines.append(f"pose accuracy {statistics.mean(pose[0]):.3f} (all stamps {statistics.mean(pose[1]):.3f})")
    lines += [f"{name}: {Interval(**interval)}" for name, interval in found["intervals"].items()]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", type=Path, default=Path("build/figures/stamps.json"), help="file for the figures")
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()

    start = time.process_time()
    predictor = EfficientNetForImageClassification.from_pretrained(offline_data.checkpoint("efficientnet")).eval()
    predictor.requires_grad_(False)
    eyes = PoseNetwork(predictor).eval()
    cost = passes(predictor, eyes)
    views = training_views(eyes)
    looking = time.process_time() - start
    models = {group: [train(predictor, group, views, seed) for seed in arguments.seeds] for group in (C4, C8)}
    training = time.process_time() - start - looking
    print(
        f"{len(views[1]):,} training views in {looking:.0f} s, heads in {training:.0f} s of processor time", flush=True
    )
    del views

    # The labelled stamps come first; the others have no label, and count for agreement alone.
    splits = [offline_data.stamps(split) for split in ("test", "excluded", "calibration", "train")]
    images = [image for split in splits for image in split["image"]]
    accepted = [list(classes) for split in splits for classes in split["imagenet"]]
    unseen = len(images) - len(splits[-1])
    results: dict[str, Any] = {}
    for margin, factor in MARGINS.items():
        turned = Turned(models[C4][0], eyes, tensors(images, factor))
        for group, trained in models.items():
            found = measure(turned, group, [turned.posterior(model) for model in trained], accepted, unseen)
            results[f"{group.name}, {margin}"] = found
            print(show(group, margin, found, cost), flush=True)

    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    figures = {
        "seeds": arguments.seeds,
        "canonicalizer_passes": cost,
        "labelled": len(splits[0]),
        "stamps": len(images),
        "unseen": unseen,
    }
    figures |= {"looking_seconds": looking, "training_seconds": training}
    arguments.json.write_text(json.dumps({**figures, "results": results}, indent=2) + "\n")

    # The same by the public way, on the stamps as they are: shifts, canonicalizer and predictor from end to end.
    test = [
        {"pixel_values": x, "label": classes}
        for x, classes in zip(tensors(list(splits[0]["image"])), splits[0]["imagenet"], strict=True)
    ]
    for group, trained in models.items():
        print(evaluate_robustness(trained[0], test, group, baselines=False))


if __name__ == "__main__":
    main()
