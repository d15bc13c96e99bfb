"""What a predictor reads: under which name, and what the numbers mean."""

import math
from collections.abc import Callable
from functools import lru_cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ..groups.kinds import Images, Kind, Spectrograms, Waveforms

INPUT_NAMES = ("pixel_values", "input_values", "input_features")
"""What transformers calls images, waveforms and spectrograms; older models also call spectrograms input_values."""


def input_name(predictor: Any) -> str:
    """The argument that holds the image or the audio of a predictor.

    Raises:
        ValueError: it does neither.
    """
    predictor_class: Any = type(predictor)
    found = _input_name(predictor_class)
    if found is None:
        raise ValueError(
            f"{type(predictor).__name__} reads {predictor.main_input_name}, and hf_canon is for what looks at "
            f"images or reads audio ({', '.join(INPUT_NAMES)}). Give it such a checkpoint."
        )
    return found


@torch.compiler.assume_constant_result
def _input_name(predictor: Any) -> str | None:
    return _first_input_name(predictor)


@lru_cache
def _first_input_name(predictor: Any) -> str | None:
    # Not every class says its main input, and its parent's is text.
    taken = [getattr(predictor, "main_input_name", ""), *signature(predictor.forward).parameters]
    return next((name for name in taken if name in INPUT_NAMES), None)


def kind_of(config: Any, name: str, processor: dict[str, bytes]) -> Kind:
    """What the numbers in a predictor's input mean.

    Args:
        config: of the predictor.
        name: of the input.
        processor: the files, by name, that describe its processor.

    Raises:
        ValueError: it reads spectrograms, and it is not known of what frequencies.
    """
    from .hub_files import normalization  # and transformers with it

    if name != "pixel_values":
        return kind_of_audio(config, processor)
    channels = input_channels(config)
    known = normalization(processor, channels)
    if known is None:
        return Images()
    scale, shift = known
    return Images(tuple(255 * one for one in scale), shift)


def input_channels(config: Any) -> int:
    """Channels of the image that a vision configuration describes; three unless it says otherwise."""
    for holder in (config, getattr(config, "backbone_config", None)):
        channels = getattr(holder, "num_channels", None)
        if isinstance(channels, int):
            return channels
    return 3


def kind_of_audio(config: Any, processor: dict[str, bytes]) -> Waveforms | Spectrograms:
    """What a predictor that reads audio is given by its feature extractor.

    Raises:
        ValueError: its spectrograms are not known, or have not as many bins as the predictor reads.
    """
    from .hub_files import feature_extractor

    bins = mel_bins(config)
    extractor = feature_extractor(processor, config.model_type, bins)
    if bins is None:
        return Waveforms() if extractor is None else Waveforms(extractor.sampling_rate)
    made_by = type(extractor).__name__
    if made_by not in SPECTROGRAMS:
        raise ValueError(
            f"This predictor ({config.model_type}) reads spectrograms, and hf_canon knows what the numbers mean in "
            f"those of {', '.join(sorted(SPECTROGRAMS))}. Pass the checkpoint's own processor=, if it is one of them."
        )
    kind = SPECTROGRAMS[made_by](extractor)
    if len(kind.frequencies) != bins:
        raise ValueError(
            f"The predictor reads spectrograms of {bins} frequencies, and its {made_by} makes "
            f"{len(kind.frequencies)}. Pass the processor that belongs to the checkpoint as processor=."
        )
    return kind


def mel_bins(config: Any) -> int | None:
    """Frequencies in the spectrograms that a configuration describes; None for one that describes waveforms."""
    if hasattr(config, "conv_kernel"):  # over samples; it may speak in spectrograms all the same
        return None
    for holder in (config, getattr(config, "audio_config", None), getattr(config, "encoder_config", None)):
        for name in ("num_mel_bins", "input_feat_per_channel"):
            bins = getattr(holder, name, None)
            if isinstance(bins, int):
                return bins
    return None


def expected_size(config: Any) -> tuple[int, ...]:
    """What a predictor was made for, as far as it says: height and width of images, frames of a spectrogram."""
    if hasattr(config, "max_source_positions"):
        return (2 * config.max_source_positions,)  # Whisper, which reads two frames at a time
    if getattr(config, "model_type", None) == "audio-spectrogram-transformer":
        return (config.max_length,)
    if hasattr(config, "conv_kernel"):
        return ()
    holders = (config, getattr(config, "vision_config", None))
    size: Any = next(filter(None, (getattr(one, "image_size", None) for one in holders)), 64)
    return tuple(size) if isinstance(size, list | tuple) else (size, size)


def example_input(predictor: Any) -> dict[str, Tensor]:
    """One random input of the size that a predictor was made for, as it takes it; a second of a waveform."""
    config, name = predictor.config, input_name(predictor)
    size, bins = expected_size(config), mel_bins(config)
    if name == "pixel_values":
        shape: tuple[int, ...] = (input_channels(config), *size)
    elif bins is None:
        shape = (16_000,)
    else:
        shape = (bins, *size) if config.model_type == "whisper" else (*(size or (100,)), bins)
    noise = torch.rand(1, *shape, generator=torch.Generator().manual_seed(0))
    return {name: noise.to(predictor.device, predictor.dtype)}


NEPER = math.log(10) / 10
"""How much the natural logarithm of a power rises by a decibel."""


def spectrograms(
    scale: str, lowest: float, highest: float, bins: int, axis: int, hop: int, rate: int, decibel: float
) -> Spectrograms:
    """Spectrograms of a bank of triangular filters.

    Args:
        scale: of the mel frequencies, on which the filters are spread evenly, as `transformers.audio_utils` knows it.
        lowest: Hz, where the first filter begins.
        highest: Hz, where the last one ends.
        bins: number of filters.
        axis: of the frequencies.
        hop: samples from one frame to the next.
        rate: samples a second.
        decibel: how much a value rises when the audio becomes louder by a decibel.
    """
    from numpy import linspace
    from transformers.audio_utils import hertz_to_mel, mel_to_hertz

    edges = linspace(hertz_to_mel(lowest, scale), hertz_to_mel(highest, scale), bins + 2)
    centres: Any = mel_to_hertz(edges[1:-1], scale)
    return Spectrograms(tuple(float(one) for one in centres), axis, rate / hop, decibel)


def _ast(extractor: Any) -> Spectrograms:
    bins, rate = extractor.num_mel_bins, extractor.sampling_rate
    decibel = NEPER / (2 * extractor.std) if extractor.do_normalize else NEPER
    return spectrograms("kaldi", 20, rate // 2, bins, -1, 160, rate, decibel)


def _clap(extractor: Any) -> Spectrograms:
    lowest, highest, bins = extractor.frequency_min, extractor.frequency_max, extractor.feature_size
    scale = "htk" if extractor.truncation == "fusion" else "slaney"
    return spectrograms(scale, lowest, highest, bins, -1, extractor.hop_length, extractor.sampling_rate, 1.0)


def _lasr(extractor: Any) -> Spectrograms:
    hop, rate = extractor.hop_length, extractor.sampling_rate
    return spectrograms("kaldi", 125, 7500, extractor.feature_size, -1, hop, rate, NEPER)


def _nemotron(extractor: Any) -> Spectrograms:
    hop, rate = extractor.hop_length, extractor.sampling_rate
    return spectrograms("slaney", 0, rate / 2, extractor.feature_size, -1, hop, rate, NEPER)


def _parakeet(extractor: Any) -> Spectrograms:
    # Each frequency has the mean 0 and the variance 1 over the audio, however loud that was.
    hop, rate = extractor.hop_length, extractor.sampling_rate
    return spectrograms("slaney", 0, rate / 2, extractor.feature_size, -1, hop, rate, 0.0)


def _speech_to_text(extractor: Any) -> Spectrograms:
    bins, rate = extractor.num_mel_bins, extractor.sampling_rate
    equal = extractor.do_ceptral_normalize and extractor.normalize_means
    return spectrograms("kaldi", 20, rate // 2, bins, -1, 160, rate, 0.0 if equal else NEPER)


def _whisper(extractor: Any) -> Spectrograms:
    # (log10(power) + 4) / 4, and its floor is 8 below the loudest value, with which it rises.
    hop, rate = extractor.hop_length, extractor.sampling_rate
    return spectrograms("slaney", 0, 8000, extractor.feature_size, -2, hop, rate, 0.1 / 4)


SPECTROGRAMS: dict[str, Callable[[Any], Spectrograms]] = {
    "ASTFeatureExtractor": _ast,
    "ClapFeatureExtractor": _clap,
    "LasrFeatureExtractor": _lasr,
    "NemotronAsrStreamingFeatureExtractor": _nemotron,
    "ParakeetFeatureExtractor": _parakeet,
    "Speech2TextFeatureExtractor": _speech_to_text,
    "WhisperFeatureExtractor": _whisper,
}
"""What each feature extractor of transformers makes of an audio clip."""
