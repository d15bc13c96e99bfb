"""Predictors that read audio to audio: a class for each task, with its auto class, its outputs and its labels."""

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModel,
    AutoModelForAudioClassification,
    AutoModelForAudioFrameClassification,
    AutoModelForAudioXVector,
    AutoModelForCTC,
)
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES,
    MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES,
    MODEL_FOR_CTC_MAPPING_NAMES,
)

from ..data.audio import extracted, extractor_of, samples
from ..groups import Waveforms
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import (
    AUDIO_CLASSIFICATION,
    AUDIO_FEATURES,
    AUDIO_FRAMES,
    CTC,
    XVECTOR,
    ZERO_SHOT_AUDIO,
    Canonicalization,
    Inputs,
    require_finite,
)

STREAMING = ("speaker_cache", "num_lookahead_frames", "num_lookback_frames")
"""Arguments of predictors that hear a recording piece by piece."""


# transformers has no mapping of these by themselves: they are AutoModel's.
ENCODERS = {
    "audio-spectrogram-transformer": "ASTModel",
    "data2vec-audio": "Data2VecAudioModel",
    "hubert": "HubertModel",
    "lasr_encoder": "LasrEncoder",
    "parakeet_encoder": "ParakeetEncoder",
    "sew": "SEWModel",
    "sew-d": "SEWDModel",
    "unispeech": "UniSpeechModel",
    "unispeech-sat": "UniSpeechSatModel",
    "wav2vec2": "Wav2Vec2Model",
    "wav2vec2-conformer": "Wav2Vec2ConformerModel",
    "wavlm": "WavLMModel",
}


class CanonicalizedAudioModel(CanonicalizedModel):
    """What reads audio: clips have a length each, and are padded to one."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.main_input_name = self.checkpoint.input_name  # where pipelines put the audio

    def lengths(self, x: Tensor, arguments: dict[str, Any]) -> Tensor:
        """How much of each clip is no padding, `(batch,)`: what its mask says; in a spectrogram without a mask, all
        but the silence of one value with which feature extractors fill it up.

        Raises:
            ValueError: there is too little of it for the predictor, or padding comes first.
        """
        self.group.check_shape(x.shape)
        mask = arguments.get("attention_mask") if self._masks_audio else None
        if mask is not None:
            lengths = mask.long().sum(-1)
        elif isinstance(self.group.kind, Waveforms):
            lengths = torch.full((len(x),), x.shape[1], device=x.device)
        else:
            lengths = before_padding(x, self._time_axis)
        self._require_enough(x, lengths)
        if mask is not None and not torch.compiler.is_compiling() and not bool(mask[:, 0].all()):
            raise ValueError(
                "An audio clip is padded at its beginning, and hf_canon transforms what comes before the padding. Set "
                "padding_side='right' in the feature extractor."
            )
        return lengths

    def inputs(self, given: Mapping[str, Tensor]) -> Inputs:
        inputs = super().inputs(given)
        if getattr(self.predictor.config, "feat_extract_norm", None) == "group":
            inputs.others.pop("attention_mask", None)  # it takes padding for silence, and was never told of it
        return inputs

    def canonicalize(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        crop: int | tuple[int, int] | None = None,
        decision: str | None = None,
    ) -> Canonicalization:
        if not torch.compiler.is_compiling():
            require_finite(x)  # what is no number has no place in a histogram of amplitudes
        return super().canonicalize(x, lengths, crop, decision)

    @torch.no_grad()
    def canonical_clips(self, clips: Sequence[Any], feature_extractor: Any) -> "list[np.ndarray[Any, Any]]":
        """The clips themselves in their canonical pose: found in what the predictor reads, undone in the waveform.

        A spectrogram has lost what a waveform still has, and is coarse: warped back by an octave it is blurred. Prefer
        this where the clips are at hand, and give what is made of them to the model with `canonicalize=False`.

        Args:
            clips: arrays `(samples,)`, or as `datasets` has them.
            feature_extractor: the checkpoint's, or a processor that has one.

        Returns:
            An array `(samples,)` for each, at the same sampling rate, as feature extractors take them.

        Raises:
            ValueError: an audio clip has another sampling rate, several channels, whole numbers for samples, or too
            few.

        Example:
            >>> import numpy as np
            >>> from transformers import Wav2Vec2Config, Wav2Vec2FeatureExtractor, Wav2Vec2ForSequenceClassification
            >>> tiny = Wav2Vec2Config(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            ...     conv_dim=(8,), conv_stride=(5,), conv_kernel=(10,), num_conv_pos_embeddings=16,
            ...     num_conv_pos_embedding_groups=2)
            >>> model = CanonicalizedModel.wrap(Wav2Vec2ForSequenceClassification(tiny), group="reverse")
            >>> clips = [np.sin(np.arange(800.0)), np.sin(np.arange(500.0))]
            >>> [len(audio) for audio in model.canonical_clips(clips, Wav2Vec2FeatureExtractor())]
            [800, 500]
        """
        read = extracted(clips, feature_extractor)
        x = read.pop(self.checkpoint.input_name).to(self.device)
        found = self.canonicalize(x, self.lengths(x, read))
        assert found.element is not None
        return self.undo(found.element, clips, extractor_of(feature_extractor).sampling_rate)

    def undo(self, element: Tensor, clips: Sequence[Any], rate: int) -> "list[np.ndarray[Any, Any]]":
        """The clips themselves, with an element of the group undone in each, which `canonicalize` has found.

        Args:
            element: `(batch,)`, on any device.
            clips: as in `canonical_clips`.
            rate: samples a second.
        """
        waveforms = [torch.from_numpy(samples(audio, rate)) for audio in clips]
        lengths = torch.tensor([len(waveform) for waveform in waveforms])
        group = self.group.on(Waveforms(rate))
        inverse = group.inverse(element.cpu())
        transformed = group.act(pad_sequence(waveforms, batch_first=True), inverse, lengths)
        ends = group.transformed_lengths(lengths, inverse, transformed).tolist()
        return [one[:end].numpy() for one, end in zip(transformed, ends, strict=True)]

    def arguments(
        self, x: Tensor, lengths: Tensor | None = None, others: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        arguments = super().arguments(x, lengths, others)
        if lengths is None:
            return arguments
        self._require_enough(x, lengths)
        masked = arguments.get("attention_mask") is not None
        # A finite group stretches no audio: what came with the inputs says all there is to say.
        complete = others is not None and self.group.finite
        if self._masks_audio and (masked or (not complete and self._needs_mask(x, lengths))):
            moments = torch.arange(x.shape[self._time_axis], device=x.device)
            arguments["attention_mask"] = (moments < lengths.to(x.device).unsqueeze(1)).long()
        return arguments

    def frames(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor] | None:
        size = torch.tensor(x.shape[self._time_axis])
        for name in ("_get_feat_extract_output_lengths", "_get_subsampling_output_length"):
            if hasattr(self.predictor, name):
                count = getattr(self.predictor, name)
                return count(lengths).to(torch.long), count(size)
        return lengths, size

    @property
    def _time_axis(self) -> int:
        kind: Any = self.group.kind
        return kind.time_axis

    @property
    def _masks_audio(self) -> bool:
        """Whether the predictor's mask is one of samples or frames, and neither of words nor of patches."""
        parameters = signature(self.predictor.forward).parameters
        patches = self.predictor.config.model_type == "audio-spectrogram-transformer"
        return "attention_mask" in parameters and "input_ids" not in parameters and not patches

    def _needs_mask(self, x: Tensor, lengths: Tensor) -> bool:
        """Whether clips got different lengths by their moves and the predictor was trained to be told. One that
        normalizes over the whole batch entry was not: it takes zeros for silence."""
        told = getattr(self.predictor.config, "feat_extract_norm", "layer") != "group"
        return told and isinstance(self.group.kind, Waveforms) and bool((lengths < x.shape[1]).any())

    fewest_frames = 1

    def _require_enough(self, x: Tensor, lengths: Tensor) -> None:
        """Raise ValueError if an audio clip is too short for the predictor's convolutions, or not of its one size."""
        config, reads = self.predictor.config, type(self.predictor).__name__
        frames = x.shape[self._time_axis]
        if config.model_type == "audio-spectrogram-transformer" and frames != config.max_length:
            raise ValueError(
                f"{reads} reads spectrograms of {config.max_length} frames, and these have {frames}. Use its own "
                "feature extractor, which pads and crops them."
            )
        if not hasattr(config, "conv_kernel") or torch.compiler.is_compiling():
            return
        fewest = self.fewest_frames
        for kernel, stride in zip(reversed(config.conv_kernel), reversed(config.conv_stride), strict=True):
            fewest = (fewest - 1) * stride + kernel
        shortest = int(lengths.min())
        if shortest < fewest:
            rate = getattr(self.group.kind, "sampling_rate", 16_000)
            raise ValueError(
                f"An audio clip of {shortest} samples ({1000 * shortest / rate:.0f} ms) is too short for {reads}, "
                f"reading {fewest} at a time ({1000 * fewest / rate:.0f} ms). Leave it out, or pad it with silence."
            )


def before_padding(x: Tensor, axis: int) -> Tensor:
    """How many frames of each spectrogram come before the frames of one value at its end, `(batch,)`; all of them
    where there is nothing else."""
    frames = x.movedim(axis, 1).flatten(2)
    padding = (frames == frames[:, -1:, :1]).all(2)
    count = frames.shape[1] - padding.flip(1).long().cumprod(1).sum(1)
    return torch.where(count == 0, frames.shape[1], count)


class CanonicalizedForAudioClassification(CanonicalizedAudioModel):
    """An audio classifier behind a canonicalizer: the class does not transform with the audio."""

    task = "audio-classification"
    auto_class = AutoModelForAudioClassification
    architectures = MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES
    rows = AUDIO_CLASSIFICATION
    averages = ("logits",)
    metric = "accuracy"


class CanonicalizedForCTC(CanonicalizedAudioModel):
    """A speech recognizer behind a canonicalizer: the text is that of the canonical audio."""

    task = "automatic-speech-recognition"
    auto_class = AutoModelForCTC
    architectures = MODEL_FOR_CTC_MAPPING_NAMES
    rows = CTC


class CanonicalizedForAudioFrameClassification(CanonicalizedAudioModel):
    """A classifier of moments behind a canonicalizer: its frames transform with the audio."""

    task = "audio-frame-classification"
    auto_class = AutoModelForAudioFrameClassification
    architectures = MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES
    rows = AUDIO_FRAMES

    def canonical_arguments(self, arguments: dict[str, Any], undo: Tensor) -> dict[str, Any]:
        placed = [name for name in STREAMING if arguments.get(name) is not None]
        if placed:
            raise ValueError(
                f"{', '.join(placed)} say where in a stream a piece of audio is, and its canonical form is elsewhere. "
                "Give whole recordings, or pass canonicalize=False."
            )
        return super().canonical_arguments(arguments, undo)

    def canonical_labels(self, labels: Any, undo: Tensor) -> Any:
        if self.group.temporal is not None:
            raise ValueError(
                f"Labels for each frame would have to follow the audio under {self.group.name}, and do not yet. "
                "Leave out labels, or pass canonicalize=False."
            )
        return labels


class CanonicalizedForAudioXVector(CanonicalizedAudioModel):
    """A model of who speaks behind a canonicalizer: embeddings do not transform with the audio."""

    task = "audio-xvector"
    auto_class = AutoModelForAudioXVector
    architectures = MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES
    rows = XVECTOR
    averages = ("logits", "embeddings")

    @property
    def fewest_frames(self) -> int:  # type: ignore[override]
        # Two, of which it takes the deviation, after layers that each look further around.
        config: Any = self.predictor.config
        reach = zip(config.tdnn_kernel, config.tdnn_dilation, strict=True)
        return 2 + sum((kernel - 1) * dilation for kernel, dilation in reach)


class CanonicalizedForAudioFeatureExtraction(CanonicalizedAudioModel):
    """An encoder of audio behind a canonicalizer: its frames transform with the audio, pooled features do not."""

    task = "feature-extraction"
    auto_class = AutoModel
    architectures = ENCODERS
    rows = AUDIO_FEATURES


class CanonicalizedForZeroShotAudioClassification(CanonicalizedAudioModel):
    """A model of sound and words behind a canonicalizer: what is heard does not transform with the audio."""

    task = "zero-shot-audio-classification"
    auto_class = AutoModel
    architectures = {"clap": "ClapModel"}
    rows = ZERO_SHOT_AUDIO
