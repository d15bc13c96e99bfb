"""An adapter belongs to the weights that it was saved for, and what it carries belongs to it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from images import images
from peft import LoraConfig
from torch import nn
from transformers import (
    AutoImageProcessor,
    AutoModel,
    EfficientNetImageProcessorPil,
    Swinv2Config,
    Swinv2Model,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
)

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, evaluate_robustness
from hf_canon.predictors.hub_files import normalization


def vit(seed: int = 0) -> ViTForImageClassification:
    torch.manual_seed(seed)
    return ViTForImageClassification(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=32,
            patch_size=8,
        )
    )


def save(folder: Path, seed: int = 0, mean: float = 0.5) -> Path:
    vit(seed).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 32, "width": 32}, image_mean=[mean] * 3).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return save(tmp_path / "checkpoint")


def logits(model: CanonicalizedModel) -> torch.Tensor:
    with torch.inference_mode():
        return model.eval()(pixel_values=images(3, 32)).logits


class TestTheCheckpoint:
    def test_other_weights_in_its_place_are_refused(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        model.save_pretrained(tmp_path / "adapter")
        assert torch.equal(logits(CanonicalizedModel.from_pretrained(tmp_path / "adapter")), logits(model))
        save(checkpoint, seed=1)
        with pytest.raises(ValueError, match="saved for other weights than those that are in .* now. Bring the old"):
            CanonicalizedModel.from_pretrained(tmp_path / "adapter")
        transformed = CanonicalizedModel.wrap(checkpoint, adapter=tmp_path / "adapter")
        transformed.save_pretrained(tmp_path / "transformed")
        assert torch.equal(logits(CanonicalizedModel.from_pretrained(tmp_path / "transformed")), logits(transformed))

    def test_a_live_model_that_was_changed_is_not_taken_for_its_folder(self, checkpoint: Path, tmp_path: Path) -> None:
        live = ViTForImageClassification.from_pretrained(checkpoint)
        nn.init.normal_(live.classifier.weight)
        CanonicalizedModel.wrap(live, group="c4").save_pretrained(tmp_path / "adapter")
        with pytest.raises(ValueError, match="saved for other weights"):
            CanonicalizedModel.from_pretrained(tmp_path / "adapter")
        loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter", predictor=live)
        assert torch.equal(logits(loaded), logits(CanonicalizedModel.from_pretrained(loaded_full(loaded, tmp_path))))

    def test_a_predictor_changed_after_wrapping_is_saved_whole_or_not(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        nn.init.normal_(model.predictor.classifier.weight)
        with pytest.raises(ValueError, match="no longer has the weights of .* Save both with full=True"):
            model.save_pretrained(tmp_path / "adapter")
        assert not (tmp_path / "adapter").exists()
        assert torch.equal(logits(CanonicalizedModel.from_pretrained(loaded_full(model, tmp_path))), logits(model))

    def test_training_in_two_stages(self, checkpoint: Path, tmp_path: Path) -> None:
        """First all of it, then the canonicalizer alone: what is saved at the end has the trained predictor."""
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        data = [{"pixel_values": x, "label": i % 2} for i, x in enumerate(images(8, 32))]
        for stage, weights in enumerate(({"train_predictor": True, "task_weight": 1.0}, {})):
            arguments = CanonicalizationArguments(
                str(tmp_path / str(stage)),
                max_steps=2,
                per_device_train_batch_size=4,
                report_to="none",
                use_cpu=True,
                disable_tqdm=True,
                learning_rate=0.1,
                **weights,
            )
            trainer = CanonicalizationTrainer(model=model, args=arguments, train_dataset=data)
            trainer.train()
            trainer.save_model()
            reloaded = CanonicalizedModel.from_pretrained(tmp_path / str(stage))
            assert torch.equal(logits(reloaded), logits(model))
        # And again from what was saved.
        arguments.output_dir = str(tmp_path / "third")
        CanonicalizationTrainer(model=reloaded, args=arguments, train_dataset=data).train()

    def test_in_another_precision_nobody_can_tell(self, checkpoint: Path, tmp_path: Path) -> None:
        CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(tmp_path / "adapter")
        half = CanonicalizedModel.from_pretrained(tmp_path / "adapter", dtype=torch.bfloat16)
        assert half.dtype == torch.bfloat16
        half.save_pretrained(tmp_path / "again")
        assert torch.equal(
            logits(CanonicalizedModel.from_pretrained(tmp_path / "again", dtype=torch.bfloat16)), logits(half)
        )

    def test_a_subfolder_is_remembered(self, tmp_path: Path) -> None:
        save(tmp_path / "both", seed=1)
        save(tmp_path / "both" / "second", seed=2)
        model = CanonicalizedModel.wrap(tmp_path / "both", group="c4", subfolder="second")
        model.save_pretrained(tmp_path / "adapter")
        assert torch.equal(logits(CanonicalizedModel.from_pretrained(tmp_path / "adapter")), logits(model))

    def test_new_heads_are_refused(self, checkpoint: Path) -> None:
        with pytest.raises(ValueError, match="ignore_mismatched_sizes gives the checkpoint new weights"):
            CanonicalizedModel.wrap(checkpoint, num_labels=5, ignore_mismatched_sizes=True)

    def test_it_is_never_overwritten(self, checkpoint: Path, tmp_path: Path) -> None:
        before = {path.name: path.read_bytes() for path in checkpoint.iterdir()}
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        for full in (False, True):
            with pytest.raises(ValueError, match="holds a vit checkpoint, which an adapter would overwrite"):
                model.save_pretrained(checkpoint, full=full)
        assert {path.name: path.read_bytes() for path in checkpoint.iterdir()} == before

    def test_files_of_others_stay(self, checkpoint: Path, tmp_path: Path) -> None:
        folder = tmp_path / "adapter"
        folder.mkdir()
        for name in ("model_ema.safetensors", "model-old.safetensors", "notes.txt"):
            (folder / name).write_text("mine")
        CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(folder)
        for name in ("model_ema.safetensors", "model-old.safetensors", "notes.txt"):
            assert (folder / name).read_text() == "mine"


def loaded_full(model: CanonicalizedModel, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "whole", full=True)
    return tmp_path / "whole"


class TestWhatItCarries:
    def test_a_report_stays_with_its_weights(self, checkpoint: Path, tmp_path: Path) -> None:
        items = [{"pixel_values": x} for x in images(2, 32)]
        first = CanonicalizedModel.wrap(checkpoint, group="c4")
        folder = tmp_path / "adapter"
        first.save_pretrained(folder, report=evaluate_robustness(first, items, "c4"))
        first.save_pretrained(folder)
        assert (folder / "robustness.json").exists() and "What it changes" in (folder / "README.md").read_text()
        second = CanonicalizedModel.wrap(checkpoint, group="c4")  # the same, with other weights
        second.save_pretrained(folder)
        assert not (folder / "robustness.json").exists() and not (folder / "robustness.png").exists()
        assert "What it changes" not in (folder / "README.md").read_text()
        other = CanonicalizedModel.wrap(checkpoint, group="d4", canonicalizer="shift")
        with pytest.raises(ValueError, match="The report is of a 'shift' canonicalizer over d4, and this is 'orbit'"):
            first.save_pretrained(folder, report=evaluate_robustness(other, items, "c4"))

    def test_a_strangers_report_and_card_harm_nothing(self, checkpoint: Path, tmp_path: Path) -> None:
        folder = tmp_path / "adapter"
        folder.mkdir()
        (folder / "robustness.json").write_text("{}")
        (folder / "README.md").write_bytes("Größe".encode("latin-1"))
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        model.save_pretrained(folder)
        assert (folder / "README.md").read_bytes() == "Größe".encode("latin-1")

    def test_the_processor_is_the_predictors(self, checkpoint: Path, tmp_path: Path) -> None:
        other = save(tmp_path / "other", seed=3, mean=0.1)
        folder = tmp_path / "adapter"
        CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(folder)
        assert AutoImageProcessor.from_pretrained(folder).image_mean[0] == 0.5
        CanonicalizedModel.wrap(other, adapter=folder).save_pretrained(folder)
        assert AutoImageProcessor.from_pretrained(folder).image_mean[0] == 0.1
        # An adapter's own processor goes with it.
        ViTImageProcessorPil(image_mean=[0.3] * 3).save_pretrained(folder)
        CanonicalizedModel.from_pretrained(folder).save_pretrained(tmp_path / "copy")
        assert AutoImageProcessor.from_pretrained(tmp_path / "copy").image_mean[0] == 0.3

    def test_renamed_classes(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        model.config.id2label, model.config.label2id = {0: "no", 1: "yes"}, {"no": 0, "yes": 1}
        model.save_pretrained(tmp_path / "adapter")
        loaded = CanonicalizedModel.from_pretrained(tmp_path / "adapter")
        assert loaded.config.id2label == {0: "no", 1: "yes"} and loaded.config.label2id == {"no": 0, "yes": 1}

    def test_evaluating_is_not_training(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        model.config.training = {"data": {"examples": 5000}}
        arguments = CanonicalizationArguments(str(tmp_path), report_to="none", use_cpu=True, disable_tqdm=True)
        data = [{"pixel_values": x} for x in images(4, 32)]
        CanonicalizationTrainer(model=model, args=arguments, eval_dataset=data).evaluate()
        assert model.config.training == {"data": {"examples": 5000}}

    def test_a_canonicalizer_that_is_used_again_begins_anew(self, checkpoint: Path, tmp_path: Path) -> None:
        CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(tmp_path / "adapter")
        other = save(tmp_path / "other", mean=0.1)
        transformed = CanonicalizedModel.wrap(other, adapter=tmp_path / "adapter")
        again = CanonicalizedModel.wrap(other, group="c4", canonicalizer=transformed.canonicalizer)
        again.save_pretrained(tmp_path / "again")
        x = images(3, 32)
        loaded = CanonicalizedModel.from_pretrained(tmp_path / "again")
        assert torch.equal(loaded.canonicalize(x).logits, again.canonicalize(x).logits)

    def test_left_out_peft_weights_are_mentioned(
        self, checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        predictor = ViTForImageClassification.from_pretrained(checkpoint)
        predictor.add_adapter(LoraConfig(r=2, target_modules=["q_proj"]))
        CanonicalizedModel.wrap(predictor, group="c4").save_pretrained(tmp_path / "adapter")
        said: list[str] = []
        monkeypatch.setattr("hf_canon.adapters.saving.logger.warning", said.append)
        CanonicalizedModel.wrap(save(tmp_path / "other"), adapter=tmp_path / "adapter")
        assert len(said) == 1 and "also holds PEFT weights for its own checkpoint" in said[0]


class TestWholeCheckpoints:
    def test_a_network_of_ones_own(self, checkpoint: Path, tmp_path: Path) -> None:
        def network() -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 64))

        model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer=network())
        folder = loaded_full(model, tmp_path)
        loaded = CanonicalizedModel.from_pretrained(folder, canonicalizer=network())
        assert torch.equal(logits(loaded), logits(model))
        with pytest.raises(ValueError, match="do not fit its configuration.*pass it again as canonicalizer="):
            CanonicalizedModel.from_pretrained(folder)

    def test_another_configuration_is_refused(self, checkpoint: Path, tmp_path: Path) -> None:
        folder = loaded_full(CanonicalizedModel.wrap(checkpoint, group="c4"), tmp_path)
        config = json.loads((folder / "config.json").read_text())
        config |= {"canonicalizer": "shift", "canonicalizer_settings": {}}
        (folder / "config.json").write_text(json.dumps(config))
        with pytest.raises(ValueError, match="do not fit its configuration"):
            CanonicalizedModel.from_pretrained(folder)

    def test_a_backbone_with_buffers_that_are_not_saved(self, checkpoint: Path, tmp_path: Path) -> None:
        config = Swinv2Config(image_size=32, patch_size=4, embed_dim=8, depths=[1], num_heads=[2], window_size=4)
        Swinv2Model(config).save_pretrained(tmp_path / "swin")
        settings = {"backbone": str(tmp_path / "swin")}
        model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer_settings=settings)
        folder = loaded_full(model, tmp_path)
        assert torch.equal(logits(CanonicalizedModel.from_pretrained(folder)), logits(model))
        assert str(tmp_path) not in (folder / "config.json").read_text()
        transformed = CanonicalizedModel.wrap(save(tmp_path / "other", seed=4), adapter=folder)
        x = images(2, 32)
        assert torch.equal(transformed.canonicalize(x).logits, model.canonicalize(x).logits)
        assert isinstance(AutoModel.from_pretrained(tmp_path / "swin"), Swinv2Model)

    def test_shards(self, checkpoint: Path, tmp_path: Path) -> None:
        model = CanonicalizedModel.wrap(checkpoint, group="c4")
        model.save_pretrained(tmp_path / "whole", full=True, max_shard_size="20KB")
        transformed = CanonicalizedModel.wrap(save(tmp_path / "other", seed=4), adapter=tmp_path / "whole")
        x = images(2, 32)
        assert torch.equal(transformed.canonicalize(x).logits, model.canonicalize(x).logits)


def test_words_that_mean_nothing_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    model = CanonicalizedModel.wrap(checkpoint, group="c4")
    with pytest.raises(ValueError, match="max_shard_size mean nothing for an adapter"):
        model.save_pretrained(tmp_path / "adapter", max_shard_size="1GB")
    with pytest.raises(ValueError, match="would upload without a card. Call model.push_to_hub"):
        model.save_pretrained(tmp_path / "adapter", full=True, push_to_hub=True)


MEAN, STD = [0.1, 0.2, 0.3], [0.4, 0.5, 0.6]
PROCESSORS: dict[str, dict[str, Any]] = {
    "usual": {},
    "no normalization": {"do_normalize": False},
    "no rescaling": {"do_rescale": False},
    "another scale": {"rescale_factor": 1 / 127.5},
    "one number for all channels": {"image_mean": 0.5, "image_std": 0.25},
}


@pytest.mark.parametrize("name", PROCESSORS)
def test_what_a_processor_does_to_values_is_known(tmp_path: Path, name: str) -> None:
    usual = {"do_resize": False, "image_mean": MEAN, "image_std": STD}
    processor = ViTImageProcessorPil(**{**usual, **PROCESSORS[name]})
    processor.save_pretrained(tmp_path)
    files = {"preprocessor_config.json": (tmp_path / "preprocessor_config.json").read_bytes()}
    image = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    found = normalization(files, 3)
    assert found is not None
    scale, shift = (torch.tensor(values).view(3, 1, 1) for values in found)
    seen = processor(image.permute(1, 2, 0).numpy(), return_tensors="pt", input_data_format="channels_last")
    torch.testing.assert_close(image * scale + shift, seen["pixel_values"][0].float(), rtol=1e-5, atol=1e-5)


def test_what_a_processor_does_beyond_that_is_not_converted(tmp_path: Path) -> None:
    EfficientNetImageProcessorPil(include_top=True).save_pretrained(tmp_path)
    assert normalization({"preprocessor_config.json": (tmp_path / "preprocessor_config.json").read_bytes()}, 3) is None
    assert normalization({}, 3) is None
