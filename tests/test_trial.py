"""The plan of a trial: its code runs as it is printed, and its arithmetic is right."""

import re
from pathlib import Path

import pytest
import torch
from images import images
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from hf_canon import CanonicalizedModel, calibrate
from hf_canon.calibration.calibrate import FITTED, require_bounds
from hf_canon.cli import build_parser

TRIAL = (Path(__file__).parent.parent / "docs/trial.md").read_text()


def test_its_code_runs_and_off_is_the_checkpoint_to_the_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    tiny = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    ViTForImageClassification(tiny).save_pretrained(tmp_path / "checkpoint")
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    processor.save_pretrained(tmp_path / "checkpoint")
    model = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="d4")
    calibrate(model, [{"pixel_values": x} for x in images(40, 32)], alpha=0.1, harm=0.1)
    model.config.decision = "abstain"
    model.save_pretrained(tmp_path / "adapter")
    processor.save_pretrained(tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", TRIAL, re.DOTALL):
        exec(compile(block, "trial.md", "exec"), names)
    for x in images(5, 40):
        image = Image.fromarray((x * 40 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy())
        acted_on, flagged, agree = names["answer"](image)
        with torch.inference_mode():
            assert torch.equal(acted_on.logits, names["answer_as_before"](image).logits)
        assert len(flagged) == 1 and isinstance(agree, bool)
        assert names["is_off"](image)


def test_its_commands_are_commands() -> None:
    lines = re.findall(r"^hf-canon .*$", TRIAL, re.MULTILINE)
    assert len(lines) == 6
    for line in lines:
        build_parser().parse_args(line.split()[1:])


@pytest.mark.parametrize(("harm", "said"), [(0.01, "131 for 1 %"), (0.05, "25 for 5 %")])
def test_its_numbers_are_enough(harm: float, said: str) -> None:
    assert said in TRIAL
    number = int(said.split()[0])
    assert number - number // FITTED >= require_bounds(0.5, harm) > number - 1 - (number - 1) // FITTED
