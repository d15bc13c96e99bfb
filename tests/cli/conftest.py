"""Small real inputs: a tiny checkpoint with its processor, an adapter for it, and folders of images."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor

from hf_canon import CanonicalizedModel
from hf_canon.cli import main

SIZE = 32
CLASSES = ("bird", "cat", "dog")


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run `hf-canon` in this process, and return its exit code and what it printed."""

    def run_main(*words: str | Path) -> Outcome:
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as exit:  # argparse answers wrong flags and --help by itself
            code = int(exit.code or 0)
        return Outcome(code, *capsys.readouterr())

    return run_main


@pytest.fixture
def refuses(run: Callable[..., Outcome]) -> Callable[..., str]:
    """Run `hf-canon`, check that it refuses with one sentence and no traceback, and return the sentence."""

    def refused(*words: str | Path) -> str:
        code, _, err = run(*words)
        assert code == 2
        assert "Traceback" not in err
        sentences = [line for line in re.split(r"[\r\n]", err) if line.startswith("hf-canon ")]
        assert len(sentences) == 1, err
        assert sentences[0].startswith(f"hf-canon {words[0]}: ")
        return sentences[0]

    return refused


def save_checkpoint(folder: Path, processor: ViTImageProcessor) -> Path:
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
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    processor = ViTImageProcessor(size={"height": SIZE, "width": SIZE})
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint"), processor)


@pytest.fixture(scope="session")
def adapter(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("adapter")
    CanonicalizedModel.wrap(checkpoint, group="c8", canonicalizer="orbit").save_pretrained(folder)
    ViTImageProcessor.from_pretrained(checkpoint).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def text_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertConfig, BertForSequenceClassification

    folder = tmp_path_factory.mktemp("text")
    config = BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def draw(seed: int, width: int = 40, height: int = 40) -> Image.Image:
    """A smooth random image, bright at its top: it has a right way up."""
    coarse = np.random.default_rng(seed).integers(0, 160, (4, 4, 3), dtype=np.uint8)
    coarse[0] += 90
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def save_class_folders(folder: Path, each: int) -> Path:
    """`each` images in a folder for every class of the checkpoint."""
    for index, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            draw(100 * index + number).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def image() -> Callable[..., Image.Image]:
    return draw


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return save_class_folders(tmp_path / "photos", each=4)


@pytest.fixture(scope="session")
def oblong_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose processor makes images that are wider than high."""
    processor = ViTImageProcessor(size={"height": SIZE, "width": 2 * SIZE})
    return save_checkpoint(tmp_path_factory.mktemp("oblong"), processor)
