"""The card says what is known, and nothing else."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from transformers import ViTConfig, ViTForImageClassification

from hf_canon import CanonicalizedModel, evaluate_robustness
from hf_canon.evaluation import RobustnessReport
from hf_canon.hub import AdapterFacts, render_card
from hf_canon.hub.card import is_untouched, results_yaml

BARE = AdapterFacts(
    name="me/vit-d4",
    task="image-classification",
    base=None,
    base_revision=None,
    base_architecture=None,
    group="so2",
    meaning="rotations by any angle",
    elements=None,
    exact=None,
    canonicalizer="shift",
    parameters=89793,
    size=359172,
)


@pytest.fixture(scope="module")
def reports() -> dict[bool, RobustnessReport]:
    """With labels and without."""
    torch.manual_seed(0)
    tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
    model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4")
    items = [{"pixel_values": torch.rand(3, 16, 16), "label": i % 2} for i in range(6)]
    plain = [{"pixel_values": item["pixel_values"]} for item in items]
    return {
        True: evaluate_robustness(model, items, ["c4", 10.0]),
        False: evaluate_robustness(model, plain, "c4", baselines=False),
    }


def full(report: RobustnessReport) -> AdapterFacts:
    return replace(
        BARE,
        base="google/vit-base-patch16-224",
        base_revision="0" * 40,
        base_architecture="ViTForImageClassification",
        group="d4",
        meaning="rotations by multiples of 90°, and mirror images",
        elements=8,
        exact=8,
        peft=("LORA",),
        classes=1000,
        training={
            "data": {"id": "me/photos", "revision": "1" * 40, "split": "train", "examples": 1200},
            "arguments": {"learning_rate": 0.001},
        },
        report=report,
        plot=True,
    )


def test_what_is_unknown_is_left_out() -> None:
    card = render_card(BARE)
    for word in ("None", "unknown", "nan", "huggingface.co", "## Training", "## What it changes", "commit"):
        assert word not in card, word
    matter = yaml.safe_load(card.split("---\n")[1])
    assert set(matter) == {"library_name", "pipeline_tag", "tags"}
    assert "rotations by any angle" in card


def test_what_is_known_is_there(reports: dict[bool, RobustnessReport]) -> None:
    report = reports[True]
    card = render_card(full(report))
    for text in (
        "[google/vit-base-patch16-224](https://huggingface.co/google/vit-base-patch16-224)",
        f"commit `{'0' * 40}`",
        "ViTForImageClassification, 1000 classes",
        "8 elements, 8 of them exact",
        "LORA on the predictor",
        "89,793 numbers, 359 kB",
        "1,200 examples of [me/photos](https://huggingface.co/datasets/me/photos)",
        "- `learning_rate`: 0.001",
        f"- **Upright tax**: {report.upright_tax}; ",
        f"| upright | {100 * report.upright.before.value:.1f} | {100 * report.upright.after.value:.1f} |",
        f"| mean over c4 | {100 * report.sets['c4'].before:.1f} | {100 * report.sets['c4'].after:.1f} |",
        f"{report.cost.latency_ratio:.2f} x the time of the bare checkpoint",
        "](robustness.png)",
    ):
        assert text in card, text
    assert not re.search(r"\n\n\n", card)
    assert "to the bit, " not in card  # the predictor is not the checkpoint's own


@pytest.mark.parametrize("labelled", [True, False])
def test_the_results_can_be_read_by_machines(reports: dict[bool, RobustnessReport], labelled: bool) -> None:
    report = replace(reports[labelled], dataset={"id": "me/photos", "revision": "1" * 40, "split": "test"})
    card = ModelCard(render_card(full(report)))
    assert card.data.base_model == "google/vit-base-patch16-224"
    assert card.data["base_model_relation"] == "adapter"
    assert card.data.datasets == "me/photos"
    values = {result.metric_name: result.metric_value for result in card.data.eval_results or []}
    metric = "accuracy" if labelled else "agreement"
    assert values[f"{metric}, mean over c4, canonicalized"] == round(report.sets["c4"].after, 4)
    assert all(result.dataset_type == "me/photos" for result in card.data.eval_results or [])
    entries = results_yaml(full(report))
    if labelled:
        assert entries is not None
        assert entries[0]["dataset"]["id"] == "me/photos"
        assert entries[0]["value"] == pytest.approx(100 * report.sets["c4"].after, abs=0.01)
    else:  # agreement is no result on that data set
        assert entries is None


@pytest.mark.parametrize(
    ("task", "architecture", "has_pipeline"),
    [
        ("audio-classification", "ASTForAudioClassification", True),
        ("automatic-speech-recognition", "Wav2Vec2ForCTC", True),
        ("automatic-speech-recognition", "WhisperForConditionalGeneration", True),
        ("zero-shot-audio-classification", "ClapModel", True),
        ("audio-xvector", "Wav2Vec2ForXVector", False),
        ("feature-extraction", "Wav2Vec2Model", False),
    ],
)
def test_the_card_of_what_listens_is_about_audio(task: str, architecture: str, has_pipeline: bool) -> None:
    facts = replace(BARE, audio=True, task=task, base_architecture=architecture, group="speed12")
    card = render_card(facts)
    for word in ("photo", "Image", "upright", "satellite"):
        assert word not in card, word
    assert ("import pipeline" in card) == has_pipeline
    assert "recording.wav" in card
    assert ("model.generate(" in card) == (architecture == "WhisperForConditionalGeneration")
    for snippet in re.findall(r"```python\n(.*?)```", card, re.DOTALL):
        compile(snippet, "card", "exec")


def test_an_untouched_card_is_known_again(reports: dict[bool, RobustnessReport]) -> None:
    for card in (render_card(BARE), render_card(full(reports[True]))):
        assert is_untouched(card)
        assert is_untouched(card.replace("\n", "\r\n"))
        assert not is_untouched(card.replace("canonicalizer", "turner", 1))
        assert not is_untouched(card + "One word more.\n")
        assert not is_untouched(card.rpartition("<!--")[0])
    assert not is_untouched("") and not is_untouched("# Somebody else's\n")


def test_no_card_names_a_folder_of_this_machine(tmp_path: Path) -> None:
    tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
    ViTForImageClassification(tiny).save_pretrained(tmp_path / "base")
    model = CanonicalizedModel.wrap(tmp_path / "base", group="c4")
    report = evaluate_robustness(model, [{"pixel_values": torch.rand(3, 16, 16)}], "c4")
    model.save_pretrained(tmp_path / "adapter", report=report)
    model.save_pretrained(tmp_path / "full", full=True, report=report)
    for file in [*(tmp_path / "full").iterdir(), tmp_path / "adapter" / "README.md"]:
        assert str(tmp_path).encode() not in file.read_bytes(), file
