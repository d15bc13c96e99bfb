"""How the answers of predictors that read images move: a row for each field of transformers' outputs."""

from .rules import Rows, boxes, by_shape, invariant, left_out, pixels, plane
from .tokens import attention, features

ENCODER: Rows = {"hidden_states": features, "reshaped_hidden_states": features, "attentions": attention}
"""What an encoder is asked for by output_hidden_states and output_attentions."""

FEATURES: Rows = {
    **ENCODER,
    "last_hidden_state": features,
    "pooler_output": invariant,
    "cls_token_value": invariant,
    "features": plane,
}
BACKBONE: Rows = {**ENCODER, "feature_maps": features, "cls_tokens": invariant}
CLASSIFICATION: Rows = {
    "loss": invariant,
    "logits": invariant,
    "cls_logits": invariant,
    "distillation_logits": invariant,
    "probabilities": invariant,
    "last_hidden_state": features,
    **ENCODER,
}
SEGMENTATION: Rows = {"loss": invariant, "logits": plane, "auxiliary_logits": plane, **ENCODER}
DEPTH: Rows = {"loss": invariant, "predicted_depth": plane, "field_of_view": invariant, **ENCODER}
DETECTION: Rows = {
    "loss": invariant,
    "loss_dict": invariant,
    "logits": invariant,
    "pred_boxes": boxes,
    "out_masks": plane,
    # Which of two regions is read first is a matter of the page, and is asked in its canonical pose.
    "order_logits": invariant,
    "relative_order_logits": invariant,
    "successor_order_logits": invariant,
    "last_hidden_state": by_shape,
    "hidden_states": features,
    "attentions": attention,
    **dict.fromkeys(
        [
            "auxiliary_outputs",
            "backbone_features",
            "cross_attentions",
            "decoder_attentions",
            "decoder_hidden_states",
            "denoising_meta_values",
            "encoder_attentions",
            "encoder_hidden_states",
            "encoder_last_hidden_state",
            "enc_outputs_class",
            "enc_outputs_coord_logits",
            "enc_topk_bboxes",
            "enc_topk_logits",
            "init_reference_points",
            "initial_reference_points",
            "intermediate_hidden_states",
            "intermediate_logits",
            "intermediate_predicted_corners",
            "intermediate_reference_points",
        ],
        left_out,
    ),
}


MASKS: Rows = {
    "loss": invariant,
    "class_queries_logits": invariant,
    "masks_queries_logits": plane,
    "logits": invariant,
    "pred_boxes": boxes,
    "pred_masks": plane,
    "task_token": invariant,
    **dict.fromkeys(
        [
            "attentions",
            "auxiliary_logits",
            "auxiliary_predictions",
            "cross_attentions",
            "decoder_attentions",
            "decoder_hidden_states",
            "encoder_attentions",
            "encoder_hidden_states",
            "encoder_last_hidden_state",
            "enc_outputs_mask_logits",
            "hidden_states",
            "init_reference_points",
            "intermediate_hidden_states",
            "intermediate_reference_points",
            "last_hidden_state",
            "pixel_decoder_hidden_states",
            "pixel_decoder_last_hidden_state",
            "transformer_decoder_auxiliary_predictions",
            "transformer_decoder_class_predictions",
            "transformer_decoder_contrastive_queries",
            "transformer_decoder_hidden_states",
            "transformer_decoder_last_hidden_state",
            "transformer_decoder_mask_predictions",
            "transformer_decoder_object_queries",
        ],
        left_out,
    ),
}
KEYPOINTS: Rows = {
    "loss": invariant,
    "keypoints": pixels,
    "scores": invariant,
    "descriptors": invariant,
    "mask": invariant,
    "hidden_states": features,
}
ZERO_SHOT: Rows = {
    "loss": invariant,
    "logits_per_image": invariant,
    "logits_per_text": invariant,
    "image_embeds": invariant,
    "text_embeds": invariant,
    "text_model_output": invariant,
    "vision_model_output": left_out,
}

VIDEOS = "it reads videos (pixel_values_videos), and no images."
FRAMES = "its pixel_values are videos, and no images."
QUERIES = (
    "it answers with queries, whose features hold places that cannot be turned. Wrap the detector that it is part of, "
    "such as {}."
)
PATCHES = "its pixel_values are a sequence of patches, and no image that can be turned."
CANNOT: dict[str, str] = {
    "Cohere2VisionModel": "it continues a text that has images in it, and its features are those of the words.",
    "HieraBackbone": (
        "its maps are scrambled: it leaves out the step that puts the patches in the order which its encoder and the "
        "maps count on. Wrap HieraModel, whose reshaped_hidden_states are those maps in order."
    ),
    "ImageGPTModel": "it reads a sequence of colours (input_ids), and no pixel_values.",
    "ImageGPTForImageClassification": "it reads a sequence of colours (input_ids), and no pixel_values.",
    "Llama4VisionModel": "it is a part of Llama4ForConditionalGeneration, and no auto class loads it by itself.",
    "MllamaVisionModel": "its pixel_values are tiles of images, and no image that can be turned.",
    "Siglip2ForImageClassification": PATCHES,
    "Siglip2Model": PATCHES,
    "Siglip2VisionModel": PATCHES,
    "TimesformerModel": FRAMES,
    "VideoMAEModel": FRAMES,
    "VideomtForUniversalSegmentation": VIDEOS,
    "VideoPrismClipModel": VIDEOS,
    "VideoPrismVisionModel": VIDEOS,
    "ViTMAEModel": "it looks at patches drawn at random, and says nothing about the others.",
    "VivitModel": FRAMES,
    **{
        f"{detector}Model": QUERIES.format(f"{detector}ForObjectDetection")
        for detector in ("ConditionalDetr", "DabDetr", "DeformableDetr", "Detr", "TableTransformer")
    },
}
"""Architectures that cannot be wrapped, and why."""
