"""How the answers of models that write move: what is said about a picture or a sound is the same in every pose."""

from .moves import Rows, invariant, left_out

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
"""Of a forward pass, and of `generate`. What is left out has a place in the picture for each of its tokens."""

GRID = "its pixel_values are patches of pictures of any shape, one after another, and no picture that can be turned."
TILES = "its pixel_values are tiles that its processor cuts out of a picture, each of which would turn by itself."
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
        "its input_features hold two moments in one frame, and are no spectrogram that can be moved.",
    ),
    "DiaForConditionalGeneration": "it reads text (input_ids) and speaks.",
    "EvollaForProteinText2Text": "it reads proteins, and no pictures.",
    "InstructBlipVideoForConditionalGeneration": "its pixel_values are films, and no pictures.",
    "KyutaiSpeechToTextForConditionalGeneration": "it reads codes of sound (input_ids), and no sound.",
    "Mistral4ForCausalLM": "it reads text alone, and no pictures.",
    "Pop2PianoForConditionalGeneration": "its notes change with the sound, and are not moved.",
    "VibeVoiceForConditionalGeneration": "it reads text (input_ids) and speaks.",
}
"""Architectures that cannot be wrapped, and why."""
