"""Images and clips on their way to a visitor.

gradio copies what has a path to a place of its own, whole, and once where two answers are alike. Images and clips
without one it writes where they are read, again for each answer, and a browser that is reading then gets half of one.
"""

import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from threading import Lock, Timer
from uuid import uuid4
from weakref import finalize

import numpy as np
import soundfile
from PIL import Image

COPIED = 20.0
"""Seconds after which a file has long been copied."""


def temporary_folder(owner: object) -> Path:
    """A new folder that is there as long as its owner is."""
    folder = mkdtemp(prefix="hf-canon-demo-")
    finalize(owner, rmtree, folder, ignore_errors=True)
    return Path(folder)


class Files:
    """Writes them, and removes those that have been copied."""

    def __init__(self) -> None:
        self._folder = temporary_folder(self)
        self._lock = Lock()
        self._broom: Timer | None = None

    def image(self, image: Image.Image) -> str:
        """The path of an image, without loss."""
        path = self._path("webp")
        image.save(path, lossless=True, method=0)
        return str(path)

    def audio(self, audio: "np.ndarray[tuple[int], np.dtype[np.float32]]", rate: int) -> str:
        """The path of an audio clip, as loud as it is."""
        path = self._path("wav")
        soundfile.write(path, audio, rate, subtype="PCM_16")
        return str(path)

    def _path(self, suffix: str) -> Path:
        with self._lock:
            if self._broom is None:
                self._sweep_later()
        return self._folder / f"{uuid4().hex}.{suffix}"

    def _sweep_later(self) -> None:
        self._broom = Timer(COPIED, self._sweep)
        self._broom.daemon = True
        self._broom.start()

    def _sweep(self) -> None:
        """Only one of these runs at a time."""
        left = 0
        for path in self._folder.glob("*"):
            if time.time() - path.stat().st_mtime > COPIED:
                path.unlink()
            else:
                left += 1
        with self._lock:
            self._broom = None
            if left:
                self._sweep_later()
