"""Example images and clips: those that the operator names, or else those that gradio brings along."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from PIL import Image

from ..data.columns import image_column_of, label_column_of
from ..data.images import open_image
from ..data.labels import class_names
from ..data.named import files_in, load_rows
from .offered import Offered

SPLITS = ("test", "validation", "train")
MOST = 200
"""Examples that are gone through."""
SHOWN = 8
"""Examples that are offered to choose from."""
SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")
OWN_IMAGES = ("cheetah1.jpg", "lion.jpg", "tower.jpg")
"""Photographs of gradio's."""
OWN_CLIPS = ("audio_sample.wav", "cantina.wav", "recording1.wav")


Content = TypeVar("Content", Image.Image, Path)


@dataclass(frozen=True)
class Example(Generic[Content]):
    """An image or an audio clip.

    Args:
        name: of it.
        content: an image, or the path of an audio clip.
        label: the name of its class, where it is known.
    """

    name: str
    content: Content
    label: str | None


class Examples:
    """What a demo has to show.

    Args:
        offered: names where they come from.
    """

    def __init__(self, offered: Offered):
        self.offered = offered

    @cached_property
    def _rows(self) -> Any:
        assert self.offered.images is not None
        return load_rows(self.offered.images, None, SPLITS)

    def images(self, most: int = MOST) -> "Lazy[Image.Image]":
        """Images, those of different classes in turns.

        Raises:
            ValueError: there are none where the operator said.
        """
        if self.offered.images is None:
            return Lazy([partial(photograph, media(name)) for name in OWN_IMAGES[:most]])
        rows = self._rows
        image, label = image_column_of(rows, self.offered.images), label_column_of(rows)
        names = class_names(rows.features, label)
        classes = list(rows[label]) if label else [None] * len(rows)

        def at(index: int) -> Example[Image.Image]:
            of = classes[index]
            known = None if of is None else names[of] if names else str(of)
            return Example(f"number {index + 1}", rows[index][image], known)

        return Lazy([partial(at, index) for index in in_turns(classes)[:most]])

    def clips(self, most: int = MOST) -> "Lazy[Path]":
        """Clips, those of different classes in turns; an audio clip in a folder of its own has its name for a class.

        Raises:
            ValueError: there are none where the operator said.
        """
        if self.offered.clips is None:
            return Lazy([partial(recording, media(name), None) for name in OWN_CLIPS[:most]])
        folder = Path(self.offered.clips)
        files = files_in(folder, SUFFIXES)
        if not files:
            raise ValueError(f"There is no audio in the folder {self.offered.clips!r} ({', '.join(SUFFIXES)}).")
        classes = [None if path.parent == folder else path.parent.name for path in files]
        return Lazy([partial(recording, files[i], classes[i]) for i in in_turns(classes)[:most]])


class Lazy(Sequence[Example[Content]]):
    """Examples that are read when it is their turn."""

    def __init__(self, makers: list[Callable[[], Example[Content]]]):
        self.makers: list[Callable[[], Example[Content]]] = makers

    def __len__(self) -> int:
        return len(self.makers)

    def __getitem__(self, index: Any) -> Any:
        return self.makers[index]()


def recording(path: Path, label: str | None) -> Example[Path]:
    return Example(path.stem, path, label)


def photograph(path: Path) -> Example[Image.Image]:
    return Example(path.stem, open_image(path).convert("RGB"), None)


def in_turns(classes: list[Any]) -> list[int]:
    """Indices such that classes take turns.

    Example:
        >>> in_turns(["a", "a", "b", "c", "a"])
        [0, 2, 3, 1, 4]
    """
    seen: dict[Any, int] = {}
    turn = []
    for one in classes:
        turn.append(seen.get(one, 0))
        seen[one] = turn[-1] + 1
    first = {one: place for place, one in enumerate(seen)}
    return sorted(range(len(classes)), key=lambda i: (turn[i], first[classes[i]]))


def media(name: str) -> Path:
    """A file that comes with gradio."""
    import gradio

    kind = "images" if name.endswith(("jpg", "png")) else "audio"
    return Path(gradio.__file__).parent / "media_assets" / kind / name
