"""From examples of a data set to the tensors that a predictor takes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from PIL import Image, ImageOps
from torch import Tensor

IMAGE_COLUMNS = ("image", "img", "picture", "pixel_values")
LABEL_COLUMNS = ("label", "labels")


class PictureCollator:
    """Makes a batch `{"pixel_values": (batch, channels, height, width), "labels": (batch,)}` from examples.

    Examples hold a PIL image (or `pixel_values`) and perhaps a label, under the names that data sets use. A phone photo is
    first set upright by its EXIF orientation.

    Args:
        processor: the checkpoint's image processor; not needed for examples that hold `pixel_values`.

    Raises:
        ValueError: an example has no image, or an image and there is no processor.
    """

    def __init__(self, processor: Any = None):
        self.processor = processor

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
        first = examples[0]
        column = next((name for name in IMAGE_COLUMNS if name in first), None)
        if column is None:
            raise ValueError(
                f"These examples have the columns {', '.join(first)}, and none of {', '.join(IMAGE_COLUMNS)}. "
                "Rename the column that holds the pictures."
            )
        pictures = [example[column] for example in examples]
        batch = {"pixel_values": self.pixel_values(pictures)}
        label = next((name for name in LABEL_COLUMNS if name in first), None)
        if label is not None and first[label] is not None:
            batch["labels"] = torch.tensor([int(example[label]) for example in examples])
        return batch

    def pixel_values(self, pictures: Sequence[Any]) -> Tensor:
        """`(batch, channels, height, width)` from PIL images or from tensors."""
        if not isinstance(pictures[0], Image.Image):
            return torch.stack([torch.as_tensor(picture) for picture in pictures])
        if self.processor is None:
            raise ValueError("These examples hold images. Pass the checkpoint's processor as processing_class=.")
        upright = [ImageOps.exif_transpose(picture) for picture in pictures]
        values: Tensor = self.processor(upright, return_tensors="pt")["pixel_values"]
        return values
