"""Inputs to look at: which answers were fixed, which harmed, and where the canonicalizer is unsure."""

import base64
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from PIL import Image

SIDE = 224
"""Pixels of an image on the page, at most."""
SMALL = 96
"""An image with fewer is enlarged without smoothing, and kept without loss."""
AUDIO_SIDES = (240, 96)


@dataclass(frozen=True)
class Said:
    """An answer.

    Args:
        text: in words.
        sure: its probability; None for what is no class.
        right: whether it is; None for what is more or less right.
    """

    text: str
    sure: float | None
    right: bool | None


@dataclass(frozen=True)
class Example:
    """An input, what was found, and both answers.

    Args:
        number: in the data set, from 1.
        pose: in which it was shown to the model, in words.
        image: as a data URI, and `canonical` what the predictor saw.
        small: whether to enlarge it without smoothing.
        found: the likeliest element.
        confidence: of that.
        posterior: over all elements.
        action: what the decision rule did, in words.
        before: the untouched answer, and `after` the model's.
        expected: the right answer, where there is one in words.
    """

    number: int
    pose: str
    image: str
    canonical: str
    small: bool
    found: str
    confidence: float
    posterior: tuple[float, ...]
    action: str
    before: Said
    after: Said
    expected: str | None


@dataclass(frozen=True)
class Examples:
    """Some inputs of each kind, the most telling first.

    Args:
        harmed: right answers that canonicalization spoiled.
        fixed: wrong answers that it put right.
        unsure: inputs about whose pose it was least sure.
        totals: how many answers there were of each of the first two kinds, shown or not.
    """

    harmed: tuple[Example, ...]
    fixed: tuple[Example, ...]
    unsure: tuple[Example, ...]
    totals: dict[str, int]


def data_uri(values: np.ndarray) -> str:
    """An image `(height, width, 1 or 3)`, 0 to 1, in a form that a page holds in itself."""
    image = Image.fromarray((255 * values + 0.5).astype(np.uint8).squeeze(-1) if values.shape[2] == 1 else
                            (255 * values + 0.5).astype(np.uint8))  # fmt: skip
    if image.mode == "L" and image.width > SIDE:  # long clips
        image = image.resize((AUDIO_SIDES[0], min(image.height, AUDIO_SIDES[1])))
    image.thumbnail((SIDE, SIDE))
    photo = image.mode == "RGB" and max(image.size) >= SMALL
    buffer = BytesIO()
    image.save(buffer, "JPEG" if photo else "PNG", **({"quality": 88} if photo else {"optimize": True}))
    return f"data:image/{'jpeg' if photo else 'png'};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
