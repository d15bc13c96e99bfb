"""A visitor's image: opened within limits, moved by hand, and answered."""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..data.errors import readable
from ..data.images import image_mode, process, upright
from ..evaluation.display import displayed
from ..groups import Images, get_group
from ..outputs import Canonicalization
from .answering import Answer, Inputs, ask
from .checkpoints import Opened

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
"""Of PIL's: some of the others start programs."""
MOST_PIXELS = 50_000_000
SIDE = 1024
"""Pixels of the side of what is worked on: more than any classifier looks at."""
SHOWN = 448
"""Pixels of the side of what is shown."""
ORDERS = ("RGB", "RBG", "GRB", "GBR", "BRG", "BGR")
"""Which channel is shown as red, as green and as blue."""


def open_image(path: str | Path, mode: str) -> Image.Image:
    """The central square of an image, upright as its EXIF tag says.

    Args:
        path: of the file.
        mode: of PIL, as the checkpoint takes images.

    Raises:
        ValueError: it is no image, is damaged, or has too many pixels.
    """
    with readable("This image"), Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise ValueError(
                f"This image has {width} x {height} pixels, and this page takes {MOST_PIXELS / 1e6:.0f} "
                "million. Scale it down first: the checkpoint looks at far fewer."
            )
        image.draft(None, (2 * SIDE, 2 * SIDE))  # a JPEG is read at the size that is wanted
        return squared(upright(image), mode)


def squared(image: Image.Image, mode: str) -> Image.Image:
    """The central square of an image, at `SIDE` pixels at most; what is seen through is seen on white paper."""
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, "white"), layer)
    side = min(*image.size, SIDE)
    return ImageOps.fit(image.convert(mode), (side, side), Image.Resampling.BICUBIC)


def transformed(
    image: Image.Image, turn: float = 0, mirror: bool = False, channels: str = "RGB", tint: float = 0
) -> Image.Image:
    """A square image, mirrored, turned about its centre, and in other colours.

    Quarter turns move pixels and nothing else; corners that other turns lay bare take the colour of the border.

    Args:
        image: square.
        turn: degrees, counter-clockwise.
        mirror: whether left and right are exchanged, before it is turned.
        channels: one of `ORDERS`.
        tint: degrees by which hues are turned, red towards green.
    """
    if mirror:
        image = ImageOps.mirror(image)
    quarters, rest = divmod(turn % 360, 90)
    if rest:
        image = image.rotate(turn, Image.Resampling.BICUBIC, fillcolor=border(image))
    elif quarters:
        turned = (Image.Transpose.ROTATE_90, Image.Transpose.ROTATE_180, Image.Transpose.ROTATE_270)
        image = image.transpose(turned[int(quarters) - 1])
    if image.mode != "RGB":
        return image
    if channels != "RGB":
        image = Image.merge("RGB", [image.getchannel(name) for name in channels])
    if tint % 360:
        image = tinted(image, tint)
    return image


def border(image: Image.Image) -> tuple[int, ...] | int:
    """The median colour along the edge of an image."""
    values = np.atleast_3d(np.asarray(image))
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    median = tuple(int(value) for value in np.median(edge, axis=0))
    return median if len(median) > 1 else median[0]


def tinted(image: Image.Image, degrees: float) -> Image.Image:
    x = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None] / 255
    hue = get_group("hue").on(Images((1.0,) * 3, (0.0,) * 3))
    turned = hue.act(x, torch.tensor([math.radians(degrees)]))[0]
    return Image.fromarray((turned.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy())


def mode_of(opened: Opened) -> str:
    return image_mode(opened.model.predictor.config)


def prepared(opened: Opened, images: list[Image.Image]) -> Tensor:
    """As the checkpoint reads them, `(images, channels, height, width)`."""
    return process(images, opened.processor, opened.model.predictor.config)


def answer_image(opened: Opened, image: Image.Image, rule: str | None) -> tuple[Answer, Image.Image, Image.Image]:
    """Both answers to an image, and what the checkpoint saw before and after canonicalization.

    Args:
        opened: that is asked.
        image: in the mode of the checkpoint.
        rule: that decides, in place of the model's own.

    Raises:
        ValueError: the group does not fit the image, or the model cannot decide by that rule.
    """
    x = prepared(opened, [image])
    answer = answer_pixels(opened, x, rule)
    assert answer.found.canonical is not None
    return answer, shown(opened, x), shown(opened, answer.found.canonical)


def answer_pixels(opened: Opened, x: Tensor, rule: str | None) -> Answer:
    """Both answers to `(1, channels, height, width)`, as the checkpoint reads it."""
    name = opened.model.checkpoint.input_name

    def canonical(found: Canonicalization) -> Inputs:
        assert found.canonical is not None
        return {name: found.canonical}

    return ask(opened.model, {name: x}, rule, canonical)


def shown(opened: Opened, x: Tensor) -> Image.Image:
    """What the checkpoint sees, of a batch of one, to look at."""
    return enlarged(displayed(x, opened.processor, opened.model.group.kind)(x[0]))


def enlarged(given: "np.ndarray[tuple[int, int, int], np.dtype[np.float32]]") -> Image.Image:
    """For the eye: `(height, width, 1 or 3)`, 0 to 1, of any size to one size."""
    values = np.round(255 * given).astype(np.uint8)
    image = Image.fromarray(values[..., 0] if values.shape[-1] == 1 else values).convert("RGB")
    scale = SHOWN / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    # Few pixels are shown as what they are.
    return image.resize(size, Image.Resampling.NEAREST if scale > 4 else Image.Resampling.BICUBIC)
