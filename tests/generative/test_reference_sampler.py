"""A generator of upright samples beside an adapter: it fits, it stays while it does, and strangers can use it."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import audio
from huggingface_hub.utils import filter_repo_objects
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil, Wav2Vec2FeatureExtractor

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel, distribution_shift
from hf_canon.generative import GeneratorConfig, InvariantGenerator, add_reference_sampler, reference_samples
from hf_canon.groups import Spectrograms, Waveforms
from hf_canon.groups.kinds import describe_kind
from hf_canon.hub.folder import SAMPLER_FILES
from hf_canon.hub.push import FILES


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tiny = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    vit = ViTForImageClassification(ViTConfig(**tiny, image_size=16, patch_size=8))  # type: ignore[arg-type]
    vit.save_pretrained(tmp_path / "checkpoint")
    processor = ViTImageProcessorPil(size={"height": 16, "width": 16}, image_mean=[0.5] * 3, image_std=[0.5] * 3)
    processor.save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


@pytest.fixture
def adapter(checkpoint: Path, tmp_path: Path) -> Path:
    CanonicalizedModel.wrap(checkpoint, group="c4").save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def sampler(shape: tuple[int, ...] = (1, 12, 12), **settings: Any) -> InvariantGenerator:
    given: dict[str, Any] = {"group": "c4" if len(shape) == 3 else "polarity", "symmetry": "none", **settings}
    return InvariantGenerator(GeneratorConfig(shape=shape, latent_size=4, width=4, **given)).eval()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_it_is_beside_the_adapter_and_loaded_to_the_bit(adapter: Path) -> None:
    before, generator = contents(adapter), sampler()
    add_reference_sampler(adapter, generator)
    after = contents(adapter)
    assert set(after) - set(before) == set(SAMPLER_FILES)
    assert {name for name in before if before[name] != after[name]} == {"README.md"}
    found = InvariantGenerator.from_pretrained(adapter, subfolder="reference_sampler")
    seed = torch.Generator().manual_seed
    assert torch.equal(found.sample(3, seed(1)), generator.sample(3, seed(1)))
    assert isinstance(CanonicalizedModel.from_pretrained(adapter), CanonicalizedModel)


def test_the_card_names_it(adapter: Path) -> None:
    assert "Reference sampler" not in (adapter / "README.md").read_text()
    add_reference_sampler(adapter, sampler(training={"samples": 200}))
    card = (adapter / "README.md").read_text()
    assert "draws images of 1 x 12 x 12 numbers, learned from 200 samples" in card
    assert 'reference_samples("adapter", 500)' in card and "reference_sampler/samples.png" in card
    (adapter / "README.md").write_text("In my own words.\n")
    add_reference_sampler(adapter, sampler())
    assert (adapter / "README.md").read_text() == "In my own words.\n"


def test_an_adapter_that_is_saved_again_leaves_it_while_it_fits(adapter: Path, checkpoint: Path) -> None:
    add_reference_sampler(adapter, sampler())
    before = contents(adapter)
    model = CanonicalizedModel.from_pretrained(adapter)
    model.save_pretrained(adapter)
    assert contents(adapter) == before
    with torch.no_grad():
        next(model.canonicalizer.parameters()).add_(1)  # trained further
    model.save_pretrained(adapter)
    after = contents(adapter)
    assert {name for name in after if after[name] != before[name]} == {"model.safetensors"}
    assert "Reference sampler" in after["README.md"].decode()


def test_it_goes_with_the_images_that_it_was_for(adapter: Path, tmp_path: Path) -> None:
    add_reference_sampler(adapter, sampler())
    audio.build("Wav2Vec2ForSequenceClassification").save_pretrained(tmp_path / "ears")
    CanonicalizedModel.wrap(tmp_path / "ears", group="reverse").save_pretrained(adapter)
    assert not [name for name in contents(adapter) if name.startswith("reference_sampler")]
    assert "Reference sampler" not in (adapter / "README.md").read_text()


def test_pushing_takes_it_along_and_nothing_else_of_that_folder(adapter: Path) -> None:
    add_reference_sampler(adapter, sampler())
    (adapter / "reference_sampler/notes.txt").write_text("where the data are")
    taken = set(filter_repo_objects(contents(adapter), allow_patterns=FILES))
    assert {name for name in taken if name.startswith("reference_sampler")} == set(SAMPLER_FILES)


def test_samples_are_what_data_sets_hold(adapter: Path) -> None:
    add_reference_sampler(adapter, sampler())
    one, again, other = (reference_samples(adapter, 3, seed) for seed in (1, 1, 2))
    assert [item["image"].mode for item in one] == ["L"] * 3 and one[0]["image"].size == (12, 12)
    assert [a["image"].tobytes() for a in one] == [b["image"].tobytes() for b in again]
    assert one[0]["image"].tobytes() != other[0]["image"].tobytes()
    found = InvariantGenerator.from_pretrained(adapter, subfolder="reference_sampler")
    drawn = found.sample(3, torch.Generator().manual_seed(1))[0, 0]
    pixels = torch.tensor(list(one[0]["image"].tobytes())).view(12, 12) / 255
    assert torch.allclose(pixels, drawn, atol=0.5 / 255 + 1e-6)


def test_colours_stay_where_they_are(adapter: Path) -> None:
    add_reference_sampler(adapter, sampler((3, 8, 12), group="c2"))
    image = reference_samples(adapter, 1)[0]["image"]
    drawn = InvariantGenerator.from_pretrained(adapter, subfolder="reference_sampler").sample(
        1, torch.Generator().manual_seed(0)
    )[0]
    assert image.mode == "RGB" and image.size == (12, 8)
    assert torch.allclose(torch.tensor(image.getpixel((5, 2))) / 255, drawn[:, 2, 5], atol=0.5 / 255 + 1e-6)


def test_samples_are_compared_with_and_trained_on(adapter: Path, tmp_path: Path) -> None:
    """In place of a reference, of a reference to train with, and of upright data."""
    add_reference_sampler(adapter, sampler((3, 16, 16)))
    samples, others = (reference_samples(adapter, 24, seed) for seed in (1, 2))
    model = CanonicalizedModel.from_pretrained(adapter)
    report = distribution_shift(samples, others, model=model, permutations=19)
    assert report.reference.items == 24
    processor = ViTImageProcessorPil.from_pretrained(adapter)
    for prior, reference in (("identity", None), ("reference", samples)):
        args = CanonicalizationArguments(
            str(tmp_path / "out"), prior=prior, max_steps=1, save_strategy="no", report_to="none", use_cpu=True
        )
        given: dict[str, Any] = {"train_dataset": others, "reference_dataset": reference}
        trainer = CanonicalizationTrainer(model=model, args=args, processing_class=processor, **given)
        assert trainer.train().global_step == 1


def test_of_clips(tmp_path: Path) -> None:
    audio.build("Wav2Vec2ForSequenceClassification").save_pretrained(tmp_path / "ears")
    Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "ears")
    CanonicalizedModel.wrap(tmp_path / "ears", group="reverse").save_pretrained(tmp_path / "adapter")
    add_reference_sampler(tmp_path / "adapter", sampler((400,), group="reverse"))
    (one,) = reference_samples(tmp_path / "adapter", 1)
    assert one["audio"]["array"].shape == (400,) and one["audio"]["sampling_rate"] == 16_000
    with pytest.raises(ValueError, match="draws images, and the adapter's checkpoint reads audio, as a waveform"):
        add_reference_sampler(tmp_path / "adapter", sampler())
    faster = describe_kind(Waveforms(44_100))
    with pytest.raises(ValueError, match="reads audio, as a waveform, of another kind"):
        add_reference_sampler(tmp_path / "adapter", sampler((400,), group="reverse", kind=faster))


KIND = describe_kind(Spectrograms(tuple(100.0 * 2 ** (i / 12) for i in range(24)), -1, 100.0, 1.0))


class TestRefusals:
    @pytest.mark.parametrize(
        ("generator", "sentence"),
        [
            (sampler(symmetry="output"), "draws in all poses of c4, and a reference shows what upright is"),
            (sampler((400,)), "draws audio, as a waveform, and the adapter's checkpoint reads images"),
            (sampler((30, 24), group="gain", kind=KIND), "draws audio, as a spectrogram, and .* reads images"),
            (sampler((2, 8, 8)), "draws images of 2 channels, and processors read images of 1, 3 or 4"),
        ],
    )
    def test_what_cannot_be_a_reference(self, adapter: Path, generator: InvariantGenerator, sentence: str) -> None:
        before = contents(adapter)
        with pytest.raises(ValueError, match=sentence):
            add_reference_sampler(adapter, generator)
        assert contents(adapter) == before and not (adapter / "reference_sampler").exists()

    def test_another_size_than_a_processor_leaves_as_it_is(self, adapter: Path) -> None:
        ViTImageProcessorPil(do_resize=False).save_pretrained(adapter)
        with pytest.raises(ValueError, match="reads 16 x 16, and its processor does not resize"):
            add_reference_sampler(adapter, sampler())
        add_reference_sampler(adapter, sampler((1, 16, 16)))

    def test_no_adapter(self, checkpoint: Path, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="holds a vit checkpoint and no adapter"):
            add_reference_sampler(checkpoint, sampler())
        with pytest.raises(ValueError, match="holds no config.json, and so no adapter"):
            add_reference_sampler(tmp_path / "nowhere", sampler())

    def test_no_sampler(self, adapter: Path) -> None:
        with pytest.raises(OSError, match="No reference sampler could be read from .* add it with"):
            reference_samples(adapter, 1)
        add_reference_sampler(adapter, sampler())
        shutil.rmtree(adapter / "reference_sampler")
        with pytest.raises(OSError, match="No reference sampler could be read from"):
            reference_samples(adapter, 1)
