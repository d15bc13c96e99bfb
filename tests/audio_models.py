"""A classifier of clips that says different things to different ones, untrained as it is."""

from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification


def tiny_audio_model() -> Wav2Vec2ForSequenceClassification:
    """Of waveforms of any length, with a mask; three classes."""
    config = Wav2Vec2Config(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, conv_dim=[8, 8],
        conv_stride=[5, 4], conv_kernel=[10, 8], num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
        feat_extract_norm="layer", do_stable_layer_norm=True, num_labels=3, classifier_proj_size=8,
        initializer_range=1.0,
    )  # fmt: skip
    return Wav2Vec2ForSequenceClassification(config).eval()
