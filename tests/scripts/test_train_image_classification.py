"""The training script in one process: its modes, its data, what it writes, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import datasets
import pytest
import torch
import train_image_classification
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from datasets import Dataset, DatasetDict, IterableDataset
from safetensors.torch import load_file
from train_image_classification import main

from hf_canon import CanonicalizationTrainer, CanonicalizedModel

Words = Callable[..., list[str]]
CLASSES = ("dog", "ant", "cat")


@pytest.mark.parametrize(
    "mode",
    [[], ["--lora_rank", "2", "--task_weight", "1"], ["--train_predictor", "--task_weight", "1"]],
    ids=["label-free", "lora", "end-to-end"],
)
def test_what_is_saved_answers_as_what_was_trained(words: Words, tmp_path: Path, mode: list[str]) -> None:
    trainer = main(words(*mode, learning_rate=0.01))
    saved = CanonicalizedModel.from_pretrained(tmp_path / "out")
    x = torch.rand(4, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(saved(pixel_values=x).logits, trainer.model.eval()(pixel_values=x).logits)
    assert saved.config.includes_predictor == ("--train_predictor" in mode)
    names = set(load_file(tmp_path / "out" / "model.safetensors"))
    of_the_checkpoint = {name for name in names if not name.startswith("canonicalizer.") and "lora" not in name}
    assert bool(of_the_checkpoint) == ("--train_predictor" in mode)
    assert any("lora" in name for name in names) == ("--lora_rank" in mode)


def test_everything_at_once_from_a_file(words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Evaluation, best, early stopping, bf16, accumulation and a report, all said in one YAML file."""
    given = words(max_steps=8)
    arguments = dict(zip([word[2:] for word in given[:-3:2]], given[1:-3:2], strict=True)) | {
        "max_steps": 8,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
        "use_cpu": True,
        "disable_tqdm": True,
        "bf16": True,
        "canonicalizer_settings": {"width": 8},
        "validation_share": 0.25,
        "eval_strategy": "steps",
        "save_strategy": "steps",
        "eval_steps": 1,
        "save_steps": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "learning_rate": 1000.0,  # it gets worse at once
        "warmup_steps": 0,
        "early_stopping_patience": 2,
        "evaluate_transforms": ["c4", "10"],
    }
    file = tmp_path / "arguments.yaml"
    file.write_text(yaml.safe_dump(arguments))
    trainer = main([str(file)])
    assert trainer.model.config.canonicalizer_settings["width"] == 8
    assert trainer.state.global_step < 8
    losses = [entry["eval_loss"] for entry in trainer.state.log_history if "eval_loss" in entry]
    assert losses[-1] == min(losses)  # the best was loaded and evaluated again
    results = json.loads((tmp_path / "out" / "all_results.json").read_text())
    assert results["eval_loss"] == losses[-1] and results["train_loss"] > 0
    report = json.loads((tmp_path / "out" / "robustness.json").read_text())
    assert report["items"] == 4
    assert f"{100 * results['robustness_c4_after']:.1f}" in (tmp_path / "out" / "README.md").read_text()
    assert results["robustness_c4_after"] == pytest.approx(report["sets"]["c4"]["mean"]["after"]["accuracy"])
    assert (tmp_path / "out" / "preprocessor_config.json").is_file()
    printed = capsys.readouterr().out
    assert "upright tax" in printed and f"--model {tmp_path / 'out'}" in printed


class TestData:
    """Whatever holds the images, a batch of it is the same."""

    @pytest.fixture(params=["folder", "table", "csv", "saved", "saved splits"])
    def data(self, request: pytest.FixtureRequest, tmp_path: Path, photos: Path, table: Path) -> Path:
        if request.param == "folder":
            return photos
        if request.param == "table":
            return table
        if request.param == "csv":
            files = sorted(photos.rglob("*.png"))
            lines = ["before,answer", *(f"{file},{file.parent.name}" for file in files)]
            (tmp_path / "images.csv").write_text("\n".join(lines))
            return tmp_path / "images.csv"
        images = Dataset.from_parquet(str(table), cache_dir=str(tmp_path / "cache"))
        if request.param == "saved splits":
            images = DatasetDict({"train": images, "validation": images.select(range(4))})
        images.save_to_disk(str(tmp_path / "saved"))
        return tmp_path / "saved"

    @pytest.mark.parametrize("streaming", [False, True])
    def test_labels_are_the_checkpoints(self, words: Words, data: Path, streaming: bool) -> None:
        label = [] if data.name.startswith("photos") else ["--label_column", "answer"]
        more = ["--streaming"] if streaming else []
        trainer = built(words(*label, *more, "--task_weight", "1", data=data, per_device_train_batch_size=16))
        assert isinstance(trainer.train_dataset, IterableDataset) == streaming
        (batch,) = trainer.get_train_dataloader()
        level = ((batch["pixel_values"].double().mean((1, 2, 3)) * 0.5 + 0.5) * 255).round().long()
        assert sorted(level.tolist()) == list(range(40, 200, 10))
        assert torch.equal(batch["labels"], (level - 40) // 10 % len(CLASSES))

    def test_limits_and_shares(self, words: Words) -> None:
        more = ["--do_eval", "--max_train_samples", "5", "--max_eval_samples", "3", "--validation_share", "0.5"]
        whole = built(words("--do_eval", "--validation_share", "0.5"))
        assert (len(whole.train_dataset), len(whole.eval_dataset)) == (8, 8)
        part = built(words(*more))
        assert (len(part.train_dataset), len(part.eval_dataset)) == (5, 3)
        stream = built(words(*more, "--streaming"))
        assert (len(list(stream.train_dataset)), len(list(stream.eval_dataset))) == (5, 3)

    def test_what_is_held_back_is_not_trained_on(self, words: Words) -> None:
        for streaming in ([], ["--streaming"]):
            trainer = built(words("--do_eval", "--max_eval_samples", "4", "--validation_share", "0.25", *streaming))
            train, held_back = (
                {row["image"].tobytes() for row in images} for images in (trainer.train_dataset, trainer.eval_dataset)
            )
            assert (len(train), len(held_back)) == (12, 4) and not train & held_back

    def test_a_stream_writes_nothing_to_the_cache(self, words: Words, table: Path) -> None:
        cache = Path(datasets.config.HF_DATASETS_CACHE)
        before = set(cache.rglob("*.arrow"))
        main(words("--streaming", data=table))
        assert set(cache.rglob("*.arrow")) == before


@pytest.mark.covering()
@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--streaming", "--shuffle_buffer_size", "8"],
        ["--lora_rank", "2", "--task_weight", "1"],
        ["--train_predictor", "--task_weight", "1"],
    ],
    ids=["label-free", "stream", "lora", "end-to-end"],
)
def test_goes_on_after_an_interruption(words: Words, checkpoint: Path, tmp_path: Path, more: list[str]) -> None:
    def command(folder: str) -> list[str]:
        # A stream of sixteen images has four batches; the others begin a second epoch.
        steps = {"max_steps": 4 if "--streaming" in more else 6, "save_strategy": "steps", "save_steps": 2}
        return words(*more, output_dir=tmp_path / folder, **steps)

    whole = main(command("whole"))
    compute_loss = CanonicalizationTrainer.compute_loss

    def interrupted(self: CanonicalizationTrainer, *args: object, **kwargs: object) -> object:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return compute_loss(self, *args, **kwargs)

    with (
        mock.patch.object(CanonicalizationTrainer, "compute_loss", interrupted),
        pytest.raises(KeyboardInterrupt),
    ):
        main(command("halves"))
    assert not (tmp_path / "halves" / "model.safetensors").exists()
    halves = main(command("halves"))
    assert halves.state.global_step == whole.state.global_step
    assert halves.state.log_history[-1]["step"] == whole.state.log_history[-1]["step"]
    first, second = (load_file(tmp_path / folder / "model.safetensors") for folder in ("whole", "halves"))
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    # Another training does not go on from this one.
    with pytest.raises(ValueError, match="had --group c4 and not d4; go on with the same"):
        main([*command("halves"), "--group", "d4"])
    with pytest.raises(ValueError, match="had --lora_rank (2|None) and not 3"):
        main([*command("halves"), "--lora_rank", "3", "--task_weight", "1"])
    if "--train_predictor" not in more:
        shutil.copytree(checkpoint, tmp_path / "another")
        with pytest.raises(ValueError, match="had --checkpoint .*checkpoint\\d+ and not .*another"):
            main([*command("halves"), "--checkpoint", str(tmp_path / "another")])


class TestRefusals:
    @pytest.mark.parametrize(
        ("more", "sentence"),
        [
            (["--streaming", "--max_steps", "-1"], "A stream does not say how many images.*add --max_steps 10000"),
            (["--streaming", "--do_eval"], "A stream has no share.*--max_eval_samples 1000"),
            (["--lora_rank", "2"], "Only the task loss trains the checkpoint.*add --task_weight 1"),
            (["--lora_target_modules", "query"], "--lora_target_modules says where.*add --lora_rank 8"),
            (
                ["--lora_rank", "2", "--task_weight", "1", "--lora_target_modules", "nowhere"],
                r"LoRA cannot be added to \['nowhere'\].*classifier, fc1, fc2, k_proj",
            ),
            (["--train_split", "night"], "has no split 'night'; choose from: train"),
            (["--do_eval", "--validation_split", "night"], "has no split 'night'; choose from: train"),
            (["--image_column", "photo"], "has no column 'photo'; choose from: image, label"),
            (["--label_column", "answer"], "has no column 'answer'; choose from: image, label"),
            (["--canonicalizer_settings", "width=8"], "'width=8' is not JSON"),
            (["--early_stopping_patience", "2"], "none is kept; add --load_best_model_at_end"),
            (["--group", "e8"], "e8"),
            (["--data", "nowhere/"], "There is no folder or file 'nowhere/'"),
            (["--checkpoint", "nowhere/"], "nowhere"),
        ],
    )
    def test_arguments(self, words: Words, more: list[str], sentence: str) -> None:
        with pytest.raises((ValueError, OSError), match=sentence) as refusal:
            main(words(*more))
        assert "\n" not in str(refusal.value)

    def test_no_labels_for_the_task_loss(self, words: Words, table: Path) -> None:
        with pytest.raises(ValueError, match="has no column of labels; name it with --label_column"):
            main(words("--task_weight", "1", data=table))

    def test_an_output_folder_that_holds_something_else(self, words: Words, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "thesis.tex").touch()
        with pytest.raises(ValueError, match="not empty and holds no checkpoint.*another --output_dir"):
            main(words())

    def test_a_checkpoint_of_something_else(self, words: Words, checkpoint: Path, tmp_path: Path) -> None:
        shutil.copytree(checkpoint, tmp_path / "out" / "checkpoint-1")
        with pytest.raises(ValueError, match="is a vit in training; name another --output_dir"):
            main(words())

    def test_classes_that_the_checkpoint_does_not_know(self, words: Words, photos: Path, tmp_path: Path) -> None:
        shutil.copytree(photos / "dog", tmp_path / "photos" / "yeti")
        shutil.copytree(photos / "ant", tmp_path / "photos" / "ant")
        with pytest.raises(ValueError, match="The checkpoint has no class 'yeti'"):
            main(words(data=tmp_path / "photos"))


def test_launch_configurations_are_accelerates(scripts: Path) -> None:
    files = sorted((scripts / "launch").glob("*.yaml"))
    kinds = {file.stem: load_config_from_file(str(file)).distributed_type.value for file in files}
    assert kinds == {"cpu": "MULTI_GPU", "deepspeed_zero2": "DEEPSPEED", "fsdp": "FSDP"}
    deepspeed = yaml.safe_load((scripts / "launch" / "deepspeed_zero2.yaml").read_text())["deepspeed_config"]
    settings = json.loads((scripts.parent / deepspeed["deepspeed_config_file"]).read_text())
    assert settings["zero_optimization"]["stage"] == 2


def built(arguments: list[str]) -> CanonicalizationTrainer:
    """The trainer of a command that is stopped before its first step."""
    made: list[CanonicalizationTrainer] = []

    def stop(self: CanonicalizationTrainer, **kwargs: object) -> None:
        made.append(self)
        raise KeyboardInterrupt

    with mock.patch.object(CanonicalizationTrainer, "train", stop), pytest.raises(KeyboardInterrupt):
        train_image_classification.main(arguments)
    return made[0]
