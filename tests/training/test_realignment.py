"""Inputs of unknown pose: the predictor says what upright is, and the canonicalizer learns it from all of them."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from architectures import audio
from datasets import Dataset
from images import images
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from transformers import HfArgumentParser, TrainerCallback, ViTConfig, ViTForImageClassification, ViTImageProcessorPil

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, get_group
from hf_canon.objectives.distillation import predictor_scores
from hf_canon.training import AudioCollator, ImageCollator
from hf_canon.training.numbered import NUMBER, Numbered, NumberedCollator
from hf_canon.training.realignment import POSES_FILE, repeated_draws

C4 = get_group("c4")
PROCESSOR = ViTImageProcessorPil(do_resize=False, image_mean=[0.5] * 3, image_std=[0.5] * 3)


def scenes(count: int, seed: int) -> Tensor:
    """Light above and dark below, with something in between, `(count, 3, 16, 16)` in -1 .. 1: a right way up."""
    slope = torch.linspace(0.8, -0.8, 16)[:, None]
    return (images(count, 16, seed=seed) * 0.15 + slope).clamp(-1, 1)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sure of its class, red or blue, for scenes that stand upright, and of nothing for any other."""
    torch.manual_seed(0)
    vit = ViTForImageClassification(
        ViTConfig(
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            image_size=16,
            patch_size=4,
            num_labels=2,
        )
    )
    x = scenes(128, seed=1)
    red = x[:, 0].mean((1, 2)) > x[:, 2].mean((1, 2))
    sure = F.one_hot(red.long(), 2).float()
    optimizer = torch.optim.AdamW(vit.parameters(), 3e-3)
    for _ in range(120):
        element = C4.sample(len(x))
        target = torch.where((element == 0)[:, None], sure, 0.5)
        loss = F.cross_entropy(vit(pixel_values=C4.act(x, element)).logits, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("checkpoint")
    vit.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def scrambled() -> tuple[Tensor, Tensor]:
    """Scenes that an element has happened to, and the element."""
    element = C4.sample(96, torch.Generator().manual_seed(2))
    return C4.act(scenes(96, seed=3), element), element


def trainer_for(
    checkpoint: Path, data: Any, folder: Path, collator: Any = None, group: str = "c4", **changes: Any
) -> CanonicalizationTrainer:
    torch.manual_seed(0)
    model = CanonicalizedModel.wrap(checkpoint, group=group, canonicalizer="shift")
    settings: dict[str, Any] = {
        "num_train_epochs": 9,
        "per_device_train_batch_size": 16,
        "save_strategy": "no",
        "report_to": "none",
        "use_cpu": True,
        "disable_tqdm": True,
        "logging_strategy": "no",
    }
    args = CanonicalizationArguments(str(folder), **{**settings, **changes})
    return CanonicalizationTrainer(
        model=model, args=args, train_dataset=data, data_collator=collator, processing_class=PROCESSOR
    )


def rows(x: Tensor) -> list[dict[str, Tensor]]:
    return [{"pixel_values": one} for one in x]


def pose_found(trainer: CanonicalizationTrainer) -> float:
    """How often the canonicalizer finds what happened to upright scenes that nobody has seen."""
    model: Any = trainer.model
    x = scenes(64, seed=4)
    element = C4.sample(len(x), torch.Generator().manual_seed(5))
    with torch.no_grad():
        found = model.eval().canonicalize(C4.act(x, element)).element
    return float((found == element).float().mean())


def estimates(trainer: CanonicalizationTrainer) -> list[dict[str, float]]:
    return [entry for entry in trainer.state.log_history if "poses_moved" in entry]


def test_poses_that_the_identity_prior_cannot_know_are_recovered(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    x, element = scrambled
    before = x.clone()
    trainer = trainer_for(checkpoint, rows(x), tmp_path, prior="predictor", realign_rounds=3)
    weights = {name: value.clone() for name, value in trainer.model.predictor.state_dict().items()}  # type: ignore
    trainer.train()
    assert trainer.realignment is not None and trainer.realignment.poses is not None
    assert float((trainer.realignment.poses == element).float().mean()) > 0.9
    assert pose_found(trainer) > 0.9
    assert torch.equal(x, before)
    after = trainer.model.predictor.state_dict()  # type: ignore[union-attr]
    assert all(torch.equal(value, after[name]) for name, value in weights.items())

    ignorant = trainer_for(checkpoint, rows(x), tmp_path)
    ignorant.train()
    assert pose_found(ignorant) < 0.6


def test_the_first_part_believes_the_prior_and_later_parts_what_was_learned(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    """Even a wrong prior does not last: what nobody has learned from it, the predictor decides."""
    x, element = scrambled
    trainer = trainer_for(checkpoint, rows(x), tmp_path, realign_rounds=3)
    trainer.train()
    first, second, third = estimates(trainer)
    assert first["poses_moved"] == 0 and "pose_agreement" not in first
    assert second["poses_changed"] == second["poses_moved"] > 0.5
    assert third["poses_changed"] < second["poses_changed"]
    assert trainer.realignment is not None and trainer.realignment.poses is not None
    assert float((trainer.realignment.poses == element).float().mean()) > 0.9


def test_a_histogram_is_multiplied_with_what_the_predictor_says(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    x, _ = scrambled
    trainer = trainer_for(checkpoint, rows(x), tmp_path, prior=[0.5, 0.0, 0.5, 0.0], realign_rounds=1, max_steps=1)
    trainer.train()
    assert trainer.realignment is not None and trainer.realignment.poses is not None
    assert set(trainer.realignment.poses.tolist()) == {0, 2}


def test_the_predictor_is_asked_once(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, _ = scrambled
    trainer = trainer_for(checkpoint, rows(x), tmp_path, prior="predictor", realign_rounds=3)
    seen = []
    predictor: Any = trainer.model.predictor  # type: ignore[union-attr]
    predictor.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(len(kwargs["pixel_values"])), with_kwargs=True
    )
    trainer.train()
    assert sum(seen) == 4 * len(x)


def test_images_and_a_collator_that_augments(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    x, element = scrambled
    pixels = ((x + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    data = Dataset.from_dict({"image": [Image.fromarray(one) for one in pixels]})
    reads = ImageCollator(PROCESSOR)

    def brightened(examples: list[dict[str, Any]]) -> dict[str, Tensor]:
        batch = reads(examples)
        return {"pixel_values": batch["pixel_values"] + 0.1 * torch.randn(len(examples), 1, 1, 1)}

    trainer = trainer_for(checkpoint, data, tmp_path, brightened, prior="predictor", realign_rounds=3)
    trainer.train()
    assert trainer.realignment is not None and trainer.realignment.poses is not None
    assert float((trainer.realignment.poses == element).float().mean()) > 0.9
    assert pose_found(trainer) > 0.9


def test_clips_of_several_lengths(tmp_path: Path) -> None:
    base = audio.build("Wav2Vec2ForSequenceClassification")
    base.save_pretrained(tmp_path / "base")
    model = CanonicalizedModel.wrap(tmp_path / "base", group="reverse")
    clips = [{"input_values": torch.randn(4000 + 100 * i)} for i in range(6)]
    args = CanonicalizationArguments(
        str(tmp_path / "out"),
        prior="predictor",
        realign_rounds=2,
        max_steps=2,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=clips)
    trainer.train()
    batch = AudioCollator()(clips)
    x = batch["input_values"]
    scores = predictor_scores(model, x, model.lengths(x, batch))
    assert trainer.realignment is not None and trainer.realignment.scores is not None
    assert torch.allclose(trainer.realignment.scores, scores, atol=1e-5)


@pytest.mark.slow
def test_resumes_within_a_part(checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path) -> None:
    """Six epochs of two parts in one go, or stopped after the fourth, end with the same weights and beliefs."""
    data = rows(scrambled[0])

    def train(folder: Path, resume: bool, stop_after: int | None) -> tuple[dict[str, Tensor], Tensor | None]:
        trainer = trainer_for(
            checkpoint, data, folder, prior="predictor", realign_rounds=2, num_train_epochs=6, save_strategy="epoch"
        )
        if stop_after is not None:
            trainer.add_callback(StopAfter(stop_after))
        trainer.train(resume_from_checkpoint=resume)
        assert trainer.realignment is not None
        return dict(trainer.model.canonicalizer.state_dict()), trainer.realignment.poses  # type: ignore

    whole, poses = train(tmp_path / "whole", resume=False, stop_after=None)
    train(tmp_path / "halves", resume=False, stop_after=4)
    saved = load_file(tmp_path / "halves" / "checkpoint-24" / POSES_FILE)
    assert saved["scores"].shape == (96, 4)
    halves, again = train(tmp_path / "halves", resume=True, stop_after=None)
    assert all(torch.allclose(whole[name], halves[name], atol=1e-6) for name in whole)
    assert poses is not None and again is not None and torch.equal(poses, again)
    fewer = trainer_for(checkpoint, data[:50], tmp_path / "halves", prior="predictor", realign_rounds=2)
    with pytest.raises(ValueError, match="the poses of 96 training inputs, and the data set has 50"):
        fewer.train(resume_from_checkpoint=True)


@pytest.mark.slow
def test_without_realignment_the_predictor_is_the_prior_of_every_batch(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    trainer = trainer_for(checkpoint, rows(scrambled[0]), tmp_path, prior="predictor", prior_temperature=0.05)
    trainer.train()
    assert pose_found(trainer) > 0.9


@pytest.mark.slow
def test_evaluation_asks_the_predictor_where_nobody_knows_the_pose(
    checkpoint: Path, scrambled: tuple[Tensor, Tensor], tmp_path: Path
) -> None:
    """A canonicalizer that finds the pose agrees with the predictor on inputs in any pose, and not on the pose that
    they were only turned by."""
    trainer = trainer_for(checkpoint, rows(scrambled[0]), tmp_path, prior="predictor", realign_rounds=1)
    trainer.train()
    metrics = trainer.evaluate(rows(scrambled[0]))
    assert metrics["eval_pose_agreement"] > 0.9 and "eval_pose_accuracy" not in metrics
    knowing = trainer_for(checkpoint, None, tmp_path)
    knowing.model.canonicalizer = trainer.model.canonicalizer  # type: ignore[union-attr]
    assert knowing.evaluate(rows(scrambled[0]))["eval_pose_accuracy"] < 0.6


def test_examples_of_any_kind_are_numbered() -> None:
    numbered = Numbered([("a", 1.0), ("b", 2.0), ("c", 3.0)])
    collate = NumberedCollator(lambda examples: {"x": torch.tensor([value for _, value in examples])})
    batch = collate(numbered.__getitems__([2, 0]))
    assert batch["x"].tolist() == [3.0, 1.0] and batch[NUMBER].tolist() == [2, 0]


def test_draws_are_repeated_and_leave_no_trace() -> None:
    with repeated_draws(3, torch.device("cpu")):
        first = torch.rand(2)
    state = torch.get_rng_state()
    with repeated_draws(3, torch.device("cpu")):
        assert torch.equal(torch.rand(2), first)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_prior_as_a_shell_gives_it(tmp_path: Path) -> None:
    def parsed(*words: str) -> Any:
        (args,) = HfArgumentParser(CanonicalizationArguments).parse_args_into_dataclasses(  # type: ignore[arg-type]
            ["--output_dir", str(tmp_path), *words]
        )
        return args.prior

    assert parsed("--prior", "predictor") == "predictor"
    assert parsed("--prior", "0.7", "0.1", "0.1", "0.1") == [0.7, 0.1, 0.1, 0.1]
    assert parsed() == "identity"


class TestRefusals:
    def test_a_stream(self, checkpoint: Path, tmp_path: Path) -> None:
        stream = Dataset.from_dict({"pixel_values": torch.rand(4, 3, 16, 16).numpy()}).to_iterable_dataset()
        with pytest.raises(ValueError, match="The training set is a stream"):
            trainer_for(checkpoint, stream, tmp_path, realign_rounds=2, max_steps=2)

    def test_a_continuous_group(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="compares all elements of a group, and so2 has infinitely many"):
            trainer_for(checkpoint, rows(torch.rand(4, 3, 16, 16)), tmp_path, group="so2", realign_rounds=2)
        with pytest.raises(ValueError, match="prior='predictor' asks .* so2 has infinitely many"):
            trainer_for(checkpoint, None, tmp_path, group="so2", prior="predictor")

    @pytest.mark.parametrize(
        ("changes", "sentence"),
        [
            ({"prior": "upright"}, "A prior is 'identity', 'predictor', 'reference' or one probability .* 'upright'"),
            ({"prior": ["up", "down"]}, r"A prior is .* \['up', 'down'\]"),
            ({"prior_temperature": 0.0}, "cannot be 0.0. Give prior_temperature=0.1"),
            ({"realign_rounds": -1}, "cannot have -1 parts"),
            ({"realign_rounds": 2, "prior_weight": 0.0, "task_weight": 1.0}, "prior_weight=0 learns from none"),
        ],
    )
    def test_arguments(self, checkpoint: Path, tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
        with pytest.raises(ValueError, match=sentence):
            trainer_for(checkpoint, None, tmp_path, **changes)

    def test_a_prior_for_another_group(self, checkpoint: Path, tmp_path: Path) -> None:
        trainer = trainer_for(checkpoint, rows(torch.rand(4, 3, 16, 16)), tmp_path, prior=[0.5, 0.5], realign_rounds=1)
        with pytest.raises(ValueError, match="2 probabilities, and c4 has 4 elements"):
            trainer.train()

    def test_a_collator_that_loses_examples(self, checkpoint: Path, tmp_path: Path) -> None:
        def first(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {"pixel_values": examples[0]["pixel_values"][None]}

        trainer = trainer_for(checkpoint, rows(torch.rand(4, 3, 16, 16)), tmp_path, first, realign_rounds=1)
        with pytest.raises(ValueError, match="has 1 inputs and 4 poses"):
            trainer.train()


class StopAfter(TrainerCallback):
    """Stops a training as a person would, between two epochs."""

    def __init__(self, epochs: int):
        self.epochs = epochs

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_training_stop = state.epoch >= self.epochs
