"""How the answers of predictors that read audio to audio move: a row for each field of transformers' outputs."""

from torch import Tensor

from .rules import Move, Rows, invariant, left_out


def frames(move: Move, value: Tensor) -> Tensor:
    """Values for each frame, `(batch, frames, ...)`: they move as the moments of the audio do."""
    if move.frames is None:
        return move.group.act_frames(value, move.element)
    lengths, count = move.frames
    return move.group.act_frames(value, move.element, lengths.clamp(max=value.shape[1]), count)


def frames_of_tokens(move: Move, value: Tensor) -> Tensor | None:
    """Tokens: one for each frame; or for patches of a spectrogram, which are inner workings."""
    return None if move.config.model_type == "audio-spectrogram-transformer" else frames(move, value)


def mask_of_frames(move: Move, value: Tensor) -> Tensor:
    """Which frames are audio, `(batch, frames)`."""
    transformed = frames(move, value.float())
    return (transformed > 0.5).to(value.dtype)


INSIDE: Rows = dict.fromkeys(["hidden_states", "attentions"], left_out)

AUDIO_CLASSIFICATION: Rows = {"loss": invariant, "logits": invariant, **INSIDE}
# Words are read in their own order: played backwards, a sentence is still that sentence, and a decoder is to see the
# letters as they follow each other in the canonical audio.
CTC: Rows = {"loss": invariant, "logits": invariant, **INSIDE}
AUDIO_FRAMES: Rows = {"loss": invariant, "logits": frames, "speaker_cache": left_out, **INSIDE}
XVECTOR: Rows = {"loss": invariant, "logits": invariant, "embeddings": invariant, **INSIDE}
ZERO_SHOT_AUDIO: Rows = {
    "loss": invariant,
    "logits_per_audio": invariant,
    "logits_per_text": invariant,
    "audio_embeds": invariant,
    "text_embeds": invariant,
    "text_model_output": invariant,
    "audio_model_output": left_out,
}
AUDIO_FEATURES: Rows = {
    "last_hidden_state": frames_of_tokens,
    "extract_features": frames,
    "pooler_output": invariant,
    "attention_mask": mask_of_frames,
    **INSIDE,
}

STACKED = "its input_features hold two moments in one frame, and are no spectrogram that can be transformed."
CANNOT: dict[str, str] = {
    "GraniteSpeech5ForCTC": STACKED,
    "Wav2Vec2BertForAudioFrameClassification": STACKED,
    "Wav2Vec2BertForCTC": STACKED,
    "Wav2Vec2BertForSequenceClassification": STACKED,
    "Wav2Vec2BertForXVector": STACKED,
}
"""Architectures that cannot be wrapped, and why."""
