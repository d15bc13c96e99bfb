"""How the answers of models that write move: what is said about an image or an audio clip is the same in every
pose."""

from .rules import Rows, invariant, left_out

TEXT: Rows = {
    **dict.fromkeys(
        [
            "loss",
            "logits",
            "scores",
            "sequences",
            "sequences_scores",
            "beam_indices",
            "cache",
            "past_key_values",
            "rope_deltas",
            "aux_loss",
            "router_logits",
        ],
        invariant,
    ),
    **dict.fromkeys(
        [
            "attentions",
            "cross_attentions",
            "decoder_attentions",
            "decoder_hidden_states",
            "encoder_attentions",
            "encoder_hidden_states",
            "encoder_last_hidden_state",
            "encoder_router_logits",
            "encoder_z_loss",
            "hidden_states",
            "image_embeds",
            "image_hidden_states",
            "image_outputs",
            "language_model_outputs",
            "last_hidden_state",
            "projection_attentions",
            "qformer_outputs",
            "video_hidden_states",
            "vision_model_output",
            "vision_outputs",
        ],
        left_out,
    ),
}
"""Of a forward pass, and of `generate`. What is left out has a place in the image for each of its tokens."""

GRID = "its pixel_values are patches of images of any shape, one after another, and no image that can be turned."
TILES = "its pixel_values are tiles that its processor cuts out of an image, each of which would turn by itself."
CANNOT: dict[str, str] = {
    **dict.fromkeys(
        [
            "CohereCompassForConditionalGeneration",
            "Cosmos3EdgeForConditionalGeneration",
            "Cosmos3OmniForConditionalGeneration",
            "Ernie4_5_VLMoeForConditionalGeneration",
            "Exaone4_5_ForConditionalGeneration",
            "FuyuForCausalLM",
            "Gemma4ForConditionalGeneration",
            "Gemma4UnifiedForConditionalGeneration",
            "Glm46VForConditionalGeneration",
            "Glm4vForConditionalGeneration",
            "Glm4vMoeForConditionalGeneration",
            "Glm5NextForConditionalGeneration",
            "GlmOcrForConditionalGeneration",
            "HunYuanVLForConditionalGeneration",
            "HyperCLOVAXVisionV2ForConditionalGeneration",
            "Inkling2ForConditionalGeneration",
            "Kosmos2_5ForConditionalGeneration",
            "Lfm2VlForConditionalGeneration",
            "Lfm3VlForConditionalGeneration",
            "MiniCPMOcrForConditionalGeneration",
            "MiniCPMV4_6ForConditionalGeneration",
            "MiniCPMV4_7ForConditionalGeneration",
            "MiniMaxM3SparseForConditionalGeneration",
            "Molmo2ForConditionalGeneration",
            "MuseGlimmerForConditionalGeneration",
            "NemotronH_Omni_Reasoning_V3",
            "PaddleOCRVLForConditionalGeneration",
            "Pix2StructForConditionalGeneration",
            "Qwen2VLForConditionalGeneration",
            "Qwen2_5_VLForConditionalGeneration",
            "Qwen3VLForConditionalGeneration",
            "Qwen3VLMoeForConditionalGeneration",
            "Qwen3_5ForConditionalGeneration",
            "Qwen3_5MoeForConditionalGeneration",
            "Qwen4ExpForConditionalGeneration",
            "VideoLlama3ForConditionalGeneration",
        ],
        GRID,
    ),
    **dict.fromkeys(
        [
            "Granite4VisionForConditionalGeneration",
            "LlavaNextForConditionalGeneration",
            "LlavaNextVideoForConditionalGeneration",
            "LlavaOnevisionForConditionalGeneration",
        ],
        TILES,
    ),
    **dict.fromkeys(
        ["SeamlessM4TForSpeechToText", "SeamlessM4Tv2ForSpeechToText"],
        "its input_features hold two moments in one frame, and are no spectrogram that can be transformed.",
    ),
    "DiaForConditionalGeneration": "it reads text (input_ids) and speaks.",
    "EvollaForProteinText2Text": "it reads proteins, and no images.",
    "InstructBlipVideoForConditionalGeneration": "its pixel_values are videos, and no images.",
    "KyutaiSpeechToTextForConditionalGeneration": "it reads codes of audio (input_ids), and no audio.",
    "Mistral4ForCausalLM": "it reads text alone, and no images.",
    "Pop2PianoForConditionalGeneration": "its notes change with the audio, and are not transformed.",
    "VibeVoiceForConditionalGeneration": "it reads text (input_ids) and speaks.",
}
"""Architectures that cannot be wrapped, and why."""
