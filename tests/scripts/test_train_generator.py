"""The command that learns a distribution from images or clips."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import train_generator
from PIL import Image

from hf_canon.generative import InvariantGenerator

SMALL = ["--group", "c4", "--shape", "1", "8", "8", "--width", "4", "--latent_size", "4", "--batch_size", "4"]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(6):
        Image.linear_gradient("L").rotate(90 * i).resize((9 + i, 12)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def pushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    monkeypatch.setattr(InvariantGenerator, "push_to_hub", lambda self, name: names.append(name))
    return names


def command(monkeypatch: pytest.MonkeyPatch, data: Path, out: Path, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--data", str(data), "--output_dir", str(out), *SMALL, *words])
    train_generator.main()


@pytest.mark.covering()
@pytest.mark.parametrize("invariance", ["orbit", "convolution", "canonical", "none"])
def test_it_learns_goes_on_and_pushes(
    invariance: str, images: Path, tmp_path: Path, pushed: list[str], monkeypatch: Any, capsys: Any
) -> None:
    out = tmp_path / "out"
    command(monkeypatch, images, out, "--steps", "2", "--invariance", invariance)
    assert f"2 steps; the samples are in {out}/samples.png." in capsys.readouterr().out and not pushed
    command(monkeypatch, images, out, "--steps", "3", "--invariance", invariance, "--push_to_hub", "me/distribution")
    assert "3 steps" in capsys.readouterr().out and pushed == ["me/distribution"]
    assert InvariantGenerator.from_pretrained(out).sample(2).shape == (2, 1, 8, 8)
    assert (out / "samples.png").is_file() and (out / "checkpoint-3").is_dir()


def test_what_has_gone_wrong_is_said_and_not_pushed(
    images: Path, tmp_path: Path, pushed: list[str], monkeypatch: Any
) -> None:
    words = ["--symmetry", "none", "--steps", "100", "--logging_steps", "2", "--push_to_hub", "me/distribution"]
    with pytest.raises(SystemExit, match="train_generator.py: The training shows collapse at step .*, so symmetrize"):
        command(monkeypatch, images, tmp_path / "out", *words)
    assert not pushed
    assert InvariantGenerator.from_pretrained(tmp_path / "out").sample(2).isfinite().all()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--group", "c5", "--symmetry", "features"], "Take symmetry='output'"),
        (["--steps", "0"], "steps is counted from 1 on"),
        (["--invariance", "all"], "There is no invariance 'all'"),
    ],
)
def test_mistakes_are_told_in_a_sentence(
    words: list[str], sentence: str, images: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    with pytest.raises(SystemExit, match=f"train_generator.py: .*{sentence}"):
        command(monkeypatch, images, tmp_path / "out", *words)
    assert not (tmp_path / "out").exists()


def test_other_networks_than_those_of_the_folder_are_refused(images: Path, tmp_path: Path, monkeypatch: Any) -> None:
    command(monkeypatch, images, tmp_path / "out", "--steps", "2")
    before = torch.cat([one.flatten() for one in InvariantGenerator.from_pretrained(tmp_path / "out").parameters()])
    with pytest.raises(SystemExit, match="is of another generator or critic than these"):
        command(monkeypatch, images, tmp_path / "out", "--steps", "3", "--width", "6")
    after = torch.cat([one.flatten() for one in InvariantGenerator.from_pretrained(tmp_path / "out").parameters()])
    assert torch.equal(before, after)
