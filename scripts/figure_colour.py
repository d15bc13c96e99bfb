"""The colour table: EfficientNet-lite0 on images whose colours went wrong, behind canonicalizers that saw no label.

    python scripts/prepare_offline_assets.py --only efficientnet stamps emoji photos
    python scripts/figure_colour.py --json build/figures/colour.json
    python scripts/figure_colour.py --only hue12        # one group

`orbit` looks through the first 15 of the checkpoint's own 16 blocks, frozen, as in figure_stamps.py; `shift` is a
small network on the hue circle; `moment` is an average in closed form. They learn from the training stamps, emoji and
photographs as they are, without labels. The test stamps choose nothing, and are shown twice: on white, as they are,
and on a plain colour that was drawn at random for each. White gives a negative away, and a plain colour misleads
whoever takes averages; half of the training images stand on random colours too.

Colours go wrong as they do in files: in bytes, by Pillow's colour matrices and lookup tables, which clip and round.
They are put right by the groups' own arithmetic on floats, which does neither. What was clipped stays lost, also for
the oracle. Orders of channels, negatives and thirds of the hue circle move all answers alike, to the bit, so that one
version of an image stands for all of those.

`retrained head` is what augmentation can do without labels: the checkpoint's last layer, taught to answer for training
images of wrong colours as the checkpoint answers for right ones. Training all of it, with labels, was left out: the
training stamps have none.

Where one stamp takes dozens of passes (hue, white balance, gamma, d4*channels), every other labelled one is measured.
What the checkpoint sees is kept in build/figures/colour; delete that folder to begin anew. A part that was measured
replaces its own figures in the JSON, and leaves the others.
"""

import argparse
import copy
import hashlib
import json
import math
import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import offline_data
import torch
import torch.nn.functional as F
import transformers
from figure_stamps import RESOLUTION, SIDE, PoseNetwork, canvases, fit, passes, reframe, values
from PIL import Image, ImageOps
from scipy.ndimage import label as regions
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import BitImageProcessor, EfficientNetForImageClassification, set_seed

from hf_canon import CanonicalizedModel, get_group
from hf_canon.canonicalizers.moment import STRIDE
from hf_canon.canonicalizers.thumbnails import cell_means, inscribed_disc
from hf_canon.evaluation.statistics import bootstrap
from hf_canon.groups import Group, Images
from hf_canon.reports.robustness import Interval

KEPT = Path("build/figures/colour")
VIEWS = 4
BATCH = 4
SMALL = 32
STOPS = (-1.0, 0.0, 1.0)
BETWEEN = tuple(math.radians(degrees) for degrees in (0, 15, 45, 75, 105))


@dataclass(frozen=True)
class Case:
    """A group, and how images are spoiled and looked at to measure it.

    Args:
        name: of the group.
        canonicalizers: by name.
        starts: elements that happen to the files. The exact elements of the group do the rest.
        orbit: whether every element of the group (of a continuous one: every start) is undone, for the baselines.
        every: of how many labelled stamps one is measured, where each costs a lot.
    """

    name: str
    canonicalizers: tuple[str, ...]
    starts: tuple[float, ...] = (0,)
    orbit: bool = True
    backgrounds: tuple[str, ...] = ("white", "plain")
    unlabelled: bool = True
    every: int = 1

    @property
    def group(self) -> Group:
        return get_group(self.name).on(KIND)

    @property
    def upright(self) -> int:
        """Which start is the identity."""
        return self.starts.index(0)

    def members(self, start: float) -> Tensor:
        """Elements that are undone of a file that `start` happened to."""
        if self.group.finite:
            return self.group.elements
        return torch.tensor(self.starts if self.orbit else (0.0, start))

    @property
    def true(self) -> Tensor:
        """For each start, which member is the right one to undo."""
        return torch.arange(len(self.starts)) if self.orbit else torch.ones(len(self.starts), dtype=torch.long)

    @property
    def as_is(self) -> Tensor:
        """Which members are files themselves: that of the start, and its exact relatives."""
        if self.group.finite:
            return self.group.exact_elements
        return torch.tensor([self.upright if self.orbit else 0])


CASES = {
    case.name: case
    for case in (
        Case("channels", ("orbit",)),
        Case("negative", ("orbit",)),
        Case("white_balance", ("moment",), STOPS, unlabelled=False, every=2),
        Case("gamma", ("moment",), STOPS, unlabelled=False, every=2),
        Case("hue12", ("orbit", "shift", "moment"), (0, 1, 2, 3), unlabelled=False, every=2),
        Case("hue", ("shift", "moment"), BETWEEN, orbit=False, backgrounds=("white",), unlabelled=False, every=2),
        Case("d4*channels", ("orbit",), backgrounds=("white",), every=2),
    )
}
RETRAINED = ("channels", "negative", "hue12")
KIND = Images((2.0,) * 3, (-1.0,) * 3)


def spoil(image: Image.Image, group: Group, element: float) -> Image.Image:
    """What happens to the bytes of an image, by Pillow."""
    if element == 0:
        return image
    if group.name == "channels":
        bands = image.split()
        return Image.merge("RGB", [bands["RGB".index(letter)] for letter in group.describe(element)])
    if group.name == "negative":
        return ImageOps.invert(image)
    if group.name in ("white_balance", "gamma"):
        v = np.arange(256) / 255
        tables = [v * 2**element, v, v / 2**element] if group.name == "white_balance" else [v**2**element] * 3
        return image.point((255 * np.concatenate(tables)).round().clip(0, 255).astype(int).tolist())
    angle = element if group.name == "hue" else element * 2 * math.pi / len(group.elements)
    same, along = math.cos(angle), math.sin(angle) / math.sqrt(3)
    third = (1 - same) / 3
    a, b, c = same + third, third - along, third + along  # Rodrigues' formula about (1, 1, 1)
    return image.convert("RGB", (a, b, c, 0, c, a, b, 0, b, c, a, 0))


def random_colour(name: str) -> tuple[int, int, int]:
    """A colour that depends on the name only."""
    red, green, blue = hashlib.sha256(name.encode()).digest()[:3]
    return red, green, blue


def on_colour(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """The white around a thing replaced: all that is nearly white and joins the border."""
    pixels = np.asarray(image)
    white, _ = regions(pixels.min(-1) >= 245)
    border = np.unique(np.concatenate([white[0], white[-1], white[:, 0], white[:, -1]]))
    around = np.isin(white, border[border > 0])
    return Image.fromarray(np.where(around[..., None], np.array(colour, np.uint8), pixels))


class Stamps:
    """The stamps that were not trained on: the labelled ones first, with the classes that are right for each."""

    def __init__(self) -> None:
        splits = [offline_data.stamps(split) for split in ("test", "excluded", "calibration")]
        self.names = [name for split in splits for name in split["name"]]
        self.titles = [title for split in splits for title in split["title"]]
        white = canvases([image for split in splits for image in split["image"]])
        plain = [on_colour(one, random_colour(name)) for one, name in zip(white, self.names, strict=True)]
        self.images = {"white": white, "plain": plain}
        self.right = torch.zeros(len(splits[0]), 1000, dtype=torch.bool)
        for row, classes in zip(self.right, splits[0]["imagenet"], strict=True):
            row[list(classes)] = True

    def chosen(self, case: Case, background: str) -> list[int]:
        """Which of them a case is measured on."""
        labelled = list(range(0, len(self.right), case.every))
        others = range(len(self.right), len(self.names)) if case.unlabelled and background == "white" else ()
        return [*labelled, *others]


def training_images() -> list[Image.Image]:
    """Every other one on a plain colour; photographs have none around them and stay as they are."""
    things = canvases([*offline_data.stamps("train")["image"], *offline_data.emoji()["image"]])
    things = [on_colour(one, random_colour(f"training {i}")) if i % 2 else one for i, one in enumerate(things)]
    photos = [ImageOps.fit(Image.open(path).convert("RGB"), (SIDE, SIDE)) for path in offline_data.photos()]
    return [*things, *photos]


def kept(name: str, compute: Callable[..., Any], *inputs: Any) -> Any:
    """What that function makes of the inputs, kept in a file from the first time on."""
    path = KEPT / f"{name}.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}")  # another process may be at the same
        torch.save(compute(*inputs), part)
        part.rename(path)
    return torch.load(path)


@torch.inference_mode()
def pooled(predictor: EfficientNetForImageClassification, x: Tensor) -> Tensor:
    """What the last layer gets to see, `(..., features)`."""
    flat = x.flatten(0, -4).split(BATCH)
    seen = [predictor.efficientnet(one.contiguous(memory_format=torch.channels_last)).pooler_output for one in flat]
    return torch.cat(seen).unflatten(0, x.shape[:-3])


def see_orbits(predictor: EfficientNetForImageClassification, case: Case, images: list[Image.Image]) -> Tensor:
    """`(items, starts, members, features)`."""
    group, items = case.group, []
    for image in images:
        starts = []
        for start in case.starts:
            x = values([spoil(image, group, start)])
            starts.append(pooled(predictor, group.orbit(x, group.inverse(case.members(start)))[0]))
        items.append(torch.stack(starts))
    return torch.stack(items)


@torch.inference_mode()
def see_looks(eyes: PoseNetwork, group: Group, x: Tensor) -> list[Tensor]:
    """What the frozen blocks see in every exact look at each image, `(items * looks, ...)` for each tap."""
    looks = group.orbit(cell_means(x, RESOLUTION), group.inverse(group.exact_elements)).flatten(0, 1)
    return eyes.see(masked(group, looks))


def masked(group: Group, small: Tensor) -> Tensor:
    turns = group.planar is not None
    return small * inscribed_disc(RESOLUTION, small.device) if turns else small


@torch.inference_mode()
def training_looks(eyes: PoseNetwork, group: Group, images: list[Image.Image]) -> tuple[list[Tensor], Tensor]:
    """Every training image in several framings, transformed by random elements: what the frozen blocks see, and the
    elements. A group that mirrors is told which images are mirrored, so that none is in passing."""
    set_seed(0)
    mirror = group.planar is None
    seen, elements = [], []
    for chosen in torch.arange(len(images)).repeat(VIEWS).split(64):
        framed = cell_means(reframe(values([images[i] for i in chosen]), mirror), RESOLUTION)
        transformed, element, _ = group.random_act(framed)
        seen.append(eyes.see(masked(group, transformed)))
        elements.append(element)
    return [torch.cat(tap) for tap in zip(*seen, strict=True)], torch.cat(elements)


def train_shift(predictor: Any, case: Case, images: Tensor, seed: int) -> Any:
    """On small images: the hue circle is read at that size, and mixing colours and averaging pixels commute."""
    set_seed(seed)
    model = CanonicalizedModel.wrap(predictor, case.name, "shift")
    canonicalizer, epochs = model.canonicalizer, 25
    steps = epochs * (len(images) // 64)
    optimizer = torch.optim.AdamW(canonicalizer.parameters(), lr=2e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.1)
    for _ in range(epochs):
        for batch in torch.randperm(len(images)).split(64)[: len(images) // 64]:
            transformed, element, offset = model.group.random_act(reframe(images[batch]))
            loss = canonicalizer.pose_loss(transformed, element, offset)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model


def fit_moment(predictor: Any, case: Case, images: list[Image.Image]) -> Any:
    """With the mean moment of the training images as its reference, which is what training it tends to."""
    model = CanonicalizedModel.wrap(predictor, case.name, "moment")
    canonicalizer = model.canonicalizer
    moments = torch.cat([canonicalizer.moment(values([one]), None) for one in images])
    circular = case.name.startswith("hue")
    mean = torch.atan2(moments.sin().mean(), moments.cos().mean()) if circular else moments.mean()
    canonicalizer.reference.data.copy_(mean / (STRIDE * canonicalizer.reach))
    return model


def retrain(head: nn.Linear, upright: Tensor, spoiled: Tensor) -> nn.Linear:
    """The last layer, taught the checkpoint's own upright answers for images of wrong colours, and of right ones."""
    set_seed(0)
    wanted = head(upright).softmax(-1).detach().repeat(2, 1)
    seen = torch.cat([upright, spoiled])
    trained = copy.deepcopy(head).requires_grad_(True)
    optimizer = torch.optim.AdamW(trained.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(20):
        for batch in torch.randperm(len(seen)).split(64):
            loss = F.cross_entropy(trained(seen[batch]), wanted[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return trained.requires_grad_(False)


def classes(head: nn.Linear, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The answer for every member, how sure it is, and the answer of the mean of the logits over the members."""
    said, sure, mean = [], [], []
    for one in seen:  # the logits of all would fill the memory
        logits = head(one)
        said.append(logits.argmax(-1))
        sure.append(logits.log_softmax(-1).amax(-1))
        mean.append(logits.mean(-2).argmax(-1))
    return torch.stack(said), torch.stack(sure), torch.stack(mean)


def pick(said: Tensor, member: Tensor) -> Tensor:
    return said.gather(2, member.expand(said.shape[:2]).unsqueeze(-1)).squeeze(-1)


def measure(
    case: Case,
    said: dict[str, list[Tensor]],
    found: dict[str, list[Tensor]],
    right: Tensor,
) -> dict[str, Any]:
    """Scores of each method.

    Args:
        said: the class that each method answers, `(items, starts)`, or `(items, starts, exact)` for one that differs
            by exact elements; an entry for each seed.
        found: whether each canonicalizer found the element.
        right: which classes are, `(labelled, classes)`.
    """
    upright = said["untouched"][0][:, case.upright, 0]
    labelled = torch.arange(len(right))
    untouched = right[labelled, upright[: len(right)]].numpy()
    table: dict[str, Any] = {}
    for method, seeds in said.items():
        places = [answer.view(*answer.shape[:2], -1) for answer in seeds]
        scores = [right[labelled[:, None, None], answer[: len(right)]].numpy() for answer in places]
        agree = [(answer == upright[:, None, None]).float() for answer in places]
        first = [score[:, case.upright, 0] for score in scores]
        orbits = [float(score.mean()) for score in scores]
        tax, gain = bootstrap(
            np.stack(
                [
                    untouched - np.mean(first, 0),
                    np.mean([score.mean((1, 2)) for score in scores], 0)
                    - right[labelled[:, None, None], said["untouched"][0][: len(right)]].numpy().mean((1, 2)),
                ],
                1,
            )
        )
        table[method] = {
            "upright": float(np.mean(first)),
            "mean": statistics.mean(orbits),
            "spread": statistics.stdev(orbits) if len(orbits) > 1 else None,
            "worst": float(np.mean([score.mean(0).min() for score in scores])),
            "agreement": float(np.mean([one.mean() for one in agree])),
            "right to wrong": float(np.mean([(untouched & ~one).sum() for one in first])),
            "wrong to right": float(np.mean([(~untouched & one).sum() for one in first])),
            "tax": vars(tax),
            "gain": vars(gain),
            "seeds": orbits,
            "pose": float(np.mean([one.float().mean() for one in found[method]])) if method in found else None,
            "pose upright": float(np.mean([one[:, case.upright].float().mean() for one in found[method]]))
            if method in found
            else None,
        }
    return table


def show(title: str, table: dict[str, Any], price: dict[str, float]) -> str:
    head = f"{'':22}{'passes':>7}{'upright':>9}{'mean':>7}{'spread':>8}{'worst':>7}{'agree':>7}{'pose':>7}"
    lines = [title, f"{head}  {'upright tax, points':24}{'r>w':>6}{'w>r':>6}"]
    for method, row in table.items():
        spread = "" if row["spread"] is None else f"{100 * row['spread']:.1f}"
        pose = "" if row["pose"] is None else f"{100 * row['pose']:.1f}"
        cells = "".join(f"{100 * row[name]:>{w}.1f}" for name, w in (("upright", 9), ("mean", 7)))
        cells += f"{spread:>8}{100 * row['worst']:>7.1f}{100 * row['agreement']:>7.1f}{pose:>7}"
        tax = "" if method in ("untouched", "oracle") else str(Interval(**row["tax"]))
        harm = "" if not tax else f"{row['right to wrong']:>6.1f}{row['wrong to right']:>6.1f}"
        lines.append(f"{method:22}{price[method]:>7.2f}{cells}  {tax:24}{harm}")
    return "\n".join(lines) + "\n"


class Figure:
    """What the measurements share."""

    def __init__(self, seeds: list[int]):
        self.seeds = seeds
        folder = offline_data.checkpoint("efficientnet")
        self.predictor = EfficientNetForImageClassification.from_pretrained(folder).eval()
        self.predictor.requires_grad_(False).to(memory_format=torch.channels_last)
        self.eyes = PoseNetwork(self.predictor).eval()
        self.look = passes(self.predictor, self.eyes) / 4
        self.stamps = Stamps()
        self.training = training_images()
        self.small = F.adaptive_avg_pool2d(values(self.training), SMALL)

    def models(self, case: Case, canonicalizer: str, seeds: list[int]) -> list[Any]:
        """One for each seed; `moment` needs none."""
        if canonicalizer == "moment":
            return [fit_moment(self.predictor, case, self.training)]
        if canonicalizer == "shift":
            return [train_shift(self.predictor, case, self.small, seed) for seed in seeds]
        views = kept(f"{case.name}-training", training_looks, self.eyes, case.group, self.training)
        return [fit(self.predictor, case.group, *views, seed) for seed in seeds]

    def cost(self, case: Case, model: Any) -> float:
        """Of the canonicalizer, in passes of the predictor."""
        if model.canonicalizer.name == "orbit":
            return self.look * len(case.group.exact_elements)
        operations = []
        for part in (model.canonicalizer, self.predictor):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                part(torch.rand(1, 3, SIDE, SIDE))
            operations.append(counter.get_total_flops())
        return float(operations[0] / operations[1])

    @torch.inference_mode()
    def elements(self, case: Case, background: str, chosen: list[int], models: list[Any]) -> list[Tensor]:
        """Which element each model finds for each start, `(items, starts)`."""
        images = [self.stamps.images[background][i] for i in chosen]
        if models[0].canonicalizer.name == "orbit":

            def looks() -> list[Tensor]:
                seen = []
                for one in images:
                    files = values([spoil(one, case.group, start) for start in case.starts])
                    seen.append(see_looks(self.eyes, case.group, files))
                return [torch.stack(tap) for tap in zip(*seen, strict=True)]

            seen = kept(f"{case.name}-{background}-looks", looks)
            flat = [tap.flatten(0, 1) for tap in seen]
            k = len(case.group.exact_elements)
            found = []
            for model in models:
                embeddings = F.normalize(model.canonicalizer.network.judge(flat), dim=-1).unflatten(0, (-1, k))
                logits = model.canonicalizer.vote(embeddings)
                found.append(logits.argmax(-1).unflatten(0, (-1, len(case.starts))))
            return found
        found = []
        files = [values([spoil(one, case.group, start) for start in case.starts]) for one in images]
        for model in models:
            one = model.canonicalizer
            found.append(torch.stack([one.element(one(x)) for x in files]))
        return found

    def canonical(self, case: Case, chosen: list[int], background: str, found: Tensor) -> Tensor:
        """What the last layer sees of canonical images, where those are no members of an orbit."""

        def see() -> Tensor:
            seen = []
            for i, elements in zip(chosen, found, strict=True):
                image = self.stamps.images[background][i]
                files = values([spoil(image, case.group, start) for start in case.starts])
                seen.append(pooled(self.predictor, case.group.act(files, case.group.inverse(elements))))
            return torch.stack(seen)

        return kept(f"{case.name}-{background}-{hashlib.sha256(found.numpy().tobytes()).hexdigest()[:8]}", see)

    def retrained(self, case: Case) -> nn.Linear:
        """The last layer, retrained on stamps and emoji, each spoiled once by a random element."""
        things = self.training[: -len(offline_data.photos())]
        upright = kept("upright-training", lambda: pooled(self.predictor, values(things)))

        def spoiled() -> Tensor:
            generator = torch.Generator().manual_seed(0)
            elements = torch.randint(1, len(case.group.elements), (len(things),), generator=generator).tolist()
            transformed = [spoil(one, case.group, element) for one, element in zip(things, elements, strict=True)]
            return pooled(self.predictor, values(transformed))

        transformed = kept(f"{case.name}-spoiled", spoiled)
        return retrain(self.predictor.classifier, upright, transformed)

    def measure(self, case: Case) -> dict[str, Any]:
        results = {}
        trained = {name: self.models(case, name, self.seeds) for name in case.canonicalizers}
        retrained = self.retrained(case) if case.name in RETRAINED else None
        for background in case.backgrounds:
            chosen = self.stamps.chosen(case, background)
            images = [self.stamps.images[background][i] for i in chosen]
            seen = kept(f"{case.name}-{background}", see_orbits, self.predictor, case, images)
            head: Any = self.predictor.classifier
            answers, sure, mean = classes(head, seen)
            said = {"untouched": [answers[:, :, case.as_is]]}
            price = {"untouched": 1.0, "oracle": 1.0}
            if case.orbit:
                said |= {"mean of logits": [mean], "most confident": [pick(answers, sure.argmax(-1))]}
                price |= {name: float(answers.shape[2]) for name in ("mean of logits", "most confident")}
            if retrained is not None:
                said["retrained head"] = [classes(retrained, seen[:, :, case.as_is])[0]]
                price["retrained head"] = 1.0
            hits = {}
            for name, models in trained.items():
                found = self.elements(case, background, chosen, models)
                method = f"ours, {name}"
                price[method] = 1 + self.cost(case, models[0])
                if case.group.finite:
                    said[method] = [pick(answers, one) for one in found]
                    hits[method] = [one == case.true for one in found]
                else:
                    true, group = torch.tensor(case.starts), models[0].group
                    hits[method] = [group.wrap(one - true).abs() <= group.tolerance for one in found]
                    canonical = [self.canonical(case, chosen, background, one) for one in found]
                    said[method] = [classes(head, one.unsqueeze(2))[0].squeeze(2) for one in canonical]
            said["oracle"] = [pick(answers, case.true)]
            right = self.stamps.right[:: case.every]
            table = measure(case, said, hits, right)
            title = f"{case.name} on {background}: {len(right)} labelled stamps, agreement on {len(chosen)}, in %"
            print(show(title, table, price), flush=True)
            results[background] = {"methods": table, "passes": price, "labelled": len(right), "stamps": len(chosen)}
        return results


def exactness(images: list[Image.Image]) -> dict[str, Any]:
    """Logits through the wrapper for transformed images, against those for the images."""
    predictor = EfficientNetForImageClassification.from_pretrained(offline_data.checkpoint("efficientnet")).eval()
    alike = BitImageProcessor(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    unlike = BitImageProcessor(image_mean=[0.485, 0.456, 0.406], image_std=[0.229, 0.224, 0.225])
    found: dict[str, Any] = {}
    for name in ("channels", "negative", "hue3"):
        for normalised, processor in (("0.5", alike), ("ImageNet", unlike)):
            set_seed(0)
            model = CanonicalizedModel.wrap(predictor, name, "orbit", processor=processor)
            group = model.group
            mean, std = (torch.tensor(one).view(3, 1, 1) for one in (processor.image_mean, processor.image_std))

            def read(files: list[Image.Image], mean: Tensor = mean, std: Tensor = std) -> Tensor:
                return ((values(files) + 1) / 2 - mean) / std

            x = read(images)
            with torch.inference_mode():
                answers = model(pixel_values=x).logits
                row = {"pairs": 0, "differ": 0, "largest": 0.0, "differ, by file": 0, "largest, by file": 0.0}
                for g in group.elements[1:]:
                    transformed = group.act(x, g.expand(len(x)))
                    files = read([spoil(one, group, int(g)) for one in images])
                    row["pairs"] += len(x)
                    for way, inputs in (("", transformed), (", by file", files)):
                        difference = (model(pixel_values=inputs).logits - answers).abs().amax(-1)
                        row[f"differ{way}"] += int((difference > 0).sum())
                        row[f"largest{way}"] = max(row[f"largest{way}"], float(difference.max()))
            found[f"{name}, {normalised}"] = row
            print(
                f"{name + ', ' + normalised:20}", *(f"{what} {number:.3g}" for what, number in row.items()), sep="   "
            )
    return found


SHOWN = (("channels", 5), ("negative", 1), ("hue12", 5), ("white_balance", 0.7), ("gamma", 0.8), ("d4*channels", 11))


def draw(figure: Figure, path: Path) -> None:
    """Two test stamps for each group, taken at equal distances in the order of the data set."""
    places = np.linspace(0, len(figure.stamps.right) - 1, 2 * len(SHOWN)).astype(int)
    names = figure.predictor.config.id2label
    canvas, axes = plt.subplots(len(SHOWN), 6, figsize=(12, 2.35 * len(SHOWN)), layout="constrained")
    for row, (name, element) in enumerate(SHOWN):
        case = CASES[name]
        model = figure.models(case, case.canonicalizers[0], figure.seeds[:1])[0]
        group = model.group
        for column in (0, 1):
            index = int(places[2 * row + column])
            original = figure.stamps.images["white"][index]
            if name == "d4*channels":
                turn, order = group.split(torch.tensor(element))
                file = spoil(original, get_group("channels"), int(order)).rotate(90 * int(turn))
            else:
                file = spoil(original, group, element)
            with torch.inference_mode():
                x = values([file])
                out = model(pixel_values=x)
                answers = [model.predictor(pixel_values=one).logits for one in (values([original]), x)] + [out.logits]
            shown = [original, file, as_image(out.canonicalization.canonical[0])]
            notes = ["as it should be", group.describe(element), group.describe(out.canonicalization.element.item())]
            for step, (image, logits, note) in enumerate(zip(shown, answers, notes, strict=True)):
                axis = axes[row, 3 * column + step]
                axis.imshow(image)
                axis.set(xticks=[], yticks=[])
                answer = int(logits.argmax())
                right = bool(figure.stamps.right[index, answer])
                axis.set_title(note if step < 2 else f"found: {note}", fontsize=8)
                text = names[answer].split(",")[0]
                axis.set_xlabel(text[:26], fontsize=9, color="darkgreen" if right else "firebrick")
    canvas.savefig(path, dpi=100)


def as_image(x: Tensor) -> np.ndarray:
    return ((x.permute(1, 2, 0) + 1) * 127.5).round().clamp(0, 255).byte().numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[*CASES, "exactness", "image"], help="some parts")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--json", type=Path, default=Path("build/figures/colour.json"), help="file for the figures")
    arguments = parser.parse_args()
    transformers.logging.disable_progress_bar()
    parts = arguments.only or [*CASES, "exactness", "image"]

    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(arguments.seeds)
    for part in parts:
        if part == "image":
            draw(figure, arguments.json.with_suffix(".png"))
            continue
        found = exactness(figure.stamps.images["white"][:8]) if part == "exactness" else figure.measure(CASES[part])
        # What other parts have found stays in the file.
        results = json.loads(arguments.json.read_text()) if arguments.json.exists() else {}
        arguments.json.write_text(json.dumps({**results, part: found}, indent=2) + "\n")


if __name__ == "__main__":
    main()
