"""The code of docs/quadratic.md runs as it is printed."""

import re
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from images import images
from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification

from hf_canon.adaptation import QuadraticLift

PAGE = (Path(__file__).parents[2] / "docs/quadratic.md").read_text()


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTForImageClassification(tiny).save_pretrained(tmp_path / "checkpoint")
    monkeypatch.chdir(tmp_path)
    x = images(2, 32)
    names: dict[str, Any] = {
        "checkpoint": "./checkpoint",
        "data": [{"pixel_values": one, "labels": index} for index, one in enumerate(x)],
        "x": x,
    }
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == 3
    with warnings.catch_warnings():  # the public defaults of Trainer are the reader's own affair
        warnings.simplefilter("ignore")
        for block in blocks:
            exec(compile(block, "quadratic.md", "exec"), names)
    bare = AutoModelForImageClassification.from_pretrained("./checkpoint")
    with torch.inference_mode():
        lifted = names["vit"].eval()(x).logits
        assert not torch.equal(lifted, bare(x).logits)  # it was trained, saved, taken off and loaded
    assert QuadraticLift.of(names["model"]).rank == 4
