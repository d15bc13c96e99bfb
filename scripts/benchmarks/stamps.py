"""Stamps for EfficientNet-lite0, and a canonicalizer that learns from them with the checkpoint's own eyes.

The canonicalizer is `orbit` around the first 15 of the checkpoint's 16 blocks. They stay frozen, so that what they see
in the training images is computed once, and a head is trained on that in seconds.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from assets import offline_data
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import EfficientNetForImageClassification, set_seed

from hf_canon import CanonicalizedModel
from hf_canon.canonicalizers import OrbitCanonicalizer, thumbnail
from hf_canon.groups import FinitePlanar, Group

SIDE = 224
RESOLUTION = 120
TAPS = {10: (112, 7), 14: (192, 3)}
"""The blocks that the head reads: channels and side of what they give at RESOLUTION."""
VIEWS = 8
EPOCHS = 6
BATCH = 64
C4, C8 = FinitePlanar(4, reflections=False), FinitePlanar(8, reflections=False)


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
def training_views(network: PoseNetwork, photos: Iterable[Path]) -> tuple[list[Tensor], Tensor]:
    """Stamps, emoji and those photographs, turned by elements of c8: what the frozen blocks see, and the elements.

    Stamps come twice as often as the rest, which is drawn in another style.
    """
    set_seed(0)
    stamps = list(offline_data.stamps("train")["image"])
    fitted = [ImageOps.fit(Image.open(path).convert("RGB"), (SIDE, SIDE)) for path in photos]
    images = tensors([*stamps, *stamps, *offline_data.emoji()["image"], *fitted])
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


def passes(predictor: EfficientNetForImageClassification, network: PoseNetwork) -> float:
    """What four looks cost, in passes of the predictor: their multiplications as a share of its own."""

    def operations(module: nn.Module, side: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, 3, side, side))
        return counter.get_total_flops()

    return 4 * operations(network.eval(), RESOLUTION) / operations(predictor, SIDE)


def orbit_logits(predictor: Any, group: Group, x: Tensor) -> Tensor:
    """What the predictor says after each element was undone, `(batch, |G|, classes)`."""
    undo = group.inverse(group.elements)
    return torch.stack([predictor(pixel_values=group.act(x, one.expand(len(x)))).logits for one in undo], 1)
