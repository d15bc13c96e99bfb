"""Tiny checkpoints behind canonicalizers, calibrated; images and clips on disk; and the demo itself, running."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from audio_models import tiny_audio_model
from images import images
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil, Wav2Vec2FeatureExtractor

from hf_canon import CanonicalizedModel, calibrate
from hf_canon.demo import Offered
from hf_canon.demo.checkpoints import Checkpoints, Opened

CLASSES = ("bird", "cat", "dog")
SIZE = 32
RATE = 16_000


def draw(seed: int, side: int = 64) -> Image.Image:
    x = images(1, side, seed=seed)[0]
    return Image.fromarray((x * 60 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy())


def sing(seed: int, seconds: float = 0.6) -> np.ndarray:
    """A melody that differs from itself backwards."""
    rng = np.random.default_rng(seed)
    moments = np.arange(round(seconds * RATE)) / RATE
    pitch = 2 ** np.interp(moments, np.linspace(0, seconds, 6), rng.uniform(7.5, 9.5, 6))
    return (0.4 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE) * np.exp(-moments)).astype(np.float32)


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of images behind an orbit over d4, calibrated."""
    folder = tmp_path_factory.mktemp("images")
    torch.manual_seed(0)
    config = ViTConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16, image_size=SIZE,
        patch_size=8, initializer_range=0.5, id2label=dict(enumerate(CLASSES)),
        label2id={name: index for index, name in enumerate(CLASSES)},
    )  # fmt: skip
    processor = ViTImageProcessorPil(size={"height": SIZE, "width": SIZE})
    ViTForImageClassification(config).save_pretrained(folder / "checkpoint")
    processor.save_pretrained(folder / "checkpoint")
    model = CanonicalizedModel.wrap(folder / "checkpoint", group="d4")
    calibrate(model, [{"pixel_values": one} for one in images(60, SIZE)], alpha=0.2, harm=0.3)
    model.save_pretrained(folder / "adapter")
    processor.save_pretrained(folder / "adapter")
    return folder / "adapter"


@pytest.fixture(scope="session")
def audio_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier of waveforms behind an orbit over reverse*polarity, calibrated."""
    folder = tmp_path_factory.mktemp("clips")
    torch.manual_seed(0)
    extractor = Wav2Vec2FeatureExtractor(return_attention_mask=True)
    tiny_audio_model().save_pretrained(folder / "checkpoint")
    extractor.save_pretrained(folder / "checkpoint")
    model = CanonicalizedModel.wrap(folder / "checkpoint", group="reverse*polarity", canonicalizer="orbit")
    calibrate(model, [{"audio": sing(seed)} for seed in range(40)], alpha=0.2, harm=0.3, processor=extractor)
    model.save_pretrained(folder / "adapter")
    extractor.save_pretrained(folder / "adapter")
    return folder / "adapter"


@pytest.fixture(scope="session")
def opened(adapter: Path) -> Opened:
    return Checkpoints(Offered((str(adapter),))).open(str(adapter))


@pytest.fixture(scope="session")
def opened_audio_model(audio_model: Path) -> Opened:
    return Checkpoints(Offered((str(audio_model),))).open(str(audio_model))


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images for each class."""
    folder = tmp_path_factory.mktemp("photos")
    for index, name in enumerate(CLASSES):
        (folder / name).mkdir()
        for number in range(4):
            draw(10 * index + number).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="session")
def melodies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("melodies")
    for number in range(4):
        soundfile.write(folder / f"melody{number}.wav", sing(number), RATE)
    return folder


@pytest.fixture(scope="session")
def demo(
    adapter: Path, audio_model: Path, photos: Path, melodies: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The address of `hf-canon demo`, as a user starts it, as strangers reach it, with tools for agents."""
    files = tmp_path_factory.mktemp("files")
    words = [adapter, audio_model, "--data", photos, "--clips", melodies, "--host", "0.0.0.0", "--mcp"]
    with running([str(word) for word in words], files) as url:
        yield url


class running:
    """A demo that runs while the block does; its files are kept in a folder of its own."""

    def __init__(self, words: list[str], files: Path):
        self.words, self.files = words, files

    def __enter__(self) -> str:
        with socket.socket() as free:
            free.bind(("", 0))
            port = free.getsockname()[1]
        self.log = (self.files / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "hf_canon", "demo", *self.words, "--port", str(port)],
            stdout=self.log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GRADIO_TEMP_DIR": str(self.files / "uploads"), "OMP_NUM_THREADS": "1"},
        )
        for _ in range(1200):
            text = Path(self.log.name).read_text()
            if re.search(rf"The demo is at http://\S+:{port}.*Ctrl-C", text, re.DOTALL):
                return f"http://127.0.0.1:{port}"
            assert self.process.poll() is None, text
            time.sleep(0.1)
        raise AssertionError(text)

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(30)
        self.log.close()
