"""The trainer: it learns, logs the pose, resumes, keeps the best, and takes what data sets give."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import ClassLabel, Dataset, IterableDataset
from images import images
from PIL import Image
from safetensors.torch import load_file
from transformers import (
    ResNetConfig,
    ResNetForImageClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel
from hf_canon.training import ImageCollator

PROCESSOR = ViTImageProcessorPil(size={"height": 32, "width": 32})


def scene(seed: int) -> Image.Image:
    """Light above and dark below, with something in between: it has a right way up."""
    x = images(1, 40, seed=seed)[0] * 20 + 110
    x = x + torch.linspace(90, -90, 40)[:, None]
    return Image.fromarray(x.clamp(0, 255).byte().permute(1, 2, 0).numpy())


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    torch.manual_seed(0)
    tiny = ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32, num_labels=2
    )
    ViTForImageClassification(tiny).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scenes() -> Dataset:
    return Dataset.from_dict({"image": [scene(i) for i in range(48)], "label": [i % 2 for i in range(48)]})


def arguments(folder: Path, **changes: Any) -> CanonicalizationArguments:
    settings = {
        "num_train_epochs": 12,
        "per_device_train_batch_size": 16,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_steps": 1,
    }
    return CanonicalizationArguments(str(folder), **{**settings, **changes})


@pytest.mark.covering()
@pytest.mark.parametrize(
    ("group", "canonicalizer"), [("c4", "orbit"), ("c4", "equivariant"), ("c8", "shift"), ("so2", "shift")]
)
def test_learns_without_labels_and_logs_the_pose(
    checkpoint: Path, scenes: Dataset, tmp_path: Path, group: str, canonicalizer: str
) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group=group, canonicalizer=canonicalizer)
    before = {name: value.clone() for name, value in model.predictor.state_dict().items()}
    trainer = CanonicalizationTrainer(
        model=model,
        args=arguments(tmp_path, eval_strategy="epoch"),
        train_dataset=scenes.remove_columns("label"),
        eval_dataset=scenes,
        processing_class=PROCESSOR,
    )
    trainer.train()
    poses = [entry["eval_pose_accuracy"] for entry in trainer.state.log_history if "eval_pose_accuracy" in entry]
    assert len(poses) == 12 and max(poses[-3:]) > 0.8
    again, once_more = trainer.evaluate(), trainer.evaluate()  # the same images, turned the same way
    assert again["eval_loss"] == once_more["eval_loss"]
    assert all(torch.equal(value, before[name]) for name, value in model.predictor.state_dict().items())


def test_resumes_where_it_stopped(checkpoint: Path, scenes: Dataset, tmp_path: Path) -> None:
    """Six epochs in one go, and three and then three, end with the same weights."""

    def weights(folder: Path, resume: bool, stop_after: int | None) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="shift")
        args = arguments(folder, num_train_epochs=6, save_strategy="epoch", seed=0)
        trainer = CanonicalizationTrainer(
            model=model, args=args, train_dataset=scenes, processing_class=PROCESSOR, callbacks=[]
        )
        if stop_after is not None:
            trainer.add_callback(StopAfter(stop_after))
        trainer.train(resume_from_checkpoint=resume)
        return dict(model.canonicalizer.state_dict())

    whole = weights(tmp_path / "whole", resume=False, stop_after=None)
    weights(tmp_path / "halves", resume=False, stop_after=3)
    halves = weights(tmp_path / "halves", resume=True, stop_after=None)
    assert all(torch.allclose(whole[name], halves[name], atol=1e-6) for name in whole)


def test_keeps_the_best(checkpoint: Path, scenes: Dataset, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="shift")
    trainer = CanonicalizationTrainer(
        model=model,
        args=arguments(
            tmp_path,
            num_train_epochs=4,
            eval_strategy="epoch",
            save_strategy="epoch",
            load_best_model_at_end=True,
            metric_for_best_model="pose_accuracy",
        ),
        train_dataset=scenes,
        eval_dataset=scenes,
        processing_class=PROCESSOR,
    )
    trainer.train()
    best = Path(trainer.state.best_model_checkpoint or "")
    assert trainer.state.best_metric == max(
        entry["eval_pose_accuracy"] for entry in trainer.state.log_history if "eval_pose_accuracy" in entry
    )
    saved = load_file(best / "model.safetensors")
    assert all(
        torch.equal(value, saved[f"canonicalizer.{name}"]) for name, value in model.canonicalizer.state_dict().items()
    )
    assert all(name.startswith("canonicalizer.") for name in saved)
    assert CanonicalizedModel.from_pretrained(best).config.group == "c4"


def test_best_of_a_predictor_with_running_statistics_loads_in_silence(
    scenes: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resnet = ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1], layer_type="basic", num_labels=2)
    )
    resnet.save_pretrained(tmp_path / "resnet")
    model = CanonicalizedModel.wrap(tmp_path / "resnet", group="c4", canonicalizer="shift")
    args = arguments(
        tmp_path / "out", num_train_epochs=1, eval_strategy="epoch", save_strategy="epoch", load_best_model_at_end=True
    )
    trainer = CanonicalizationTrainer(
        model=model, args=args, train_dataset=scenes, eval_dataset=scenes, processing_class=PROCESSOR
    )
    trainer.train()
    assert "missing keys" not in caplog.text


def test_streaming(checkpoint: Path, scenes: Dataset, tmp_path: Path) -> None:
    stream: IterableDataset = scenes.to_iterable_dataset()
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="shift")
    trainer = CanonicalizationTrainer(
        model=model, args=arguments(tmp_path, max_steps=5), train_dataset=stream, processing_class=PROCESSOR
    )
    assert trainer.train().global_step == 5


@pytest.mark.parametrize("end_to_end", [False, True])
def test_with_labels(checkpoint: Path, scenes: Dataset, tmp_path: Path, end_to_end: bool) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="orbit")
    before = model.predictor.classifier.weight.clone()
    trainer = CanonicalizationTrainer(
        model=model,
        args=arguments(
            tmp_path,
            max_steps=3,
            task_weight=1.0,
            contrastive_weight=0.1,
            prior="predictor",
            train_predictor=end_to_end,
        ),
        train_dataset=scenes,
        processing_class=PROCESSOR,
    )
    trainer.train()
    assert torch.equal(model.predictor.classifier.weight, before) != end_to_end
    # What was trained is saved: the predictor too, if it was.
    trainer.save_model(str(tmp_path / "saved"))
    again = CanonicalizedModel.from_pretrained(tmp_path / "saved")
    assert again.config.includes_predictor == end_to_end
    x = images(2, 32)
    with torch.no_grad():
        assert torch.equal(again(pixel_values=x).logits, model.eval()(pixel_values=x).logits)


def test_plain_trainer_works_too(checkpoint: Path, scenes: Dataset, tmp_path: Path) -> None:
    """Batches that name the elements train the canonicalizer in transformers' own Trainer."""
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="shift")
    collate = ImageCollator(PROCESSOR)

    def turned(examples: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        transformed, element, _ = model.group.random_act(collate(examples)["pixel_values"])
        return {"pixel_values": transformed, "element": element}

    args = TrainingArguments(
        str(tmp_path),
        max_steps=60,
        learning_rate=2e-3,
        per_device_train_batch_size=16,
        remove_unused_columns=False,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        dataloader_pin_memory=False,
        logging_steps=1,
    )
    trainer = Trainer(model=model, args=args, train_dataset=scenes, data_collator=turned)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert float(losses[-1]) < 0.7 * float(losses[0])


def test_phone_photos_are_set_upright_first() -> None:
    upright = scene(0)
    exif = Image.Exif()
    exif[0x0112] = 6  # shown turned clockwise by a quarter
    from io import BytesIO

    file = BytesIO()
    upright.transpose(Image.Transpose.ROTATE_90).save(file, "png", exif=exif)
    photo = Image.open(file)
    collate = ImageCollator(PROCESSOR)
    batch = collate([{"image": upright}, {"image": photo}])
    assert torch.equal(batch["pixel_values"][0], batch["pixel_values"][1])


class TestRefusals:
    def test_nothing_to_train(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="predictor")
        with pytest.raises(ValueError, match="'predictor' canonicalizer has nothing to train"):
            CanonicalizationTrainer(model=model, args=arguments(tmp_path))

    def test_a_predictor_that_nobody_could_find_again(self, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(ViTForImageClassification(ViTConfig(num_hidden_layers=1)), group="c4")
        with pytest.raises(ValueError, match="never saved.*save_strategy='no'"):
            CanonicalizationTrainer(model=model, args=arguments(tmp_path, save_strategy="epoch"))

    def test_nothing_would_train_the_predictor(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        with pytest.raises(ValueError, match="Set task_weight=1.0"):
            CanonicalizationTrainer(model=model, args=arguments(tmp_path, train_predictor=True))

    def test_no_objective(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        with pytest.raises(ValueError, match="Every objective has the weight 0"):
            CanonicalizationTrainer(model=model, args=arguments(tmp_path, prior_weight=0.0))

    def test_no_image_and_no_processor(self) -> None:
        with pytest.raises(ValueError, match="no image among the columns 'text'"):
            ImageCollator(PROCESSOR)([{"text": "a cat"}])
        with pytest.raises(ValueError, match="AutoImageProcessor"):
            ImageCollator()([{"image": scene(0)}])


class StopAfter(TrainerCallback):
    """Stops a training as a person would, between two epochs."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.epoch >= self.epochs


def test_labels_are_numbered_as_the_checkpoint_does() -> None:
    """A folder of images numbers its classes by the alphabet."""
    config = ViTConfig(id2label={0: "owl", 1: "cat", 2: "dog"}, label2id={"owl": 0, "cat": 1, "dog": 2})
    examples = [{"pixel_values": torch.zeros(3, 8, 8), "label": i} for i in range(3)]

    def numbered(names: list[str] | None) -> list[int]:
        features = {"label": ClassLabel(names=names)} if names else None
        return ImageCollator(None, config, features)(examples)["labels"].tolist()

    assert numbered(["cat", "dog", "owl"]) == [1, 2, 0]
    assert numbered(None) == numbered(["a", "b", "c"]) == [0, 1, 2]
    with pytest.raises(ValueError, match="the model has no 'ant'"):
        numbered(["ant", "cat", "dog"])
