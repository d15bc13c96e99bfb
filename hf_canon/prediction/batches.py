"""From rows to batches, and from batches to answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..data.errors import broken_because
from ..data.images import open_image, process
from ..modeling_canonicalized import CanonicalizedModel
from .rows import Row


@dataclass(frozen=True)
class Batch:
    """Rows that are ready to be answered.

    Args:
        start: position of the first in the data set.
        rows: what is kept of each, with its `index` and `error`.
        pixel_values: of the rows without error, in order, `(images, channels, height, width)`: all together if they
            have one size, and else each alone.
    """

    start: int
    rows: list[Row]
    pixel_values: list[Tensor]


class Preparation(Dataset):
    """Makes a batch from the key of one; in the processes of a `DataLoader`, where it has any.

    Args:
        read: from the key of a batch to its position and rows.
        image: the column of images.
        kept: the columns to keep.
        processor: makes `pixel_values`.
        model: says what images it takes, and what group acts on them.
    """

    def __init__(
        self,
        read: Callable[[Any], tuple[int, list[Row]]],
        image: str,
        kept: list[str],
        processor: Callable[..., Any],
        model: CanonicalizedModel,
    ):
        self.read = read
        self.image = image
        self.kept = kept
        self.processor = processor
        self.model_config = model.predictor.config
        self.group = model.group

    def __getitem__(self, key: Any) -> Batch:
        start, found = self.read(key)
        rows, images = [], []
        for index, row in enumerate(found, start):
            pixel_values, error = self.prepare(row[self.image])
            kept = {name: file_name(row[name]) if name == self.image else row[name] for name in self.kept}
            rows.append({"index": index, **kept, "error": error})
            if pixel_values is not None:
                images.append(pixel_values)
        together = len({image.shape for image in images}) == 1
        return Batch(start, rows, [torch.cat(images)] if together else images)

    def prepare(self, image: Any) -> tuple[Tensor | None, str | None]:
        """`(1, channels, height, width)` and None, or None and why."""
        try:
            pixel_values = process([open_image(image)], self.processor, self.model_config)
        except Exception as error:  # decoders raise anything; that the processor works with images was tried before
            return None, f"The image cannot be read: {broken_because(error)}"
        try:
            self.group.check_shape(pixel_values.shape)
        except ValueError as misfit:  # what the processor makes of this image
            return None, str(misfit)
        return pixel_values, None


def file_name(value: Any) -> str | None:
    """The name under which the image in a row is known, if it has one."""
    if isinstance(value, dict):
        return value["path"]
    return value if isinstance(value, str) else getattr(value, "filename", None) or None


def answer(model: CanonicalizedModel, batch: Batch) -> list[Row]:
    """The rows of a batch with their answers."""
    found = chain.from_iterable(answers_to(model, pixel_values) for pixel_values in batch.pixel_values)
    return [row if row["error"] is not None else row | next(found) for row in batch.rows]


def answers_to(model: CanonicalizedModel, pixel_values: Tensor) -> Iterator[Row]:
    with torch.inference_mode():
        out = model(pixel_values=pixel_values.to(model.device, model.dtype))
        probability, label = out.logits.float().softmax(-1).max(-1)
    element = out.canonicalization.element
    names: dict[Any, str] = model.config.id2label or {}
    number = "element_index" if model.group.finite else "element_angle"
    sure, actions = out.canonicalization.confidence.tolist(), out.canonicalization.actions
    columns = (label.tolist(), probability.tolist(), element.tolist(), sure, actions)
    for best, likely, pose, certain, action in zip(*columns, strict=True):
        yield {
            "label": names[best],
            "probability": likely,
            "element": model.group.describe(pose),
            number: pose,
            "pose_probability": certain,
            "action": action,
        }
