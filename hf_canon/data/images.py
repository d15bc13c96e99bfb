"""From an image, wherever it is, to the tensor that a predictor takes."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's name for images of so many channels."""


def image_mode(model_config: Any) -> str:
    """The PIL mode of the images that a checkpoint takes; RGB unless its configuration says otherwise."""
    return MODES.get(getattr(model_config, "num_channels", None) or 3, "RGB")


def open_image(source: Any) -> Any:
    """An image as a viewer shows it, turned as its EXIF tag says.

    Args:
        source: the path of a file; or as a row of a data set has it, which may be encoded, named (also on the Hub), or
            open. One that is open is left as it is.

    Raises:
        OSError, SyntaxError, ValueError: it is no image, is damaged, or is not there.
    """
    if source is None:
        raise ValueError("there is none")
    if isinstance(source, Path):
        with Image.open(source) as image:
            return upright(image)
    import datasets

    if isinstance(source, bytes):
        source = {"bytes": source, "path": None}
    elif isinstance(source, str):
        source = {"bytes": None, "path": source}
    return datasets.Image().decode_example(source)


def upright(image: Any, mode: str | None = None) -> Any:
    """A copy of an image as its EXIF tag says, in a mode of PIL; what is no image of PIL's, unchanged."""
    if not isinstance(image, Image.Image):
        return image
    image = ImageOps.exif_transpose(image)
    return image if mode is None else image.convert(mode)


def process(images: Sequence[Any], processor: Callable[..., Any] | None, model_config: Any = None) -> Tensor:
    """PIL images through the checkpoint's processor, upright and with the channels that the checkpoint takes."""
    if processor is None:
        raise ValueError(
            "These are images, and there is no processor to prepare them: pass the checkpoint's own, "
            "AutoImageProcessor.from_pretrained(...)."
        )
    prepared = [upright(image, image_mode(model_config)) for image in images]
    return torch.as_tensor(processor(images=prepared, return_tensors="pt")["pixel_values"])


def stack(images: Sequence[Any]) -> Tensor:
    """Finished images of one size as a batch."""
    tensors = [image if isinstance(image, Tensor) else torch.as_tensor(np.asarray(image)) for image in images]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"The images have different shapes, {shapes}; resize them to one size, or use batch_size=1.")
    return torch.stack(tensors).float()


def image_inputs(
    images: Sequence[Any], column: str, processor: Callable[..., Any] | None, model_config: Any = None
) -> Tensor:
    """The images of a column, finished or not, as `(batch, channels, height, width)`."""
    return stack(images) if column == "pixel_values" else process(images, processor, model_config)


def to_pixel_values(images: Any, processor: Callable[..., Any] | None, model_config: Any = None) -> Tensor:
    """One image or several (PIL, or tensors that are left as they are) as `(batch, channels, height, width)`."""
    if isinstance(images, Tensor):
        return images if images.ndim == 4 else images.unsqueeze(0)
    images = list(images) if isinstance(images, list | tuple) else [images]
    return stack(images) if isinstance(images[0], Tensor) else process(images, processor, model_config)
