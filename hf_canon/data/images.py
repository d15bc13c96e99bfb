"""From the images of a data set to the tensors that a predictor takes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import ImageOps
from torch import Tensor

MODES = {1: "L", 3: "RGB", 4: "RGBA"}
"""PIL's name for images of so many channels."""


def image_mode(model_config: Any) -> str:
    """The PIL mode of the images that a checkpoint takes; RGB unless its configuration says otherwise."""
    return MODES.get(getattr(model_config, "num_channels", None) or 3, "RGB")


def image_column(item: Mapping[str, Any]) -> str:
    """The name under which an item of a data set holds its image."""
    for name in ("pixel_values", "image", "img"):
        if name in item:
            return name
    images = [name for name, value in item.items() if hasattr(value, "convert")]
    if len(images) == 1:
        return images[0]
    columns = ", ".join(repr(name) for name in item)
    found = "no image" if not images else f"{len(images)} images"
    raise ValueError(f"There is {found} among the columns {columns}; name the right one 'image' or 'pixel_values'.")


def class_numbers(features: Any, column: str | None, model_config: Any) -> list[int] | None:
    """The model's number for each class of a data set; None where only the order can be meant.

    A folder of images numbers its classes by the alphabet, and a checkpoint as it was trained.

    Args:
        features: what `datasets` knows of the columns.
        column: of labels.
        model_config: names the model's classes.

    Raises:
        ValueError: the model knows some of the names and not the others.
    """
    names = getattr((features or {}).get(column), "names", None) or []
    known = getattr(model_config, "label2id", None) or {}
    strangers = [name for name in names if name not in known]
    if 0 < len(strangers) < len(names):
        raise ValueError(
            f"The data set and the model share some class names, but the model has no {strangers[0]!r}; "
            "rename the classes of the data set to those of the model."
        )
    return [int(known[name]) for name in names] if names and not strangers else None


def to_pixel_values(images: Any, processor: Callable[..., Any] | None, model_config: Any = None) -> Tensor:
    """One image or several (PIL, or tensors that are left as they are) as `(batch, channels, height, width)`."""
    if isinstance(images, Tensor):
        return images if images.ndim == 4 else images.unsqueeze(0)
    images = list(images) if isinstance(images, list | tuple) else [images]
    if isinstance(images[0], Tensor):
        return stack(images)
    return process(images, processor, model_config)


def process(images: Sequence[Any], processor: Callable[..., Any] | None, model_config: Any = None) -> Tensor:
    """PIL images through the checkpoint's processor, phone photos set upright by their EXIF orientation first."""
    if processor is None:
        raise ValueError(
            "These are images, and there is no processor to prepare them: pass the checkpoint's own, "
            "AutoImageProcessor.from_pretrained(...)."
        )
    mode = image_mode(model_config)
    upright = [
        ImageOps.exif_transpose(image).convert(mode) if hasattr(image, "convert") else image for image in images
    ]
    return torch.as_tensor(processor(images=upright, return_tensors="pt")["pixel_values"])


def stack(images: Sequence[Any]) -> Tensor:
    tensors = [image if isinstance(image, Tensor) else torch.as_tensor(np.asarray(image)) for image in images]
    shapes = {tuple(tensor.shape) for tensor in tensors}
    if len(shapes) > 1:
        raise ValueError(f"The images have different shapes, {shapes}; resize them to one size, or use batch_size=1.")
    return torch.stack(tensors).float()


def broken_because(error: BaseException) -> str:
    """Why PIL refused an image, without the name or the memory address in its message."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file."
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image, or is damaged."
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."
