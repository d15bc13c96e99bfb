import shutil

import datasets
import numpy as np
import pytest
import torch
from audio_models import tiny_audio_model
from PIL import Image
from transformers import Wav2Vec2FeatureExtractor

from hf_canon import RobustnessReport
from hf_canon.evaluation import ShiftReport


@pytest.fixture
def kept(tmp_path, image):
    """Upright images in folders of classes that the checkpoint does not know."""
    (tmp_path / "kept" / "elk").mkdir(parents=True)
    for seed in range(24):
        image(seed).save(tmp_path / "kept" / "elk" / f"{seed}.png")
    return tmp_path / "kept"


@pytest.fixture
def arrived(tmp_path, image):
    (tmp_path / "arrived").mkdir()
    for seed in range(22):
        image(100 + seed).rotate(90 * (seed % 4)).save(tmp_path / "arrived" / f"{seed}.png")
    return tmp_path / "arrived"


def test_an_adapter_is_asked_and_the_figures_are_written(run, adapter, kept, arrived, tmp_path):
    code, out, _ = run(
        "shift", adapter, "--reference", kept, "--incoming", arrived, "--json", tmp_path / "s.json",
        "--figure", tmp_path / "s.png", "--batch-size", "9",
    )  # fmt: skip
    assert code == 0
    report = ShiftReport.load(tmp_path / "s.json")
    assert str(report) == out.rstrip("\n")
    assert report.group == "c8" and report.canonicalized is not None
    assert (report.reference.items, report.incoming.items) == (24, 22)
    with Image.open(tmp_path / "s.png") as figure:
        assert min(figure.size) > 300


def test_a_checkpoint_needs_a_group(run, refuses, checkpoint, kept, arrived, tmp_path):
    words = ["shift", checkpoint, "--reference", kept, "--incoming", arrived, "--json", tmp_path / "s.json"]
    assert "is a checkpoint without adapter: say what happens to its inputs" in refuses(*words)
    code, _, _ = run(*words, "--group", "c4")
    report = ShiftReport.load(tmp_path / "s.json")
    assert code == 0 and report.group == "c4" and report.canonicalized is None and report.plain.seen


def test_splits_are_chosen(run, refuses, checkpoint, kept, tmp_path):
    (tmp_path / "splits").mkdir()
    for split in ("train", "test"):
        shutil.copytree(kept, tmp_path / "splits" / split)
    for file in sorted((tmp_path / "splits" / "test" / "elk").iterdir())[:4]:
        file.unlink()
    words = [
        "shift",
        checkpoint,
        "--group",
        "d1",
        "--reference",
        tmp_path / "splits",
        "--incoming",
        tmp_path / "splits",
    ]
    assert "All incoming images are in the reference too" in refuses(*words)  # 20 of test, in the 24 of train
    assert "in the reference too" in refuses(*words, "--reference-split", "test", "--incoming-split", "test")
    assert "has no split 'held'" in refuses(*words, "--reference-split", "held")


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--group", "c4"], "is an adapter and knows its group; leave out --group c4."),
        (["--json", "/nowhere/s.json"], "there is no folder '/nowhere'"),
        (["--figure", "s.txt"], "The name 's.txt' has to end in"),
        (["--incoming", "./nothing"], "There is no folder or file './nothing'."),
    ],
)
def test_flags_that_cannot_work_are_refused(refuses, adapter, kept, arrived, flags, sentence):
    assert sentence in refuses("shift", adapter, "--reference", kept, "--incoming", arrived, *flags)


def test_too_few_and_broken_images_are_refused(refuses, adapter, kept, photos, arrived):
    assert "What is incoming has 12 items" in refuses("shift", adapter, "--reference", kept, "--incoming", photos)
    (arrived / "3.png").write_bytes(b"no image")
    sentence = refuses("shift", adapter, "--reference", kept, "--incoming", arrived)
    assert "3.png" in sentence and "cannot be read" in sentence


def test_clips_are_compared_too(run, tmp_path):
    torch.manual_seed(0)
    tiny_audio_model().save_pretrained(tmp_path / "listener")
    Wav2Vec2FeatureExtractor(return_attention_mask=True).save_pretrained(tmp_path / "listener")
    noise = np.random.default_rng(0)
    for name in ("kept", "arrived"):
        waves = [np.cumsum(noise.normal(size=800 + 4 * i)).astype(np.float32) / 9 for i in range(20)]
        rows = {"audio": waves, "sampling_rate": [16_000] * 20}
        datasets.DatasetDict({"train": datasets.Dataset.from_dict(rows)}).save_to_disk(tmp_path / name)
    code, out, _ = run(
        "shift", tmp_path / "listener", "--group", "reverse", "--reference", tmp_path / "kept",
        "--incoming", tmp_path / "arrived",
    )  # fmt: skip
    assert code == 0 and "20 clips" in out and "modulo reverse" in out


def test_an_evaluation_has_a_reference(run, adapter, kept, arrived, tmp_path):
    code, out, _ = run(
        "evaluate",
        adapter,
        "--data",
        arrived,
        "--reference",
        kept,
        "--transforms",
        "c2",
        "--json",
        tmp_path / "r.json",
    )
    report = RobustnessReport.load(tmp_path / "r.json")
    assert code == 0 and report.shift is not None and report.shift.reference.items == 24
    assert str(report) == out.rstrip("\n")
