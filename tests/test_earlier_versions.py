"""What version 0.1.0 saved, before its names were those of the field, is loaded to the bit: `earlier/0.1.0`.

Tiny random checkpoints behind canonicalizers, each saved with its predictor and its answers; reports; and a generator.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hf_canon import CanonicalizedModel
from hf_canon.generative import InvariantGenerator
from hf_canon.reports import AuditReport, RobustnessReport, ShiftReport

SAVED = Path(__file__).parent / "earlier/0.1.0"
ANSWERS = json.loads((SAVED / "answers.json").read_text())
INPUTS = {
    "images": ("pixel_values", (3, 3, 16, 16)),
    "lifted": ("pixel_values", (3, 3, 16, 16)),
    "waveforms": ("input_values", (2, 4000)),
    "spectrograms": ("input_features", (2, 80, 40)),
}


@pytest.mark.parametrize("name", INPUTS)
def test_adapters_load_to_the_bit_and_answer_as_they_did(name: str, tmp_path: Path) -> None:
    model = CanonicalizedModel.from_pretrained(SAVED / name)
    argument, shape = INPUTS[name]
    x = torch.rand(*shape, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        assert torch.allclose(model(**{argument: x}).logits, torch.tensor(ANSWERS[name]), atol=1e-5)
    model.save_pretrained(tmp_path, full=True)
    before, after = (load_file(folder / "model.safetensors") for folder in (SAVED / name, tmp_path))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert CanonicalizedModel.from_pretrained(tmp_path).group == model.group


def test_what_was_calibrated_chosen_and_trained_on_is_kept() -> None:
    config = CanonicalizedModel.from_pretrained(SAVED / "images").config
    assert config.decision == "conformal" and config.calibration["items"] == 30
    assert config.training == {"data": {"examples": 7}} and config.group == "d4*channels"
    assert set(CanonicalizedModel.from_pretrained(SAVED / "lifted").config.predictor_attachments) == {"quadratic_lift"}


def test_reports_load_with_the_words_of_today() -> None:
    found = RobustnessReport.load(SAVED / "images/robustness.json")
    assert found.items == 8 and str(found) and found.diagnosis is not None
    assert AuditReport.load(SAVED / "audit.json").items == 40
    assert ShiftReport.load(SAVED / "shift.json").permutations == 99


def test_a_generator_draws_what_it_drew() -> None:
    generator = InvariantGenerator.from_pretrained(SAVED / "generator").eval()
    drawn = generator.sample(1, torch.Generator().manual_seed(0)).flatten()[:8]
    assert torch.allclose(drawn, torch.tensor(ANSWERS["generator"]), atol=1e-5)
