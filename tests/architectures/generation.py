"""Tiny configurations of models that write about images, or write down speech.

An image is 64 x 64, and a text has the token 3 in it for each place where the image goes.
"""

from collections.abc import Callable

import torch
from architectures.tiny import Inputs, Tiny
from images import images
from torch import Tensor, nn
from transformers import PreTrainedModel


def build(name: str) -> PreTrainedModel:
    """The model of class `name`, in eval mode; the same weights at every call."""
    model = TINY[name].build(name)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            # Gates that start at zero would hide the image, and small weights nearly.
            if weight.dim() == 1 and key.endswith("weight"):
                weight.fill_(1)
            weight += torch.randn_like(weight) * ((2 / weight[0].numel()) ** 0.5 if weight.dim() > 1 else 0.3)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_(std=0.1)  # type: ignore[union-attr, operator]
    return model


def example(name: str, batch: int = 2) -> dict[str, Tensor]:
    """Inputs for `build(name)`."""
    return TINY[name].example(batch)


def prompt(places: int) -> Callable[[int], Inputs]:
    """A text with an image in it that takes so many tokens."""

    def inputs(batch: int) -> Inputs:
        input_ids = torch.tensor([[1, *[3] * places, 7, 8, 9]]).repeat(batch, 1)
        return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}

    return inputs


def marked(places: int) -> Callable[[int], Inputs]:
    """The same where the kind of each token has to be said as well."""

    def inputs(batch: int) -> Inputs:
        text = prompt(places)(batch)
        return text | {"token_type_ids": (text["input_ids"] == 3).long()}  # type: ignore[operator]

    return inputs


def alone(places: int) -> Callable[[int], Inputs]:
    """The same, where each text may have several images, and has one."""
    return lambda batch: prompt(places)(batch) | {"pixel_values": images(batch, 64).unsqueeze(1)}


def sized(inputs: Callable[[int], Inputs]) -> Callable[[int], Inputs]:
    """The same, and the size of each image."""
    return lambda batch: inputs(batch) | {"image_sizes": torch.full((batch, 2), 64)}


def begun(batch: int) -> Inputs:
    """What a decoder has written so far, which it is not told when it generates."""
    return {"decoder_input_ids": torch.tensor([[1, 7, 8]]).repeat(batch, 1)}


def asked(places: int) -> Callable[[int], Inputs]:
    """A text for an encoder, and what the decoder has written so far."""
    return lambda batch: prompt(places)(batch) | begun(batch)


def queried(batch: int) -> Inputs:
    """A text that is read by the queries as well."""
    text = prompt(4)(batch)
    return text | {"qformer_input_ids": torch.tensor([[7, 8, 9]]).repeat(batch, 1)}


WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32}
VIT = {**WIDTH, "image_size": 64, "patch_size": 16}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
TEXT = {**WIDTH, **SPECIAL, "vocab_size": 64, "max_position_embeddings": 64}
DECODER = {**TEXT, "num_key_value_heads": 2, "head_dim": 8}
LLAMA = {**DECODER, "model_type": "llama"}
QWEN = {**DECODER, "model_type": "qwen2"}
CLIP = {**VIT, "model_type": "clip_vision_model"}
SIGLIP = {**VIT, "model_type": "siglip_vision_model"}
BERT = {**TEXT, "encoder_hidden_size": 32}
BART = {
    "vocab_size": 64,
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
    "max_position_embeddings": 64,
    **SPECIAL,
    "decoder_start_token_id": 1,
    "forced_eos_token_id": None,
}
BLIP2 = {
    "vision_config": VIT,
    "qformer_config": {**TEXT, "encoder_hidden_size": 32, "cross_attention_frequency": 1},
    "text_config": {**TEXT, "model_type": "opt", "ffn_dim": 32, "word_embed_proj_dim": 32},
    "num_query_tokens": 4,
    "image_token_index": 3,
}
IDEFICS = {"vision_config": VIT, "text_config": LLAMA, "image_token_id": 3, "scale_factor": 2}

TINY: dict[str, Tiny] = {
    "AyaVisionForConditionalGeneration": Tiny(
        "aya_vision",
        {
            "vision_config": SIGLIP,
            "text_config": {**DECODER, "model_type": "cohere2"},
            "image_token_index": 3,
            "alignment_intermediate_size": 32,
        },
        inputs=prompt(4),
    ),
    "BlipForConditionalGeneration": Tiny(
        "blip",
        {
            "vision_config": VIT,
            "text_config": {**BERT, "projection_dim": 32, "sep_token_id": 2},
            "projection_dim": 32,
            "image_text_hidden_size": 32,
        },
        inputs=prompt(0),
    ),
    "Blip2ForConditionalGeneration": Tiny("blip-2", BLIP2, inputs=prompt(4)),
    "Cohere2VisionForConditionalGeneration": Tiny(
        "cohere2_vision",
        {
            "vision_config": SIGLIP,
            "text_config": {**DECODER, "model_type": "cohere2"},
            "image_token_id": 3,
            "alignment_intermediate_size": 64,
        },
        inputs=prompt(4),
    ),
    "Florence2ForConditionalGeneration": Tiny(
        "florence2",
        {
            "vision_config": {
                "depths": [1, 1, 1],
                "patch_size": [7, 3, 3],
                "patch_stride": [4, 2, 2],
                "patch_padding": [3, 1, 1],
                "patch_prenorm": [False, True, True],
                "embed_dim": [8, 16, 32],
                "num_heads": [2, 2, 4],
                "num_groups": [2, 2, 4],
                "window_size": 4,
                "projection_dim": 32,
                "drop_path_rate": 0.0,
            },
            "text_config": {**BART, "model_type": "bart"},
            "image_token_id": 3,
        },
        inputs=asked(17),
    ),
    "Gemma3ForConditionalGeneration": Tiny(
        "gemma3",
        {
            "vision_config": SIGLIP,
            "text_config": {**DECODER, "model_type": "gemma3_text"},
            "mm_tokens_per_image": 4,
            "image_token_index": 3,
            "boi_token_index": 4,
            "eoi_token_index": 5,
        },
        inputs=marked(4),
    ),
    "GitForCausalLM": Tiny("git", {**TEXT, "vision_config": VIT}, inputs=prompt(0)),
    "GotOcr2ForConditionalGeneration": Tiny(
        "got_ocr2",
        {
            "vision_config": {
                "hidden_size": 32,
                "output_channels": 16,
                "num_hidden_layers": 2,
                "num_attention_heads": 4,
                "image_size": 64,
                "patch_size": 4,
                "window_size": 2,
                "global_attn_indexes": [1],
                "mlp_dim": 32,
            },
            "text_config": QWEN,
            "image_token_index": 3,
        },
        inputs=prompt(16),
    ),
    "Idefics2ForConditionalGeneration": Tiny(
        "idefics2",
        {
            "vision_config": VIT,
            "perceiver_config": {
                "hidden_size": 32,
                "resampler_n_latents": 4,
                "resampler_depth": 1,
                "resampler_n_heads": 4,
                "resampler_head_dim": 8,
                "num_key_value_heads": 2,
            },
            "text_config": {**DECODER, "model_type": "mistral"},
            "image_token_id": 3,
        },
        inputs=alone(4),
    ),
    "Idefics3ForConditionalGeneration": Tiny("idefics3", IDEFICS, inputs=alone(4)),
    "InstructBlipForConditionalGeneration": Tiny("instructblip", BLIP2, inputs=queried),
    "InternVLForConditionalGeneration": Tiny(
        "internvl",
        {
            "vision_config": {**VIT, "image_size": [64, 64], "patch_size": [16, 16]},
            "text_config": QWEN,
            "image_token_id": 3,
        },
        inputs=prompt(4),
    ),
    "LlavaForConditionalGeneration": Tiny(
        "llava", {"vision_config": CLIP, "text_config": LLAMA, "image_token_index": 3}, inputs=prompt(16)
    ),
    "Mistral3ForConditionalGeneration": Tiny(
        "mistral3",
        {
            "vision_config": {**VIT, "model_type": "pixtral", "head_dim": 8},
            "text_config": {**DECODER, "model_type": "mistral"},
            "image_token_index": 3,
        },
        inputs=sized(prompt(4)),
    ),
    "PaliGemmaForConditionalGeneration": Tiny(
        "paligemma",
        {
            "vision_config": {**SIGLIP, "projection_dim": 32},
            "text_config": {**DECODER, "model_type": "gemma"},
            "image_token_index": 3,
            "projection_dim": 32,
        },
        inputs=marked(16),
    ),
    "SmolVLMForConditionalGeneration": Tiny("smolvlm", IDEFICS, inputs=alone(4)),
    "VipLlavaForConditionalGeneration": Tiny(
        "vipllava",
        {"vision_config": CLIP, "text_config": LLAMA, "image_token_index": 3, "vision_feature_layers": [-1, -2]},
        inputs=prompt(16),
    ),
    "VisionEncoderDecoderModel": Tiny(
        "vision-encoder-decoder",
        {
            "encoder": {**VIT, "model_type": "vit"},
            "decoder": {**BART, "model_type": "trocr", "add_cross_attention": True, "is_decoder": True},
            "pad_token_id": 0,
            "decoder_start_token_id": 1,
        },
        inputs=begun,
    ),
}


def attended(batch: int) -> Inputs:
    """Texts that look at their image from every word."""
    return alone(0)(batch) | {"image_attention_mask": torch.ones(batch, 4, 1, dtype=torch.long)}


def embedded(batch: int) -> Inputs:
    """Texts that say where the image is in them."""
    text = prompt(4)(batch)
    return text | {"image_embeds_position_mask": text["input_ids"] == 3}  # type: ignore[dict-item]


TINY |= {
    "DeepseekVLForConditionalGeneration": Tiny(
        "deepseek_vl", {"vision_config": SIGLIP, "text_config": LLAMA, "image_token_id": 3}, inputs=prompt(16)
    ),
    "IdeficsForVisionText2Text": Tiny(
        "idefics",
        {
            **TEXT,
            "alpha_initializer": "ones",
            "vision_config": {**{k: v for k, v in VIT.items() if k != "hidden_size"}, "embed_dim": 32},
        },
        inputs=attended,
    ),
    "Kosmos2ForConditionalGeneration": Tiny(
        "kosmos-2",
        {
            "vision_config": VIT,
            "text_config": {
                **SPECIAL,
                "vocab_size": 64,
                "max_position_embeddings": 64,
                "embed_dim": 32,
                "layers": 2,
                "ffn_dim": 32,
                "attention_heads": 4,
            },
            "latent_query_num": 4,
        },
        inputs=embedded,
    ),
    "LightOnOcrForConditionalGeneration": Tiny(
        "lighton_ocr",
        {
            "vision_config": {**VIT, "model_type": "pixtral", "head_dim": 8},
            "text_config": {**DECODER, "model_type": "qwen3"},
            "image_token_id": 3,
        },
        inputs=sized(prompt(4)),
    ),
    "QianfanOCRForConditionalGeneration": Tiny(
        "qianfan_ocr",
        {
            "vision_config": {**VIT, "image_size": [64, 64], "patch_size": [16, 16]},
            "text_config": {**DECODER, "model_type": "qwen3"},
            "image_token_id": 3,
        },
        inputs=prompt(4),
    ),
}


def audio(samples: int) -> Callable[[int], Inputs]:
    """Waveforms, and what the decoder has written so far."""

    def inputs(batch: int) -> Inputs:
        waves = images(batch, samples, channels=1)[:, 0, 0]
        return begun(batch) | {"pixel_values": None, "input_values": waves}

    return inputs


def spectrogram(batch: int) -> Inputs:
    """Spectrograms of 64 frames and 16 frequencies, and what the decoder has written so far."""
    return begun(batch) | {"pixel_values": None, "input_features": images(batch, 64, channels=1)[:, 0, :16]}


EARS = {"conv_dim": (8, 8), "conv_kernel": (10, 2), "conv_stride": (5, 2), "num_conv_pos_embeddings": 4}
WHISPER = {key: value for key, value in BART.items() if key != "max_position_embeddings"}
SPEECH: dict[str, Tiny] = {
    "MoonshineForConditionalGeneration": Tiny(
        "moonshine",
        {
            "vocab_size": 64,
            "hidden_size": 32,
            "intermediate_size": 32,
            "encoder_num_hidden_layers": 1,
            "decoder_num_hidden_layers": 1,
            "encoder_num_attention_heads": 4,
            "decoder_num_attention_heads": 4,
            "pad_token_id": 0,
        },
        inputs=audio(2000),
    ),
    "SpeechEncoderDecoderModel": Tiny(
        "speech-encoder-decoder",
        {
            "encoder": {**WIDTH, **EARS, "model_type": "wav2vec2", "num_conv_pos_embedding_groups": 2},
            "decoder": {**BART, "model_type": "trocr", "add_cross_attention": True, "is_decoder": True},
            "pad_token_id": 0,
            "decoder_start_token_id": 1,
        },
        inputs=audio(800),
    ),
    "WhisperForConditionalGeneration": Tiny(
        "whisper",
        {
            **WHISPER,
            "num_mel_bins": 16,
            "max_source_positions": 32,
            "max_target_positions": 64,
            "begin_suppress_tokens": None,
            "suppress_tokens": None,
        },
        inputs=spectrogram,
    ),
}
TINY |= SPEECH

# By class name, why it was not tried.
WITHOUT: dict[str, str] = {
    **dict.fromkeys(
        [
            "AriaForConditionalGeneration",
            "CanaryForConditionalGeneration",
            "ChameleonForConditionalGeneration",
            "CohereAsrForConditionalGeneration",
            "DeepseekVLHybridForConditionalGeneration",
            "DiffusionGemmaForBlockDiffusion",
            "Emu3ForConditionalGeneration",
            "FunAsrNanoForConditionalGeneration",
            "GraniteSpeechForConditionalGeneration",
            "GraniteSpeechPlusForConditionalGeneration",
            "JanusForConditionalGeneration",
            "Kimi_K25ForConditionalGeneration",
            "Llama4ForConditionalGeneration",
            "MistralLarge4ForConditionalGeneration",
            "MllamaForConditionalGeneration",
            "MoonshineStreamingForConditionalGeneration",
            "Ovis2ForConditionalGeneration",
            "PI0ForConditionalGeneration",
            "PPFormulaNetForConditionalGeneration",
            "PerceptionLMForConditionalGeneration",
            "Qwen3ASRForConditionalGeneration",
            "T5Gemma2ForConditionalGeneration",
            "UdopForConditionalGeneration",
            "VibeVoiceAsrForConditionalGeneration",
            "VideoLlavaForConditionalGeneration",
            "VoxtralForConditionalGeneration",
            "VoxtralRealtimeForConditionalGeneration",
        ],
        "no tiny model was made of it yet",
    ),
    **dict.fromkeys(
        [
            "DeepseekOcr2ForConditionalGeneration",
            "GraniteDoclingForConditionalGeneration",
            "Step3p7ForConditionalGeneration",
            "UnlimitedOcrForConditionalGeneration",
        ],
        "no tiny model was made of it yet; images that it cuts into tiles could not be turned",
    ),
    **dict.fromkeys(
        [
            "Dots3NoteForConditionalGeneration",
            "Gemma3nForConditionalGeneration",
            "InklingForConditionalGeneration",
            "MuseSparkForConditionalGeneration",
            "Qwen2_5OmniThinkerForConditionalGeneration",
            "Qwen3OmniMoeThinkerForConditionalGeneration",
        ],
        "it listens as well, and which of its inputs would be canonicalized is not decided",
    ),
    "FastVlmForConditionalGeneration": "requires timm, which requires torchvision",
    **dict.fromkeys(
        ["Speech2TextForConditionalGeneration", "SpeechT5ForSpeechToText"],
        "hf_canon does not know what the numbers mean that its feature extractor makes",
    ),
}
