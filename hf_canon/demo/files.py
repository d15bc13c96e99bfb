"""Pictures and sounds on their way to a visitor.

gradio copies what has a path to a place of its own, whole, and once where two answers are alike. Pictures and sounds
without one it writes where they are read, again for each answer, and a browser that is reading then gets half of one.
"""

import time
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from uuid import uuid4
from weakref import finalize

import numpy as np
import soundfile
from PIL import Image

COPIED = 60
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

    def picture(self, picture: Image.Image) -> str:
        """The path of a picture, without loss."""
        path = self._path("webp")
        picture.save(path, lossless=True, method=0)
        return str(path)

    def sound(self, sound: "np.ndarray[tuple[int], np.dtype[np.float32]]", rate: int) -> str:
        """The path of a sound, as loud as it is."""
        path = self._path("wav")
        soundfile.write(path, sound, rate, subtype="PCM_16")
        return str(path)

    def _path(self, suffix: str) -> Path:
        for old in self._folder.iterdir():
            if time.time() - old.stat().st_mtime > COPIED:
                old.unlink(missing_ok=True)
        return self._folder / f"{uuid4().hex}.{suffix}"
