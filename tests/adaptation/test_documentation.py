"""The code of docs/comodulation.md runs as it is printed."""

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from adaptation.models import VIT, make
from images import images
from transformers import AutoModelForImageClassification

from hf_canon.adaptation import Comodulation

PAGE = (Path(__file__).parents[2] / "docs/comodulation.md").read_text()


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    make("vit")[0].save_pretrained(tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    x = images(16, 32)
    data = [{"pixel_values": one, "labels": index % 2} for index, one in enumerate(x)]
    names: dict[str, Any] = {"checkpoint": "./checkpoint", "x": x, "birds": data, "food": data[::-1]}
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 2
    with warnings.catch_warnings():  # the public defaults of Trainer are the reader's own affair
        warnings.simplefilter("ignore")
        exec(compile(blocks[0], "comodulation.md", "exec"), names)
        plain = names["model"].eval()
        exec(compile(blocks[1], "comodulation.md", "exec"), names)
    assert (
        len(re.findall(r"^vit.layers.\d 32 0\.\d+ \w+$", capsys.readouterr().out, re.MULTILINE))
        == VIT.num_hidden_layers
    )
    loaded = Comodulation.of(plain)
    assert loaded.tasks == ["birds", "food"] and loaded.task == "birds"
    bare = AutoModelForImageClassification.from_pretrained("./checkpoint")
    with torch.inference_mode():
        assert not torch.equal(plain(x).logits, bare(x).logits)  # it was trained, saved, taken off and loaded
    assert (names["tasks"].read_out_gain() != 1).any() and names["tasks"].task == "left"
