"""Checkpoints that read audio to audio: what their inputs mean, padding, answers in time, pipelines, batches."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from architectures import audio
from torch import Tensor, nn
from transformers import (
    ASTFeatureExtractor,
    AutoModelForAudioClassification,
    BertConfig,
    BertForSequenceClassification,
    ClapFeatureExtractor,
    LasrFeatureExtractor,
    NemotronAsrStreamingFeatureExtractor,
    ParakeetFeatureExtractor,
    PreTrainedModel,
    Speech2TextFeatureExtractor,
    TimesformerConfig,
    TimesformerForVideoClassification,
    VideoMAEConfig,
    VideoMAEForVideoClassification,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    VivitConfig,
    VivitForVideoClassification,
    Wav2Vec2Config,
    Wav2Vec2CTCTokenizer,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForAudioFrameClassification,
    Wav2Vec2ForSequenceClassification,
    Wav2Vec2Processor,
    WhisperFeatureExtractor,
    pipeline,
)
from transformers.modeling_outputs import TokenClassifierOutput

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel
from hf_canon.canonicalizers import Canonicalizer
from hf_canon.groups import Group, Images, Spectrograms, Waveforms, get_group
from hf_canon.objectives import PriorRegularization, TaskLoss
from hf_canon.objectives.base import random_pose
from hf_canon.predictors.inputs import SPECTROGRAMS
from hf_canon.tasks import CanonicalizedForAudioClassification
from hf_canon.tasks.audio import before_padding
from hf_canon.training import AudioCollator

EXTRACTORS: dict[str, tuple[Any, dict[str, Any]]] = {
    "ast": (ASTFeatureExtractor, {}),
    "ast, not normalized": (ASTFeatureExtractor, {"do_normalize": False, "num_mel_bins": 64}),
    "clap, fused": (ClapFeatureExtractor, {"max_length_s": 1}),
    "clap": (ClapFeatureExtractor, {"truncation": "rand_trunc", "max_length_s": 1}),
    "lasr": (LasrFeatureExtractor, {}),
    "nemotron": (NemotronAsrStreamingFeatureExtractor, {}),
    "parakeet": (ParakeetFeatureExtractor, {}),
    "speech to text": (Speech2TextFeatureExtractor, {}),
    "speech to text, as loud as it came": (Speech2TextFeatureExtractor, {"do_ceptral_normalize": False}),
    "whisper": (WhisperFeatureExtractor, {"chunk_length": 1, "feature_size": 80}),
}

# The extractors' own, of some of their defaults.
pytestmark = pytest.mark.filterwarnings("ignore:At least one mel filter has all zero values")


def extractor_of(name: str) -> tuple[Any, Spectrograms]:
    extractor_class, settings = EXTRACTORS[name]
    extractor = extractor_class(**settings)
    return extractor, SPECTROGRAMS[extractor_class.__name__](extractor)


def features(extractor: Any, wave: Tensor) -> Tensor:
    made = extractor(wave.numpy(), sampling_rate=extractor.sampling_rate, return_tensors="pt")
    return made[extractor.model_input_names[0]].flatten(0, -3)[0]


class Told(Canonicalizer):
    """Finds the element that it is told, for every input."""

    name = "told"

    def __init__(self, group: Group, element: float = 0):
        super().__init__()
        self.group, self.found, self.settings = group, element, {}
        self.weight = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor, lengths: Tensor | None = None) -> Tensor:
        return torch.zeros(len(x), self.group.order or 1, device=x.device)

    def element(self, logits: Tensor) -> Tensor:
        return torch.full((len(logits),), self.found)


class TestKinds:
    def test_every_known_extractor_is_tried(self) -> None:
        assert {one.__name__ for one, _ in EXTRACTORS.values()} == set(SPECTROGRAMS)

    @pytest.mark.parametrize("name", EXTRACTORS)
    def test_frequencies(self, name: str) -> None:
        """A rising tone is loudest in each bin when it has the frequency of the bin."""
        extractor, kind = extractor_of(name)
        rate = extractor.sampling_rate
        time = torch.arange(rate) / rate
        wave = 0.3 * torch.sin(torch.pi * rate / 2 * time**2)  # up to half the sampling rate in a second
        x = features(extractor, wave).movedim(kind.frequency_axis, -1)[: round(kind.frame_rate)]
        assert list(kind.frequencies) == sorted(kind.frequencies)
        for index in range(len(kind.frequencies) // 3, len(kind.frequencies) * 9 // 10):
            heard = int(x[:, index].argmax()) / kind.frame_rate * rate / 2
            assert abs(heard - kind.frequencies[index]) < 0.04 * rate / 2

    @pytest.mark.parametrize("name", EXTRACTORS)
    def test_decibels_and_frame_rate(self, name: str) -> None:
        extractor, kind = extractor_of(name)
        wave = 0.1 * torch.randn(extractor.sampling_rate)
        x, louder = features(extractor, wave), features(extractor, wave * 10 ** (6 / 20))
        difference = (louder - x).movedim(kind.frequency_axis, -1)[5 : round(0.9 * kind.frame_rate)]
        error = (difference - 6 * kind.decibel).abs()
        # Some of the lowest bins have no filter, or are at the floor.
        assert error.flatten().quantile(0.98) < 2e-3 * max(1, 6 * kind.decibel) and difference.isfinite().all()
        frames = before_padding(x.unsqueeze(0), -1 if kind.frequency_axis == -2 else -2)
        assert abs(int(frames) - kind.frame_rate) <= 3

    def test_waveforms(self, tmp_path: Path) -> None:
        wav2vec2 = audio.build("Wav2Vec2ForSequenceClassification")
        assert CanonicalizedModel.wrap(wav2vec2, group="reverse").group.kind == Waveforms(16_000)
        slow = Wav2Vec2FeatureExtractor(sampling_rate=8_000)
        told = CanonicalizedModel.wrap(wav2vec2, group="reverse", processor=slow)
        assert told.group.kind == Waveforms(8_000)
        wav2vec2.save_pretrained(tmp_path)
        slow.save_pretrained(tmp_path)
        found = CanonicalizedModel.wrap(tmp_path, group="reverse")
        assert found.group.kind == Waveforms(8_000)
        found.save_pretrained(tmp_path / "adapter")
        assert CanonicalizedModel.from_pretrained(tmp_path / "adapter").group.kind == Waveforms(8_000)
        assert json.loads((tmp_path / "adapter" / "preprocessor_config.json").read_text())["sampling_rate"] == 8_000

    def test_a_processor_beside_a_live_image_model(self) -> None:
        vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1))
        processor = ViTImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.25] * 3)
        kind = CanonicalizedModel.wrap(vit, group="c4", processor=processor).group.kind
        assert isinstance(kind, Images) and kind.scale == pytest.approx((4.0,) * 3)

    def test_spectrograms(self) -> None:
        kind = CanonicalizedModel.wrap(audio.build("WhisperForAudioClassification"), group="reverse").group.kind
        assert isinstance(kind, Spectrograms) and len(kind.frequencies) == audio.BINS and kind.frequency_axis == -2
        with pytest.raises(
            ValueError, match="reads spectrograms of 16 frequencies, and its WhisperFeatureExtractor m"
        ):
            CanonicalizedModel.wrap(
                audio.build("WhisperForAudioClassification"), group="reverse", processor=WhisperFeatureExtractor()
            )
        with pytest.raises(ValueError, match="hf_canon knows what the numbers mean in those of ASTFeatureExtractor"):
            CanonicalizedModel.wrap(
                audio.build("WhisperForAudioClassification"), group="reverse", processor=Wav2Vec2FeatureExtractor()
            )

    def test_padding_of_spectrograms(self) -> None:
        """Feature extractors fill up with silence, which is of one value after the logarithm, too."""
        for name in ("ast", "clap", "whisper"):
            extractor, kind = extractor_of(name)
            half = extractor.sampling_rate // 2
            made = extractor(
                torch.randn(half).numpy(),
                sampling_rate=extractor.sampling_rate,
                return_tensors="pt",
                **({"padding": "pad"} if name == "clap" else {}),
            )[extractor.model_input_names[0]]
            frames = before_padding(made, -3 - kind.frequency_axis)
            assert abs(int(frames) - kind.frame_rate / 2) <= 3
        assert before_padding(torch.zeros(1, 7, 4), -2).tolist() == [7]
        assert before_padding(torch.randn(1, 7, 4), -2).tolist() == [7]


class TestPadding:
    @pytest.mark.covering("group", "norm")
    @pytest.mark.parametrize("group", ["reverse", "reverse*polarity", "speed12"])
    @pytest.mark.parametrize("norm", ["layer", "group"])
    def test_a_batch_is_its_clips(self, group: str, norm: str) -> None:
        """Padded to one length, and told so, each clip has the answer that it has alone."""
        settings = {**audio.WAV2VEC2, "feat_extract_norm": norm}
        wav2vec2 = Wav2Vec2ForSequenceClassification(Wav2Vec2Config(**settings)).eval()
        element = 7.0 if group == "speed12" else 1
        model = CanonicalizedModel.wrap(wav2vec2, group=group, canonicalizer=Told(get_group(group), element))
        clips = [torch.randn(length) for length in (400, 300, 350)]
        batch = AudioCollator()([{"input_values": one} for one in clips])
        together = model(**batch).logits
        for one, answer in zip(clips, together, strict=True):
            alone = model(input_values=one.unsqueeze(0), attention_mask=torch.ones(1, len(one))).logits[0]
            if norm == "layer":  # the other kind normalizes over the padding too
                torch.testing.assert_close(alone, answer, rtol=0, atol=1e-4)

    @pytest.mark.parametrize("norm", ["layer", "group"])
    def test_masks(self, norm: str) -> None:
        """A predictor is told the lengths of the canonical clips where it would be told those of the clips."""
        seen: dict[str, Any] = {}

        def forward(self: Any, input_values: Tensor, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
            seen.update(x=input_values, mask=attention_mask)
            return TokenClassifierOutput(logits=torch.zeros(len(input_values), 3))

        made = audio_model("Wav2Vec2ForSequenceClassification", forward, feat_extract_norm=norm)
        model = CanonicalizedModel.wrap(made, group="speed12", canonicalizer=Told(get_group("speed12"), 12.0))
        x = torch.randn(2, 400)
        mask = torch.ones(2, 400)
        mask[1, 200:] = 0
        model(input_values=x * mask, attention_mask=mask)
        assert seen["x"].shape == (2, 800)
        assert seen["mask"].sum(1).tolist() == [800, 400]
        model(input_values=x)
        assert seen["mask"] is None and seen["x"].shape == (2, 800)
        arguments = model.arguments(x, torch.tensor([400, 200]))
        assert ("attention_mask" in arguments) == (norm == "layer")

    def test_it_is_at_the_end(self) -> None:
        mask = torch.ones(2, 400)
        mask[0, :100] = 0
        model = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForCTC"), group="reverse")
        with pytest.raises(ValueError, match="padded at its beginning.*padding_side='right'"):
            model(input_values=torch.randn(2, 400), attention_mask=mask)


class TestFrames:
    """A predictor that says how loud each tenth of a second is, whichever way the audio is played."""

    def loudness(self, group: str, element: float | None = None) -> CanonicalizedModel:
        def forward(self: Any, input_values: Tensor, attention_mask: Any = None, **kwargs: Any) -> Any:
            frames = input_values[:, : input_values.shape[1] // 10 * 10].unflatten(1, (-1, 10))
            return TokenClassifierOutput(logits=frames.abs().mean(2, keepdim=True))

        made = audio_model("Wav2Vec2ForAudioFrameClassification", forward, conv_kernel=(10,), conv_stride=(10,))
        canonicalizer = "orbit" if element is None else Told(get_group(group), element)
        return CanonicalizedModel.wrap(made, group=group, canonicalizer=canonicalizer)

    def test_they_are_where_the_audio_is(self) -> None:
        model = self.loudness("reverse")
        x = torch.randn(8, 200) * torch.linspace(0, 1, 200)
        mask = torch.ones_like(x)
        mask[1, 150:] = mask[2, 100:] = 0
        x = x * mask
        out = model(input_values=x, attention_mask=mask)
        assert out.canonicalization.element.unique().numel() == 2
        torch.testing.assert_close(out.logits, model.predictor(input_values=x).logits)

    @pytest.mark.parametrize("element", [12.0, -12.0, 5.0])
    def test_at_another_speed(self, element: float) -> None:
        model = self.loudness("speed12", element)
        x = torch.zeros(1, 1200)
        x[:, 300:400] = x[:, 800:900] = torch.sin(torch.arange(100) * 0.3)
        out = model(input_values=x)
        expected = model.predictor(input_values=x).logits
        assert out.logits.shape == expected.shape
        assert torch.corrcoef(torch.stack([out.logits.flatten(), expected.flatten()]))[0, 1] > 0.95

    def test_labels_of_frames_are_refused(self) -> None:
        with pytest.raises(ValueError, match="would have to follow the audio under reverse"):
            self.loudness("reverse")(input_values=torch.randn(1, 100), labels=torch.zeros(1, 10, 1))

    def test_streams_are_refused(self) -> None:
        name = "Nemotron3DiarizationForAudioFrameClassification"
        model = CanonicalizedModel.wrap(audio.build(name), group="reverse")
        with pytest.raises(ValueError, match="num_lookahead_frames say where in a stream"):
            model(**audio.example(name), num_lookahead_frames=1)


@pytest.mark.covering()
@pytest.mark.filterwarnings("ignore:.*Dynamo detected a call to a `functools.lru_cache`")  # of transformers' own
@pytest.mark.parametrize("name", ["HubertForCTC", "ASTForAudioClassification"])
@pytest.mark.parametrize("group", ["reverse", "time_shift4"])
def test_compiles_to_one_graph(name: str, group: str) -> None:
    model = CanonicalizedModel.wrap(audio.build(name), group=group)
    inputs = audio.example(name)
    compiled: Any = torch.compile(model, backend="eager", fullgraph=True)
    for given in (inputs, {model.main_input_name: inputs["input_values"]}):
        with torch.no_grad():
            torch.testing.assert_close(compiled(**given).logits, model(**given).logits)


@pytest.mark.parametrize("name", ["WhisperForAudioClassification", "LasrEncoder"])
def test_a_slower_spectrogram_is_no_longer(name: str) -> None:
    """What no longer fits is cropped, and the canonicalizer learns from what is left."""
    model = CanonicalizedModel.wrap(audio.build(name), group="speed12", canonicalizer="shift")
    inputs = audio.example(name, 8)
    x = inputs[model.main_input_name]
    transformed, _, _, lengths = random_pose(model, x, model.lengths(x, inputs), torch.Generator().manual_seed(0))
    assert lengths is not None and int(lengths.max()) == audio.FRAMES == transformed.shape[model.group.kind.time_axis]
    assert model(**inputs, objective=PriorRegularization()).loss.isfinite()


@pytest.mark.parametrize(
    ("group", "canonicalizer"), [("reverse", "orbit"), ("speed12", "shift"), ("pitch12", "shift")]
)
def test_a_task_loss_reaches_the_canonicalizer(group: str, canonicalizer: str) -> None:
    name = "Wav2Vec2ForSequenceClassification"
    model = CanonicalizedModel.wrap(audio.build(name), group=group, canonicalizer=canonicalizer).train()
    model(**audio.example(name), labels=torch.tensor([0, 1]), objective=TaskLoss()).loss.backward()
    gradients = [parameter.grad for parameter in model.canonicalizer.parameters()]
    assert all(one is not None and one.isfinite().all() for one in gradients)
    assert any(one is not None and one.any() for one in gradients)


def audio_model(name: str, forward: Any, **settings: Any) -> PreTrainedModel:
    """A predictor with this forward pass. It has the name of its kind: a live model is what its class is called."""
    parent: Any = {
        "Wav2Vec2ForSequenceClassification": Wav2Vec2ForSequenceClassification,
        "Wav2Vec2ForAudioFrameClassification": Wav2Vec2ForAudioFrameClassification,
    }[name]
    shape = {"conv_dim": (8,) * len(settings.get("conv_kernel", (1, 1)))}
    return type(name, (parent,), {"forward": forward})(
        Wav2Vec2Config(**{**audio.WAV2VEC2, **settings, **shape})
    ).eval()


SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}


class TestSentences:
    def test_text(self) -> None:
        with pytest.raises(
            ValueError, match=r"a BertForSequenceClassification, which reads text \(input_ids\); hf_ca"
        ):
            CanonicalizedModel.wrap(BertForSequenceClassification(BertConfig(**SMALL)))

    @pytest.mark.parametrize("videos", ["VideoMAE", "Timesformer", "Vivit"])
    def test_videos(self, videos: str) -> None:
        model_class, config = {
            "VideoMAE": (VideoMAEForVideoClassification, VideoMAEConfig),
            "Timesformer": (TimesformerForVideoClassification, TimesformerConfig),
            "Vivit": (VivitForVideoClassification, VivitConfig),
        }[videos]
        with pytest.raises(ValueError, match="which reads videos; hf_canon wraps what reads images"):
            CanonicalizedModel.wrap(model_class(config(**SMALL, image_size=32)))

    def test_groups_for_something_else(self) -> None:
        wav2vec2 = audio.build("Wav2Vec2ForSequenceClassification")
        whisper = audio.build("WhisperForAudioClassification")
        vit = ViTForImageClassification(ViTConfig(**SMALL))
        with pytest.raises(ValueError, match="reads, audio, as a waveform. Groups that do: .*polarity"):
            CanonicalizedModel.wrap(wav2vec2, group="c4")
        default = CanonicalizedModel.wrap(wav2vec2)
        assert (default.group.name, default.canonicalizer.name) == ("speed12", "shift")
        with pytest.raises(
            ValueError, match="polarity .* reads, audio, as a spectrogram. Groups that do: .*reverse"
        ) as e:
            CanonicalizedModel.wrap(whisper, group="polarity")
        assert "polarity" not in str(e.value).split("Groups that do")[1]
        with pytest.raises(ValueError, match="pitch12 .* reads, images. Groups that do: c<n>, d<n>, so2"):
            CanonicalizedModel.wrap(vit, group="pitch12")
        with pytest.raises(ValueError, match="makes every clip equally loud, and gain would find nothing"):
            CanonicalizedModel.wrap(audio.build("ParakeetForCTC"), group="gain")

    def test_too_short(self) -> None:
        model = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForCTC"), group="reverse")
        assert model(input_values=torch.randn(1, 15)).logits.shape[1] == 1
        with pytest.raises(ValueError, match="14 samples .* is too short for Wav2Vec2ForCTC, reading 15 at a time"):
            model(input_values=torch.randn(1, 14))
        faster = CanonicalizedModel.wrap(
            audio.build("Wav2Vec2ForCTC"), group="speed12", canonicalizer=Told(get_group("speed12"), -12.0)
        )
        with pytest.raises(ValueError, match="10 samples .* is too short"):
            faster(input_values=torch.randn(1, 20))
        speakers = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForXVector"), group="reverse")
        fewest = 10 * 3 + 15
        assert speakers(input_values=torch.randn(1, fewest)).logits.isfinite().all()
        with pytest.raises(ValueError, match=f"reading {fewest} at a time"):
            speakers(input_values=torch.randn(1, fewest - 1))

    def test_not_of_the_size_of_the_predictor(self) -> None:
        ast = CanonicalizedModel.wrap(audio.build("ASTForAudioClassification"), group="reverse")
        with pytest.raises(ValueError, match="reads spectrograms of 32 frames, and these have 30"):
            ast(input_values=torch.randn(1, 30, audio.BINS))

    def test_no_numbers(self) -> None:
        model = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForCTC"), group="reverse")
        x = torch.randn(2, 100)
        x[1, 5] = torch.nan
        with pytest.raises(ValueError, match=r"\[1\] hold NaN or infinite values"):
            model(input_values=x)

    def test_whole_numbers(self) -> None:
        """They would be heard as audio that is thousands of times too loud."""
        model = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForCTC"), group="reverse")
        with pytest.raises(ValueError, match=r"whole numbers \(torch.int16\).*its own processor"):
            model(input_values=torch.ones(1, 100, dtype=torch.int16))
        with pytest.raises(ValueError, match=r"whole numbers \(int16\).*Divide by 32768"):
            AudioCollator(Wav2Vec2FeatureExtractor())([{"audio": np.ones(100, np.int16)}])

    def test_nothing_but_padding(self) -> None:
        model = CanonicalizedModel.wrap(audio.build("Wav2Vec2ForCTC"), group="reverse")
        mask = torch.stack([torch.ones(100), torch.zeros(100)])
        with pytest.raises(ValueError, match="An audio clip of 0 samples .* is too short"):
            model(input_values=torch.randn(2, 100), attention_mask=mask)

    def test_adapter_for_something_else(self, tmp_path: Path) -> None:
        audio.build("Wav2Vec2ForCTC").save_pretrained(tmp_path / "base")
        CanonicalizedModel.wrap(tmp_path / "base", group="reverse").save_pretrained(tmp_path / "adapter")
        with pytest.raises(ValueError, match=r"made for Waveforms\(sampling_rate=16000\), and Whisper"):
            CanonicalizedModel.wrap(audio.build("WhisperForAudioClassification"), adapter=tmp_path / "adapter")
        transformed = CanonicalizedModel.wrap(audio.build("HubertForCTC"), adapter=tmp_path / "adapter")
        assert transformed.group.name == "reverse"


class TestPipelines:
    def test_classification(self, tmp_path: Path) -> None:
        audio.build("Wav2Vec2ForSequenceClassification").save_pretrained(tmp_path / "base")
        Wav2Vec2FeatureExtractor().save_pretrained(tmp_path / "base")
        CanonicalizedModel.wrap(tmp_path / "base", group="reverse").save_pretrained(tmp_path / "adapter")
        loaded = AutoModelForAudioClassification.from_pretrained(tmp_path / "adapter")
        assert isinstance(loaded, CanonicalizedForAudioClassification)
        classify = pipeline("audio-classification", str(tmp_path / "adapter"))
        wave = torch.randn(800).numpy()
        for forwards, backwards in zip(classify(wave), classify(wave[::-1].copy()), strict=True):
            # The feature extractor adds up the samples in the order in which they come.
            assert forwards == {**backwards, "score": pytest.approx(backwards["score"], abs=1e-5)}
        assert classify({"array": wave, "sampling_rate": 16_000}) == classify(wave)
        bare = pipeline("audio-classification", str(tmp_path / "base"))
        assert abs(bare(wave)[0]["score"] - bare(wave[::-1].copy())[0]["score"]) > 1e-3

    def test_speech_recognition(self, tmp_path: Path) -> None:
        vocabulary = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "a": 5, "b": 6, "c": 7}
        (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
        tokenizer = Wav2Vec2CTCTokenizer(str(tmp_path / "vocab.json"))
        processor = Wav2Vec2Processor(Wav2Vec2FeatureExtractor(), tokenizer)
        audio.build("Wav2Vec2ForCTC").save_pretrained(tmp_path / "base")
        processor.save_pretrained(tmp_path / "base")
        model = CanonicalizedModel.wrap(tmp_path / "base", group="reverse")
        model.save_pretrained(tmp_path / "adapter")
        processor.save_pretrained(tmp_path / "adapter")
        write = pipeline("automatic-speech-recognition", str(tmp_path / "adapter"))
        waves = [torch.randn(800).numpy() for _ in range(4)]
        texts = [write(wave.copy())["text"] for wave in waves]
        assert texts == [write(wave[::-1].copy())["text"] for wave in waves]
        assert any(texts)

    def test_spectrograms(self, tmp_path: Path) -> None:
        audio.build("ASTForAudioClassification").save_pretrained(tmp_path / "base")
        ASTFeatureExtractor(num_mel_bins=audio.BINS, max_length=audio.FRAMES).save_pretrained(tmp_path / "base")
        CanonicalizedModel.wrap(tmp_path / "base", group="reverse").save_pretrained(tmp_path / "adapter")
        classify = pipeline("audio-classification", str(tmp_path / "adapter"))
        assert len(classify(torch.randn(4000).numpy())) == 3


class TestBatches:
    def test_clips_of_several_lengths(self) -> None:
        clips = [np.random.default_rng(0).normal(size=size) for size in (400, 300)]
        examples = [
            {"audio": {"array": clips[0], "sampling_rate": 16_000}, "label": 2},
            {"audio": clips[1], "label": 0},
        ]
        batch = AudioCollator(Wav2Vec2FeatureExtractor())(examples)
        assert batch["input_values"].shape == (2, 400) and batch["labels"].tolist() == [2, 0]
        assert batch["attention_mask"].sum(1).tolist() == [400, 300]
        assert batch["input_values"][1, 300:].abs().max() == 0
        # Each has the mean 0 and the variance 1 by itself, whatever it was padded to.
        assert batch["input_values"][1, :300].std(correction=0) == pytest.approx(1, abs=1e-3)

    def test_spectrograms_are_of_the_size_of_the_checkpoint(self) -> None:
        examples = [{"audio": torch.randn(size).numpy()} for size in (4000, 3000)]
        extractor = ASTFeatureExtractor(max_length=32)
        assert AudioCollator(extractor)(examples)["input_values"].shape == (2, 32, 128)
        ready = [{"input_features": torch.zeros(4, 8)}] * 3
        assert AudioCollator()(ready)["input_features"].shape == (3, 4, 8)

    def test_refused(self) -> None:
        collate = AudioCollator(Wav2Vec2FeatureExtractor())
        with pytest.raises(ValueError, match="sampled at 8000 Hz, and the checkpoint reads 16000 Hz"):
            collate([{"audio": {"array": np.zeros(100), "sampling_rate": 8_000}}])
        with pytest.raises(ValueError, match=r"has the shape \(2, 100\), and one channel"):
            collate([{"audio": np.zeros((2, 100))}])
        with pytest.raises(ValueError, match="no audio among the columns 'text'"):
            collate([{"text": "a"}])
        with pytest.raises(ValueError, match="there is no feature extractor to prepare them"):
            AudioCollator()([{"audio": np.zeros(100)}])

    @pytest.mark.covering()
    @pytest.mark.parametrize(
        ("group", "canonicalizer"), [("reverse", "orbit"), ("pitch12", "shift"), ("speed12", "shift")]
    )
    def test_a_canonicalizer_learns_without_labels(self, group: str, canonicalizer: str, tmp_path: Path) -> None:
        wav2vec2 = audio.build("Wav2Vec2ForSequenceClassification")
        model = CanonicalizedModel.wrap(wav2vec2, group=group, canonicalizer=canonicalizer)
        before = [parameter.clone() for parameter in model.canonicalizer.parameters()]
        data = [{"audio": torch.randn(2000 + 100 * i).numpy()} for i in range(8)]
        args = CanonicalizationArguments(
            str(tmp_path),
            max_steps=2,
            per_device_train_batch_size=4,
            eval_strategy="steps",
            eval_steps=2,
            save_strategy="no",
            report_to="none",
            use_cpu=True,
            disable_tqdm=True,
        )
        trainer = CanonicalizationTrainer(
            model=model,
            args=args,
            train_dataset=data,
            eval_dataset=data,
            processing_class=Wav2Vec2FeatureExtractor(),
        )
        trainer.train()
        assert "eval_pose_accuracy" in trainer.evaluate()
        assert any(not torch.equal(a, b) for a, b in zip(before, model.canonicalizer.parameters(), strict=True))


@pytest.mark.parametrize("name", ["WhisperForAudioClassification", "Wav2Vec2ForSequenceClassification"])
def test_what_is_found_in_a_spectrogram_is_undone_in_the_audio(name: str) -> None:
    """Each clip transformed by its own element, at its own length; and played at double speed, it is longer again."""
    model = CanonicalizedModel.wrap(audio.build(name), group="speed12")
    found = torch.tensor([12.0, 0.0, -7.0])
    model.canonicalizer.element = lambda logits: found  # type: ignore[method-assign]
    whisper = name.startswith("Whisper")
    frames = 2 * getattr(model.config.base_config, "max_source_positions", 0)
    extractor = (
        WhisperFeatureExtractor(feature_size=model.config.base_config.num_mel_bins, chunk_length=1)
        if whisper
        else Wav2Vec2FeatureExtractor()
    )
    if whisper:
        extractor.n_samples, extractor.nb_max_frames = frames * extractor.hop_length, frames
    clips = [np.sin(np.arange(n) / 9.0).astype(np.float32) for n in (4000, 3000, 3500)]
    canonical = model.canonical_clips(clips, extractor)
    assert [len(one) for one in canonical] == [8000, 3000, round(3500 * 2 ** (-7 / 12))]
    assert np.array_equal(canonical[1], clips[1])
    group = get_group("speed12").on(Waveforms(16_000))
    for one, original, element in zip(canonical, clips, found, strict=True):
        alone = group.act(torch.from_numpy(original)[None], -element[None])[0]
        assert np.allclose(one, alone[: len(one)], atol=1e-5)
    read = extractor(canonical, sampling_rate=16_000, return_tensors="pt", **({} if whisper else {"padding": True}))
    assert model(**read, canonicalize=False).logits.shape[0] == 3
