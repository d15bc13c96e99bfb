from shlex import split

import datasets
import numpy as np
import pytest
import torch
from audio_models import tiny_audio_model
from transformers import Wav2Vec2FeatureExtractor

from hf_canon.cli import build_parser
from hf_canon.evaluation import Advice, AuditReport
from hf_canon.evaluation.auditing import findings as audit_findings
from hf_canon.evaluation.auditing import passes as audit_passes
from hf_canon.reports.robustness import Cost


@pytest.fixture(autouse=True)
def no_clock(monkeypatch) -> None:
    cost = Cost("cpu", 1, 1.0, 1.5, 1.5, 1.1, None)
    monkeypatch.setattr(audit_passes.Trial, "cost", lambda self, group: cost)


def test_a_checkpoint_is_audited_and_the_figures_are_written(run, checkpoint, photos, tmp_path):
    code, out, _ = run("audit", checkpoint, "--data", photos, "--json", tmp_path / "a.json", "--batch-size", "5")
    assert code == 0
    report = AuditReport.load(tmp_path / "a.json")
    assert str(report) == out.rstrip("\n")
    assert report.labelled and report.items == 12
    assert list(report.groups) == [
        "c4", "d1", "d4", "c8", "channels", "negative", "hue12", "white_balance", "gamma",
    ]  # fmt: skip


def test_the_next_command_can_be_copied(run, checkpoint, photos, monkeypatch):
    def advise(trial, groups, unit):  # whatever the random weights lose
        return Advice("c4", "it is worth it.", audit_findings.next_command(trial, "c4", False), ())

    monkeypatch.setattr(audit_findings, "advise", advise)
    spaced = photos.rename(photos.parent / "my photos")
    code, out, _ = run("audit", checkpoint, "--data", spaced, "--groups", "c4")
    (line,) = (line for line in out.splitlines() if line.startswith("next "))
    name, *words = split(line)[1:]
    args = build_parser().parse_args(words)
    assert code == 0 and name == "hf-canon" and args.command == "train"
    assert (args.checkpoint, args.data, args.group) == (str(checkpoint), str(spaced), "c4")


def test_images_without_classes_are_measured_by_agreement(run, checkpoint, image, tmp_path):
    (tmp_path / "flat").mkdir()
    for seed in range(3):
        image(seed).save(tmp_path / "flat" / f"{seed}.png")
    code, out, _ = run("audit", checkpoint, "--data", tmp_path / "flat", "--groups", "d2", "negative")
    assert code == 0
    assert "agreement" in out and "3 images" in out and "\nd2 " in out and "\nc4 " not in out


def test_oblong_images_leave_out_what_does_not_fit(run, oblong_checkpoint, photos, refuses):
    sentence = refuses("audit", oblong_checkpoint, "--data", photos, "--groups", "c4")
    assert "c4 turns height into width, and this input is 32 x 64. Use 'c2'" in sentence


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--groups", "b4"], "There is no group 'b4'. Known groups: c<n>"),
        (["--groups", "reverse"], "reverse (audio played backwards) does not act on what ViTForImageClassification"),
        (["--groups", "so2"], "The elements of so2 cannot be listed"),
        (["--split", "nonsense"], "has no split 'nonsense'; choose with --split from: train."),
        (["--json", "/nowhere/audit.json"], "there is no folder '/nowhere'"),
        (["--json", "audit.txt"], "The name 'audit.txt' has to end in .json."),
    ],
)
def test_flags_that_cannot_work_are_refused(refuses, checkpoint, photos, flags, sentence):
    assert sentence in refuses("audit", checkpoint, "--data", photos, *flags)


def test_adapters_and_readers_of_text_are_refused(refuses, adapter, text_model, photos):
    assert "is an adapter, and an audit is of the checkpoint before" in refuses("audit", adapter, "--data", photos)
    assert "reads text (input_ids)" in refuses("audit", text_model, "--data", photos)


# ------------------------------------------------------------------------------------------------------------ clips


@pytest.fixture(scope="module")
def audio_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("listener")
    torch.manual_seed(0)
    tiny_audio_model().save_pretrained(folder)
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(folder)
    return folder


@pytest.fixture
def clips(tmp_path):
    """As `datasets` saves arrays, with their sampling rate in another column."""
    noise = np.random.default_rng(0)
    waves = [np.cumsum(noise.normal(size=800 + 4 * i)).astype(np.float32) / 9 for i in range(4)]
    rows = {"audio": waves, "sampling_rate": [16_000] * 4, "label": [0, 1, 2, 0]}
    datasets.DatasetDict({"test": datasets.Dataset.from_dict(rows)}).save_to_disk(tmp_path / "clips")
    return tmp_path / "clips"


def test_clips_are_audited_too(run, audio_model, clips, tmp_path):
    code, out, _ = run("audit", audio_model, "--data", clips, "--json", tmp_path / "a.json")
    report = AuditReport.load(tmp_path / "a.json")
    assert code == 0 and report.items == 4 and report.labelled and report.unit == "clips"
    assert list(report.groups) == ["reverse", "polarity", "time_shift4", "gain", "speed12", "pitch12"]
    assert "hf-canon train" not in out


def test_clips_that_cannot_be_read_are_refused(refuses, audio_model, clips, photos, tmp_path):
    assert "has no split 'train'; choose with --split from: test." in refuses(
        "audit", audio_model, "--data", clips, "--split", "train"
    )
    assert "none of the columns of" in refuses("audit", audio_model, "--data", photos)
    rows = datasets.load_from_disk(clips)["test"].map(lambda row: {"sampling_rate": 8_000})
    rows.save_to_disk(tmp_path / "slow")
    assert "sampled at 8000 Hz, and the checkpoint reads 16000 Hz" in refuses(
        "audit", audio_model, "--data", tmp_path / "slow"
    )
