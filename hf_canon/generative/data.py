"""Samples to learn from: pictures and sounds of any data set, at the size that a generator makes."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from PIL import ImageOps
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from ..inputs import INPUT_NAMES
from ..pictures import image_column

PRIME = 1_000_003
MODES = {1: "L", 3: "RGB", 4: "RGBA"}


class Samples(Dataset[Tensor]):
    """A data set as tensors `(*shape,)`.

    Args:
        dataset: a sequence of dicts with an `image` (any size; its shorter side is fitted, and the middle is taken),
            with finished `pixel_values`, `input_values` or `input_features`, or with `audio`; or a tensor
            `(n, *shape)`.
        shape: of one sample.

    Raises:
        ValueError: it is empty or has no length; or an item has other values than such samples.
    """

    def __init__(self, dataset: Any, shape: Sequence[int]):
        self.dataset, self.shape = dataset, tuple(shape)
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise ValueError(
                "Samples are drawn in any order, and a stream has one order only. Pass a data set with a length."
            )
        if len(dataset) == 0:
            raise ValueError("The data set is empty; there is nothing to learn from.")
        self[0]

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        item = self.dataset[index]
        values = item if isinstance(item, Tensor) else self.read(item)
        if tuple(values.shape) != self.shape:
            raise ValueError(
                f"Sample {index} is {tuple(values.shape)}, and the generator makes {self.shape}. Give "
                f"GeneratorConfig(shape={tuple(values.shape)}), or other data."
            )
        if not values.isfinite().all():
            raise ValueError(f"Sample {index} holds numbers that are not finite. Remove it, or mend it.")
        return values.float()

    def read(self, item: Mapping[str, Any]) -> Tensor:
        ready = next((name for name in INPUT_NAMES if name in item), None)
        if ready is not None:
            return torch.as_tensor(item[ready])
        if "audio" in item:
            return self.sound(item["audio"])
        if len(self.shape) != 3:
            raise ValueError(f"The columns are {', '.join(item)}, and none holds sound. Name one 'audio'.")
        image = ImageOps.exif_transpose(item[image_column(item)])
        if self.shape[0] not in MODES:
            raise ValueError(f"Pictures have 1, 3 or 4 channels, and the generator makes {self.shape[0]}.")
        fitted = ImageOps.fit(image.convert(MODES[self.shape[0]]), (self.shape[2], self.shape[1]))
        values = torch.frombuffer(bytearray(fitted.tobytes()), dtype=torch.uint8)
        return values.view(self.shape[1], self.shape[2], self.shape[0]).permute(2, 0, 1) / 255

    def sound(self, audio: Any) -> Tensor:
        """The first samples of a sound; silence follows one that is too short."""
        values = torch.as_tensor(audio["array"] if isinstance(audio, Mapping) else audio, dtype=torch.float32)
        length = math.prod(self.shape)
        return torch.nn.functional.pad(values[:length], (0, max(length - len(values), 0)))


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
