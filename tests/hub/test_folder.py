"""What is saved: all of it or nothing, and complete."""

import resource
import stat
from pathlib import Path

import pytest
import torch
from images import images
from transformers import AutoImageProcessor, ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from hf_canon import CanonicalizedModel, evaluate_robustness


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, patch_size=8
    )
    ViTForImageClassification(tiny).save_pretrained(tmp_path / "checkpoint")
    ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=[0.1, 0.2, 0.3]).save_pretrained(
        tmp_path / "checkpoint"
    )
    return tmp_path / "checkpoint"


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_an_adapter_is_complete(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="d4")
    model.save_pretrained(tmp_path / "adapter")
    assert set(contents(tmp_path / "adapter")) == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    assert list(AutoImageProcessor.from_pretrained(tmp_path / "adapter").image_mean) == [0.1, 0.2, 0.3]
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "adapter").iterdir()}
    assert len(modes) == 1  # whoever can read the configuration can read the weights


@pytest.mark.parametrize("canonicalizer", ["orbit", "equivariant", "shift", "predictor"])
@pytest.mark.parametrize("group", ["c4", "d8"])
def test_a_default_adapter_is_small(checkpoint: Path, tmp_path: Path, group: str, canonicalizer: str) -> None:
    CanonicalizedModel.wrap(checkpoint, group, canonicalizer).save_pretrained(tmp_path / "adapter")
    assert sum(map(len, contents(tmp_path / "adapter").values())) < 500_000


def test_a_processor_of_ones_own_an_edited_card_and_a_report_stay(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    report = evaluate_robustness(model, [{"pixel_values": x} for x in images(2, 32)], "c4")
    folder = tmp_path / "adapter"
    model.save_pretrained(folder, report=report)
    ViTImageProcessorPil(image_mean=[0.5, 0.5, 0.5]).save_pretrained(folder)
    (folder / "README.md").write_text("In my own words.\n")
    before = contents(folder)
    model.save_pretrained(folder)
    assert contents(folder) == before
    model.save_pretrained(folder, overwrite_card=True)
    assert "mean over c4" in (folder / "README.md").read_text()


def test_a_full_checkpoint_and_an_adapter_replace_each_other(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    x = images(2, 32)
    folder = tmp_path / "both"
    expected = model(pixel_values=x).logits
    for full, shards in ((True, "20KB"), (False, None), (True, None), (True, "20KB"), (False, None)):
        model.save_pretrained(folder, full=full, **({"max_shard_size": shards} if shards else {}))
        assert torch.equal(CanonicalizedModel.from_pretrained(folder)(pixel_values=x).logits, expected)
        assert (folder / "model.safetensors.index.json").exists() == (shards is not None)


def test_a_full_disk_leaves_what_was_there(checkpoint: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: writing fails in the middle of the weights."""
    CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(tmp_path / "adapter")
    before = contents(tmp_path / "adapter")
    model = CanonicalizedModel.wrap(checkpoint, group="d4")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="could not be saved in .* what was there is unchanged: "):
            model.save_pretrained(tmp_path / "adapter")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(tmp_path / "adapter") == before
    assert not [path for path in (tmp_path / "adapter").iterdir() if path.name.startswith(".")]
