"""Samples to learn from: images and clips of any data set, at the size that a generator makes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..data.audio import samples
from ..data.columns import image_column
from ..data.images import MODES, upright
from ..groups import Images, Kind, Waveforms
from ..predictors.inputs import INPUT_NAMES

PRIME = 1_000_003
EIGHT_BITS = ("1", "L", "P", "LA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB")
"""Modes of PIL whose values have a range that everybody knows."""


class Samples(Dataset[Tensor]):
    """A data set as tensors `(*shape,)`.

    Args:
        dataset: a sequence of dicts with an `image` (of any size; its shorter side is fitted, and the middle is
            taken), with finished `pixel_values`, `input_values` or `input_features`, or with `audio`; or a tensor
            `(n, *shape)`.
        shape: of one sample.
        kind: what their numbers mean; anything, if None.

    Raises:
        ValueError: it has no length, or fewer than two items; or an item has other values than such samples.
    """

    def __init__(self, dataset: Any, shape: Sequence[int], kind: Kind | None = None):
        self.dataset = torch.from_numpy(dataset) if isinstance(dataset, np.ndarray) else dataset
        self.shape, self.kind = tuple(shape), kind
        if isinstance(dataset, Mapping | str) or not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise ValueError(
                f"Samples are drawn in any order from a data set with a length, and this is a "
                f"{type(dataset).__name__}. Pass a datasets.Dataset, a list of dicts, or a tensor."
            )
        if len(dataset) < 2:
            raise ValueError(f"A distribution cannot be learned from {len(dataset)} samples. Give some tens, or more.")
        self[0]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        item = self.dataset[index]
        values = item if isinstance(item, Tensor) else self._read(item)
        if tuple(values.shape) != self.shape:
            raise ValueError(
                f"Sample {index} is {tuple(values.shape)}, and the generator makes {self.shape}. "
                f"{self._remedy(tuple(values.shape))}"
            )
        values = values.float()
        if not values.isfinite().all():
            raise ValueError(f"Sample {index} holds numbers that are not finite. Remove it, or fix it.")
        self._check_range(index, values)
        return values

    def _remedy(self, shape: tuple[int, ...]) -> str:
        """For samples of another shape."""
        if len(self.shape) == 3 and len(shape) == 2:
            return "Images are (channels, height, width): give them a channel, with x.unsqueeze(1)."
        if len(self.shape) == 3 and len(shape) == 3 and shape[0] not in MODES and shape[2] in MODES:
            return "Images are (channels, height, width): bring channels to the front, with x.permute(0, 3, 1, 2)."
        return f"Give GeneratorConfig(shape={shape}), or other data."

    def _check_range(self, index: int, values: Tensor) -> None:
        if not isinstance(self.kind, Images | Waveforms):
            return
        lowest, highest = (0.0, 1.0) if isinstance(self.kind, Images) else (-1.0, 1.0)
        low, high = float(values.min()), float(values.max())
        if low < lowest - 1e-3 or high > highest + 1e-3:
            raise ValueError(
                f"Sample {index} has values from {low:g} to {high:g}, and {self.kind.noun} are learned from "
                f"{lowest:g} to {highest:g}. Give the images or clips themselves, or undo their normalization."
            )

    def _read(self, item: Any) -> Tensor:
        if not isinstance(item, Mapping):
            raise ValueError(
                f"An item of the data set is a {type(item).__name__}, and has to be a dict with an 'image', "
                "'pixel_values' or 'audio', or a tensor."
            )
        ready = next((name for name in INPUT_NAMES if name in item), None)
        if ready is not None:
            return torch.as_tensor(item[ready])
        if isinstance(self.kind, Waveforms):
            if "audio" not in item:
                raise ValueError(f"None of the columns {', '.join(item)} is called 'audio'. Rename that with audio.")
            return self._audio(item["audio"], self.kind.sampling_rate)
        return self._image(item[image_column(item)])

    def _image(self, image: Any) -> Tensor:
        if isinstance(image, np.ndarray | Tensor):
            return torch.as_tensor(image)
        channels, height, width = self.shape
        if not isinstance(image, Image.Image) or image.mode not in EIGHT_BITS or channels not in MODES:
            what = f"an image of mode {image.mode!r}" if isinstance(image, Image.Image) else f"{type(image).__name__}"
            raise ValueError(
                f"An image of the data set is {what}, and images of 1, 3 or 4 channels are made from those of 8 "
                "bits. Convert it first."
            )
        fitted = ImageOps.fit(upright(image, MODES[channels]), (width, height))
        values = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
        return values.view(height, width, channels).permute(2, 0, 1) / 255

    def _audio(self, audio: Any, rate: int) -> Tensor:
        """The first samples of an audio clip; silence follows one that is too short."""
        values, length = torch.from_numpy(samples(audio, rate)), math.prod(self.shape)
        return F.pad(values[:length], (0, max(length - len(values), 0)))


class Draws(Sampler[list[int]]):
    """Batches drawn with replacement, the same at every step of a training wherever it is resumed.

    Args:
        samples: how many there are to draw from.
        batch_size: of a batch.
        batches: which numbers of batches are wanted.
        seed: of the training, and `process` the number of one of several, which draw differently.
    """

    def __init__(self, samples: int, batch_size: int, batches: range, seed: int, process: int):
        self.samples, self.batch_size, self.batches = samples, batch_size, batches
        self.seed, self.process = seed, process

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.batches:
            generator = torch.Generator().manual_seed(((self.seed * PRIME + self.process) * PRIME + batch) % 2**63)
            yield torch.randint(self.samples, (self.batch_size,), generator=generator).tolist()
