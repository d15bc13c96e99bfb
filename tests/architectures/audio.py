"""A tiny, randomly initialised model of every architecture of transformers that reads audio to audio.

The settings are arguments of the configuration class: nothing is read from the Hub. Initial weights are larger than
usual: a new model is nearly constant, and a test of its answers could not fail.
"""

from typing import Any

import torch
from architectures.classifiers import captions
from architectures.tiny import Tiny
from torch import Tensor
from transformers import PreTrainedModel

WIDTH = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
SPREAD = {"initializer_range": 0.2}
# One frame from 14 samples, and another one every 10.
EARS = {
    "conv_dim": (8, 8),
    "conv_kernel": (10, 2),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
}
HEADS = {"classifier_proj_size": 8, "num_labels": 3, "vocab_size": 8}
SPEAKERS = {"tdnn_dim": (8, 8, 8), "tdnn_kernel": (3, 1, 1), "tdnn_dilation": (1, 1, 1), "xvector_output_dim": 6}
WAV2VEC2 = {**WIDTH, **SPREAD, **EARS, **HEADS, **SPEAKERS}
SQUEEZED = {key: value for key, value in WAV2VEC2.items() if key not in SPEAKERS}
CONFORMER = {**WIDTH, **SPREAD, "conv_kernel_size": 3, "subsampling_conv_channels": 4, "num_mel_bins": 16}
STREAM = {"num_speakers": 3, "subsampling_factor": 2}
FRAMES, BINS = 32, 16

SETTINGS: dict[str, dict[str, Any]] = {
    "audio-spectrogram-transformer": {
        **WIDTH,
        **SPREAD,
        "max_length": FRAMES,
        "num_mel_bins": BINS,
        "patch_size": 8,
        "frequency_stride": 8,
        "time_stride": 8,
        "num_labels": 3,
    },
    "clap": {
        "text_config": {
            **WIDTH,
            "vocab_size": 16,
            "max_position_embeddings": 16,
            "projection_dim": 8,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        "audio_config": {
            "num_mel_bins": BINS,
            "spec_size": 64,
            "window_size": 4,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "num_hidden_layers": 2,
            "hidden_size": 32,
            "patch_embeds_hidden_size": 16,
            "projection_dim": 8,
        },
        "projection_dim": 8,
    },
    "data2vec-audio": {**WAV2VEC2, "conv_pos_kernel_size": 3},
    "granite_speech5_ctc": {
        "encoder_config": {**WIDTH, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 8},
        "vocab_size": 8,
    },
    "hubert": SQUEEZED,
    "lasr_ctc": {"encoder_config": CONFORMER, "vocab_size": 8},
    "lasr_encoder": CONFORMER,
    "nemotron3_diarization": {
        "audio_config": {**WIDTH, **SPREAD, "num_mel_bins": BINS, "subsampling_factor": 2},
        "head_config": {"hidden_size": 8, "audio_hidden_size": 16, **STREAM},
        "streaming_config": STREAM,
        **SPREAD,
    },
    "parakeet_encoder": CONFORMER,
    "parakeet_ctc": {"encoder_config": CONFORMER, "vocab_size": 8, "pad_token_id": 7},
    "sew": SQUEEZED,
    "sew-d": {**SQUEEZED, "max_position_embeddings": 64, "position_buckets": 8},
    "unispeech": {**SQUEEZED, "num_ctc_classes": 8},
    "unispeech-sat": WAV2VEC2,
    "wav2vec2": WAV2VEC2,
    "wav2vec2-bert": {},
    "wav2vec2-conformer": WAV2VEC2,
    "wavlm": WAV2VEC2,
    "whisper": {
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "num_mel_bins": BINS,
        "max_source_positions": FRAMES // 2,
        "classifier_proj_size": 8,
        "num_labels": 3,
        "init_std": 0.2,
    },
}

CLASSIFIERS = {
    "ASTForAudioClassification": "audio-spectrogram-transformer",
    "Data2VecAudioForSequenceClassification": "data2vec-audio",
    "HubertForSequenceClassification": "hubert",
    "SEWForSequenceClassification": "sew",
    "SEWDForSequenceClassification": "sew-d",
    "UniSpeechForSequenceClassification": "unispeech",
    "UniSpeechSatForSequenceClassification": "unispeech-sat",
    "Wav2Vec2ForSequenceClassification": "wav2vec2",
    "Wav2Vec2ConformerForSequenceClassification": "wav2vec2-conformer",
    "WavLMForSequenceClassification": "wavlm",
    "WhisperForAudioClassification": "whisper",
}
RECOGNIZERS = {
    "Data2VecAudioForCTC": "data2vec-audio",
    "HubertForCTC": "hubert",
    "LasrForCTC": "lasr_ctc",
    "ParakeetForCTC": "parakeet_ctc",
    "SEWForCTC": "sew",
    "SEWDForCTC": "sew-d",
    "UniSpeechForCTC": "unispeech",
    "UniSpeechSatForCTC": "unispeech-sat",
    "Wav2Vec2ForCTC": "wav2vec2",
    "Wav2Vec2ConformerForCTC": "wav2vec2-conformer",
    "WavLMForCTC": "wavlm",
}
FRAME_CLASSIFIERS = {
    "Data2VecAudioForAudioFrameClassification": "data2vec-audio",
    "Nemotron3DiarizationForAudioFrameClassification": "nemotron3_diarization",
    "UniSpeechSatForAudioFrameClassification": "unispeech-sat",
    "Wav2Vec2ForAudioFrameClassification": "wav2vec2",
    "Wav2Vec2ConformerForAudioFrameClassification": "wav2vec2-conformer",
    "WavLMForAudioFrameClassification": "wavlm",
}
SPEAKER_MODELS = {
    "Data2VecAudioForXVector": "data2vec-audio",
    "UniSpeechSatForXVector": "unispeech-sat",
    "Wav2Vec2ForXVector": "wav2vec2",
    "Wav2Vec2ConformerForXVector": "wav2vec2-conformer",
    "WavLMForXVector": "wavlm",
}
ENCODERS = {
    "ASTModel": "audio-spectrogram-transformer",
    "Data2VecAudioModel": "data2vec-audio",
    "HubertModel": "hubert",
    "LasrEncoder": "lasr_encoder",
    "ParakeetEncoder": "parakeet_encoder",
    "SEWModel": "sew",
    "SEWDModel": "sew-d",
    "UniSpeechModel": "unispeech",
    "UniSpeechSatModel": "unispeech-sat",
    "Wav2Vec2Model": "wav2vec2",
    "Wav2Vec2ConformerModel": "wav2vec2-conformer",
    "WavLMModel": "wavlm",
}
ZERO_SHOT = {"ClapModel": "clap"}
# Refused before anything is read: what they are made of does not matter.
STACKED = {
    "Wav2Vec2BertForAudioFrameClassification": "wav2vec2-bert",
    "Wav2Vec2BertForCTC": "wav2vec2-bert",
    "Wav2Vec2BertForSequenceClassification": "wav2vec2-bert",
    "Wav2Vec2BertForXVector": "wav2vec2-bert",
    "GraniteSpeech5ForCTC": "granite_speech5_ctc",
}
SETTINGS["wav2vec2-bert"] = {**WIDTH, "conv_depthwise_kernel_size": 3, **HEADS, **SPEAKERS}

TINY = {
    name: Tiny(model_type, SETTINGS[model_type])
    for names in (CLASSIFIERS, RECOGNIZERS, FRAME_CLASSIFIERS, SPEAKER_MODELS, ENCODERS, ZERO_SHOT, STACKED)
    for name, model_type in names.items()
}
WITHOUT: dict[str, str] = {}


def build(name: str) -> PreTrainedModel:
    """The model of class `name`, in eval mode, with the same weights at every call."""
    model = TINY[name].build(name)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if not key.endswith("bias") and (not parameter.any() or "classifier" in key):
                parameter.normal_(std=0.5)
    return model


def example(name: str, batch: int = 2) -> dict[str, Tensor]:
    """Clips of several lengths, where the model can be told them."""
    generator = torch.Generator().manual_seed(0)
    model_type = TINY[name].model_type
    if model_type == "audio-spectrogram-transformer":
        return {"input_values": torch.randn(batch, FRAMES, BINS, generator=generator)}
    if model_type == "whisper":
        return {"input_features": torch.randn(batch, BINS, FRAMES, generator=generator)}
    if model_type == "clap":
        x = torch.randn(batch, 1, 64, BINS, generator=generator)
        return {"input_features": x, "is_longer": torch.zeros(batch, 1, dtype=torch.bool), **captions(batch)}
    spectrogram = model_type.startswith(("lasr", "nemotron", "parakeet"))
    x = torch.randn(batch, *((FRAMES, BINS) if spectrogram else (400,)), generator=generator)
    if not spectrogram:
        x = x * torch.linspace(0.1, 2, 400)
    mask = torch.ones(x.shape[:2], dtype=torch.long)
    mask[1:, x.shape[1] * 3 // 4 :] = 0
    x = x * mask.view(*mask.shape, *[1] * (x.ndim - 2))
    return {"input_features" if spectrogram else "input_values": x, "attention_mask": mask}
