"""What `python scripts/prepare_offline_assets.py` has built: a function for each asset."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from datasets import Dataset

ASSETS = Path(__file__).resolve().parent.parent / "build/assets"


def digits(split: Literal["train", "calibration", "test"]) -> Dataset:
    """MNIST digits: `image` (28x28, L), `label`, `name`."""
    return _dataset("digits", split)


def small_digits(split: Literal["train", "calibration", "test"]) -> Dataset:
    """Digits of other hands, scanned at another place: `image` (8x8, L), `label`, `name`."""
    return _dataset("small_digits", split)


def stamps(split: Literal["train", "calibration", "test", "excluded"]) -> Dataset:
    """Cut-out images of things, upright on white: `image` (224x224, RGB), `name`, `title`, `taxonomy`, `imagenet`.

    `imagenet` lists the classes that are right answers; it is empty outside `test`. `excluded` holds what is too close
    to a test image to train on.
    """
    return _dataset("stamps", split)


def emoji() -> Dataset:
    """Emoji on white: `image` (224x224, RGB), `name`, `group`."""
    return _dataset("emoji", "train")


def words(split: Literal["train", "calibration", "test", "english"]) -> Dataset:
    """Spoken words: `audio` (float32 samples), `sampling_rate`, `language`, `label`, `word`, `title`, `name`.

    `label` is the language; `title` is the word in English. `english` holds clips in English, without a label, whose
    words may be in any other split.
    """
    return _dataset("words", split)


def notes(split: Literal["train", "calibration", "test", "transposed"]) -> Dataset:
    """Single notes: `audio` (float32 samples), `sampling_rate`, `instrument`, `key` (MIDI), `velocity`, `name`.

    The first three splits share the keys 58 to 64; `transposed` has those up to an octave below and above.
    """
    return _dataset("notes", split)


def photos(canonical_pose: bool = True) -> list[Path]:
    """Real photographs, sorted by name: those with a right way up, or those without one."""
    folder = _asset("photos") if canonical_pose else _asset("photos") / "no_canonical_pose"
    return sorted(path for path in folder.iterdir() if path.is_file())


def checkpoint(name: Literal["efficientnet", "mobilenet", "saliency"]) -> Path:
    """A folder for `from_pretrained`: an ImageNet classifier, a backbone without a head, or a segmenter.

    Import `offline_saliency` before the segmenter is loaded: transformers does not know its architecture.
    """
    return _asset(name)


def speech_checkpoint(name: Literal["transcriber", "language"]) -> Path:
    """A folder for `from_pretrained`: Whisper tiny.en, or its encoder with a head that names the language of `words`.

    The second takes two seconds, which the extractor beside it pads or cuts to.
    """
    return _asset("whisper") / name


def _dataset(name: str, split: str) -> Dataset:
    from datasets import load_from_disk

    return load_from_disk(str(_asset(name)))[split]


def _asset(name: str) -> Path:
    folder = ASSETS / name
    if not folder.is_dir():
        raise FileNotFoundError(
            f"The asset {name!r} is not built yet: run `python scripts/prepare_offline_assets.py --only {name}`."
        )
    return folder
