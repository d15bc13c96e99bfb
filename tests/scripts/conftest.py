"""A tiny checkpoint and a few images, as files that the scripts read."""

import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pytest
import torch
from datasets import Dataset
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

SCRIPTS = Path(__file__).parents[2] / "scripts"
SIZE = 16
# Not in the order of the alphabet, by which a folder of images numbers its classes.
CLASSES = ("dog", "ant", "cat")
LEVELS = range(40, 200, 10)
"""How bright each image is: no two are the same, so that one can tell which of them was seen."""


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """datasets waits for seconds after every epoch of a shuffled parquet stream."""
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIZE,
        patch_size=8,
        id2label=dict(enumerate(CLASSES)),
        label2id={name: index for index, name in enumerate(CLASSES)},
    )
    ViTForImageClassification(config).save_pretrained(folder)
    processor = ViTImageProcessorPil(do_resize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor.save_pretrained(folder)
    return folder


def scene(level: int) -> Image.Image:
    """Light above and dark below, `level` on average."""
    slope = np.linspace(40, -40, SIZE).round()
    slope -= slope.mean()
    rows = (level + slope).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(rows[:, None, None], (SIZE, SIZE, 3)).copy())


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen images in a folder for each class."""
    folder = tmp_path_factory.mktemp("photos")
    for number, level in enumerate(LEVELS):
        place = folder / CLASSES[number % len(CLASSES)]
        place.mkdir(exist_ok=True)
        scene(level).save(place / f"{level}.png")
    return folder


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same images in a parquet file, under names that say nothing."""
    file = tmp_path_factory.mktemp("table") / "images.parquet"
    names = [CLASSES[number % len(CLASSES)] for number in range(len(LEVELS))]
    Dataset.from_dict({"before": [scene(level) for level in LEVELS], "answer": names}).to_parquet(str(file))
    return file


@pytest.fixture
def words(checkpoint: Path, photos: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """The command line of a training of a few steps, with what a test changes."""

    def make(*more: str, **changes: object) -> list[str]:
        settings: dict[str, object] = {
            "checkpoint": checkpoint,
            "data": photos,
            "group": "c4",
            "canonicalizer": "shift",
            "output_dir": tmp_path / "out",
            "max_steps": 2,
            "per_device_train_batch_size": 4,
            "report_to": "none",
            "save_strategy": "no",
            **changes,
        }
        given = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        return [*given, "--use_cpu", "--disable_tqdm", "True", *more]

    return make


@pytest.fixture(scope="session")
def scripts() -> Path:
    assert str(SCRIPTS) in sys.path
    return SCRIPTS
