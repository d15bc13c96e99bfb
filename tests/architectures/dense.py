"""Tiny configurations of every architecture that answers with maps, boxes, masks or keypoints."""

import torch
from architectures.tiny import Tiny
from images import images
from torch import Tensor
from transformers import PreTrainedModel


def build(name: str) -> PreTrainedModel:
    """The model of class `name`, in eval mode; the same weights at every call."""
    model = TINY[name].build(name)
    # Many fresh heads are zero, and many normalisations nearly: the answer has to depend on the image, or no test
    # could fail.
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if weight.dim() == 1 and key.endswith("weight"):
                weight.fill_(1)
            weight += torch.randn_like(weight) * ((2 / weight[0].numel()) ** 0.5 if weight.dim() > 1 else 0.1)
    return model


def example(name: str, batch: int = 2) -> dict[str, Tensor]:
    """Inputs for `build(name)`."""
    return TINY[name].example(batch)


def task(batch: int) -> dict[str, Tensor | None]:
    return {"task_inputs": torch.arange(7).repeat(batch, 1)}


# Two frames.
def frames(batch: int) -> dict[str, Tensor | None]:
    return {"pixel_values": None, "pixel_values_videos": images(2 * batch, 64).unflatten(0, (batch, 2))}


LABELS = {"num_labels": 3}
STAGES = ["stage1", "stage2", "stage3", "stage4"]

TRANSFORMER = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
PATCHES = {"image_size": 64, "patch_size": 8}
VIT = {**TRANSFORMER, **PATCHES, "intermediate_size": 32}

RESNET = {
    "model_type": "resnet",
    "embedding_size": 8,
    "hidden_sizes": [8, 12, 16, 24],
    "depths": [1, 1, 1, 1],
    "layer_type": "basic",
    "out_features": STAGES,
}
# Two blocks in the first stages: the second one shifts its windows.
SWIN = {
    "model_type": "swin",
    "image_size": 64,
    "embed_dim": 8,
    "depths": [2, 2, 1, 1],
    "num_heads": [1, 1, 2, 2],
    "window_size": 2,
    "out_features": STAGES,
}
HGNET = {
    "model_type": "hgnet_v2",
    "embedding_size": 8,
    "hidden_sizes": [8, 12, 16, 24],
    "depths": [1, 1, 1, 1],
    "stem_channels": [3, 8, 8],
    "stage_in_channels": [8, 8, 12, 16],
    "stage_mid_channels": [8, 8, 8, 8],
    "stage_out_channels": [8, 12, 16, 24],
    "stage_num_blocks": [1, 1, 1, 1],
    "stage_numb_of_layers": [1, 1, 1, 1],
    "out_features": STAGES[1:],
}
# Two blocks a stage, so that the residual kind is there too.
LCNET_V3 = {
    "model_type": "pp_lcnet_v3",
    "stem_channels": 8,
    "divisor": 4,
    "conv_symmetric_num": 1,
    "block_configs": [
        [[3, 8, 8, 1, False]],
        [[3, 8, 8, 2, False], [3, 8, 8, 1, False]],
        [[3, 8, 12, 2, False], [3, 12, 12, 1, False]],
        [[3, 12, 16, 2, False], [5, 16, 16, 1, False]],
        [[5, 16, 24, 2, True], [5, 24, 24, 1, True]],
    ],
    "out_features": ["stage2", "stage3", "stage4", "stage5"],
}
LCNET_V4 = {
    "model_type": "pp_lcnet_v4",
    "stem_channels": [3, 8, 8],
    "block_configs": [
        [[3, 8, 8, 1, True]],
        [[3, 8, 12, 2, False], [3, 12, 12, 1, False]],
        [[3, 12, 16, 2, False], [3, 16, 16, 1, True]],
        [[3, 16, 24, 2, False], [3, 24, 24, 1, True]],
    ],
    "out_features": STAGES,
}
DINOV2 = {
    **TRANSFORMER,
    **PATCHES,
    "model_type": "dinov2",
    "mlp_ratio": 2,
    "out_indices": [1, 2, 3, 4],
    "reshape_hidden_states": False,
}

# The decoder on top of a plain transformer.
NECK = {"neck_hidden_sizes": [8, 8, 16, 16], "fusion_hidden_size": 12}

DETR = {
    **LABELS,
    "backbone_config": RESNET,
    "d_model": 32,
    "num_queries": 6,
    "encoder_layers": 1,
    "encoder_ffn_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_layers": 3,
    "decoder_ffn_dim": 32,
    "decoder_attention_heads": 4,
}
# Queries are picked among the places of three scales.
RT_DETR = {
    **DETR,
    "backbone_config": {**RESNET, "model_type": "rt_detr_resnet", "out_features": STAGES[1:]},
    "encoder_hidden_dim": 32,
    "encoder_in_channels": [12, 16, 24],
    "decoder_in_channels": [32, 32, 32],
    "decoder_n_points": 2,
    "hidden_expansion": 0.5,
    "num_denoising": 0,
}
HGNET_DETR = {**RT_DETR, "backbone_config": HGNET}

RF_DETR = {
    **LABELS,
    "backbone_config": {
        **TRANSFORMER,
        **PATCHES,
        "model_type": "rf_detr_dinov2",
        "mlp_ratio": 2,
        "num_windows": 2,
        "out_indices": [2, 4],
    },
    "c2f_num_blocks": 1,
    "d_model": 32,
    "num_queries": 6,
    "group_detr": 2,
    "decoder_layers": 3,
    "decoder_ffn_dim": 32,
    "decoder_n_points": 2,
    "decoder_self_attention_heads": 4,
    "decoder_cross_attention_heads": 4,
}

LARGE_KERNELS = {
    "reduce_channel": [1, 1, 0],
    "return_channel": [1, 1, 0],
    **{
        f"{name}ratio": [[height, width], [1, 1], [height // 2, width // 2]]
        for kernel, length in ((7, "long"), (5, "mid"), (3, "short"))
        for name, height, width in (
            (f"vertical_long_to_small_conv_{length}", kernel, 1),
            (f"horizontal_small_to_long_conv_{length}", 1, kernel),
            (f"symmetric_conv_long_{length}", kernel, kernel),
        )
    },
}
TEXT_DETECTION = {
    "neck_out_channels": 16,
    "intraclass_block_number": 4,
    "intraclass_block_config": LARGE_KERNELS,
    "scale_factor_list": [1, 2, 4, 8],
    "kernel_list": [3, 2, 2],
}
SMALL_TEXT_DETECTION = {
    "neck_out_channels": 16,
    "kernel_list": [3, 2, 2],
    "layer_list_out_channels": [8, 12, 16, 24],
}

EOMT = {**LABELS, **TRANSFORMER, **PATCHES, "num_blocks": 2, "num_queries": 5}
MASKS = {**LABELS, "backbone_config": SWIN}

SEMANTIC_SEGMENTATION = {
    "BeitForSemanticSegmentation": Tiny(
        "beit",
        {
            **LABELS,
            **VIT,
            "use_relative_position_bias": True,
            "out_indices": [1, 2, 3, 4],
            "auxiliary_channels": 8,
        },
    ),
    "Data2VecVisionForSemanticSegmentation": Tiny(
        "data2vec-vision",
        {
            **LABELS,
            **VIT,
            "use_relative_position_bias": True,
            "out_indices": [0, 1, 2, 3],
            "auxiliary_channels": 8,
        },
    ),
    "DPTForSemanticSegmentation": Tiny("dpt", {**LABELS, **VIT, **NECK, "backbone_out_indices": [0, 1, 2, 3]}),
    "MobileNetV2ForSemanticSegmentation": Tiny(
        "mobilenet_v2", {**LABELS, "depth_multiplier": 0.25, "output_stride": 16}
    ),
    "MobileViTForSemanticSegmentation": Tiny(
        "mobilevit",
        {
            **LABELS,
            "image_size": 64,
            "hidden_sizes": [8, 12, 16],
            "neck_hidden_sizes": [8, 8, 8, 12, 12, 16, 16],
            "num_attention_heads": 2,
            "aspp_out_channels": 16,
            "output_stride": 16,
        },
    ),
    "MobileViTV2ForSemanticSegmentation": Tiny(
        "mobilevitv2",
        {
            **LABELS,
            "image_size": 64,
            "width_multiplier": 0.25,
            "base_attn_unit_dims": [32, 32, 32],
            "n_attn_blocks": [1, 1, 1],
            "aspp_out_channels": 16,
            "output_stride": 16,
        },
    ),
    "Sapiens2ForSemanticSegmentation": Tiny(
        "sapiens2",
        {
            **LABELS,
            **VIT,
            "num_key_value_attention_heads": 1,
            "num_first_full_attention_layers": 1,
            "num_last_full_attention_layers": 1,
            "head_config": {"upsample_out_channels": [8, 8], "conv_out_channels": [8]},
        },
    ),
    "SegformerForSemanticSegmentation": Tiny(
        "segformer",
        {
            **LABELS,
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [8, 8, 16, 16],
            "num_attention_heads": [1, 1, 2, 2],
            "decoder_hidden_size": 16,
        },
    ),
    "Tipsv2DptForSemanticSegmentation": Tiny(
        "tipsv2_dpt",
        {**LABELS, **NECK, "backbone_config": {**DINOV2, "model_type": "tipsv2_vision_model"}},
    ),
    "UperNetForSemanticSegmentation": Tiny(
        "upernet",
        {**LABELS, "backbone_config": RESNET, "hidden_size": 16, "auxiliary_channels": 8, "auxiliary_in_channels": 16},
    ),
}

DEPTH_ESTIMATION = {
    "CHMv2ForDepthEstimation": Tiny(
        "chmv2",
        {
            "backbone_config": {
                **VIT,
                "model_type": "dinov3_vit",
                "num_register_tokens": 1,
                "out_indices": [1, 2, 3, 4],
                "return_class_token": True,
            },
            "patch_size": 8,
            "post_process_channels": [8, 8, 16, 16],
            "fusion_hidden_size": 8,
            "head_hidden_size": 8,
            "number_output_channels": 16,
        },
    ),
    "DepthAnythingForDepthEstimation": Tiny(
        "depth_anything",
        {
            **NECK,
            "backbone_config": DINOV2,
            "patch_size": 8,
            "reassemble_hidden_size": 16,
            "head_hidden_size": 8,
        },
    ),
    "DepthProForDepthEstimation": Tiny(
        "depth_pro",
        {
            **{
                f"{part}_model_config": {
                    **DINOV2,
                    "image_size": 32,
                    "reshape_hidden_states": True,
                    "out_indices": [4],
                }
                for part in ("image", "patch", "fov")
            },
            "patch_size": 32,
            "fusion_hidden_size": 8,
            "intermediate_hook_ids": [2, 1],
            "intermediate_feature_dims": [8, 8],
            "scaled_images_ratios": [0.5, 1.0],
            "scaled_images_overlap_ratios": [0.0, 0.25],
            "scaled_images_feature_dims": [8, 8],
            "merge_padding_value": 1,
            "use_fov_model": True,
        },
    ),
    "DPTForDepthEstimation": Tiny("dpt", {**VIT, **NECK, "backbone_out_indices": [0, 1, 2, 3]}),
    "GLPNForDepthEstimation": Tiny(
        "glpn",
        {
            "depths": [1, 1, 1, 1],
            "hidden_sizes": [8, 8, 16, 16],
            "num_attention_heads": [1, 1, 2, 2],
            "decoder_hidden_size": 16,
        },
    ),
    # `prompt_depth`, a coarse map of known depths, may be left out.
    "PromptDepthAnythingForDepthEstimation": Tiny(
        "prompt_depth_anything",
        {
            **NECK,
            "backbone_config": DINOV2,
            "patch_size": 8,
            "reassemble_hidden_size": 16,
            "head_hidden_size": 8,
        },
    ),
    "Tipsv2DptForDepthEstimation": Tiny(
        "tipsv2_dpt",
        {**NECK, "backbone_config": {**DINOV2, "model_type": "tipsv2_vision_model"}, "num_depth_bins": 16},
    ),
    "ZoeDepthForDepthEstimation": Tiny(
        "zoedepth",
        {
            **NECK,
            "backbone_config": {
                **VIT,
                "model_type": "beit",
                "use_relative_position_bias": True,
                "reshape_hidden_states": False,
                "out_features": STAGES,
            },
            "num_relative_features": 8,
            "bottleneck_features": 12,
            "bin_embedding_dim": 8,
            "bin_configurations": [{"n_bins": 8, "min_depth": 0.001, "max_depth": 10.0}],
        },
    ),
}

OBJECT_DETECTION = {
    "ConditionalDetrForObjectDetection": Tiny("conditional_detr", DETR),
    "DFineForObjectDetection": Tiny("d_fine", {**HGNET_DETR, "lqe_hidden_dim": 8}),
    "DabDetrForObjectDetection": Tiny("dab-detr", {**DETR, "hidden_size": 32}),
    "DeformableDetrForObjectDetection": Tiny("deformable_detr", DETR),
    "Deimv2ForObjectDetection": Tiny("deimv2", {**HGNET_DETR, "lqe_hidden_dim": 8}),
    "DetrForObjectDetection": Tiny("detr", DETR),
    "LwDetrForObjectDetection": Tiny(
        "lw_detr",
        {
            **LABELS,
            "backbone_config": {
                **TRANSFORMER,
                **PATCHES,
                "model_type": "lw_detr_vit",
                "mlp_ratio": 2,
                "pretrain_image_size": 64,
                "num_windows": 4,
                "window_block_indices": [0, 2],
                "out_indices": [2, 4],
            },
            "projector_scale_factors": [2.0, 0.5],
            "c2f_num_blocks": 1,
            "d_model": 32,
            "num_queries": 6,
            "group_detr": 2,
            "decoder_layers": 3,
            "decoder_ffn_dim": 32,
            "decoder_n_points": 2,
            "decoder_self_attention_heads": 4,
            "decoder_cross_attention_heads": 4,
        },
    ),
    "PPDocLayoutV2ForObjectDetection": Tiny(
        "pp_doclayout_v2",
        {
            **HGNET_DETR,
            "class_thresholds": [0.2, 0.2, 0.2],
            "class_order": [2, 0, 1],
            "reading_order_config": {
                "hidden_size": 32,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "intermediate_size": 32,
                "max_position_embeddings": 16,
                "coordinate_size": 5,
                "shape_size": 6,
                "num_classes": 3,
                "global_pointer_head_size": 8,
            },
        },
    ),
    "PPDocLayoutV3ForObjectDetection": Tiny(
        "pp_doclayout_v3",
        {
            **HGNET_DETR,
            "backbone_config": {**HGNET, "out_features": STAGES},
            "mask_feature_channels": [16, 16],
            "x4_feat_dim": 8,
            "num_prototypes": 8,
        },
    ),
    "PPDocLayoutV4ForObjectDetection": Tiny("pp_doclayout_v4", HGNET_DETR),
    "PPOCRV5MobileDetForObjectDetection": Tiny(
        "pp_ocrv5_mobile_det", {**SMALL_TEXT_DETECTION, "backbone_config": LCNET_V3}
    ),
    "PPOCRV5ServerDetForObjectDetection": Tiny(
        "pp_ocrv5_server_det", {**TEXT_DETECTION, "backbone_config": {**HGNET, "out_features": STAGES}}
    ),
    "PPOCRV6MediumDetForObjectDetection": Tiny("pp_ocrv6_medium_det", {**TEXT_DETECTION, "backbone_config": LCNET_V4}),
    "PPOCRV6SmallDetForObjectDetection": Tiny(
        "pp_ocrv6_small_det", {**SMALL_TEXT_DETECTION, "backbone_config": LCNET_V4}
    ),
    "RfDetrForObjectDetection": Tiny("rf_detr", RF_DETR),
    "RTDetrForObjectDetection": Tiny("rt_detr", RT_DETR),
    "RTDetrV2ForObjectDetection": Tiny("rt_detr_v2", RT_DETR),
    "TableTransformerForObjectDetection": Tiny("table-transformer", DETR),
    "YolosForObjectDetection": Tiny("yolos", {**LABELS, **VIT, "image_size": [64, 64], "num_detection_tokens": 6}),
}

SEGMENTATION = {
    # The mask head halves its channels five times, and mixes the queries' attention heads into them.
    "DetrForSegmentation": Tiny("detr", {**DETR, "d_model": 64, "encoder_attention_heads": 8}),
    "EomtForUniversalSegmentation": Tiny("eomt", {**EOMT, "mlp_ratio": 2}),
    "EomtDinov3ForUniversalSegmentation": Tiny("eomt_dinov3", {**EOMT, "intermediate_size": 32}),
    "Mask2FormerForUniversalSegmentation": Tiny(
        "mask2former",
        {
            **MASKS,
            "feature_size": 32,
            "mask_feature_size": 32,
            "hidden_dim": 32,
            "encoder_feedforward_dim": 32,
            "dim_feedforward": 32,
            "encoder_layers": 1,
            "decoder_layers": 3,
            "num_attention_heads": 4,
            "num_queries": 6,
        },
    ),
    "MaskFormerForInstanceSegmentation": Tiny(
        "maskformer",
        {**MASKS, "fpn_feature_size": 32, "mask_feature_size": 32, "decoder_config": {**DETR, "model_type": "detr"}},
    ),
    "OneFormerForUniversalSegmentation": Tiny(
        "oneformer",
        {
            **MASKS,
            "conv_dim": 32,
            "mask_dim": 32,
            "hidden_dim": 32,
            "encoder_feedforward_dim": 32,
            "dim_feedforward": 32,
            "encoder_layers": 1,
            "decoder_layers": 3,
            "num_attention_heads": 4,
            "num_queries": 6,
            "task_seq_len": 7,
        },
        inputs=task,
    ),
    "RfDetrForInstanceSegmentation": Tiny("rf_detr", RF_DETR),
    "VideomtForUniversalSegmentation": Tiny(
        "videomt",
        {**EOMT, "mlp_ratio": 2},
        inputs=frames,
    ),
}

KEYPOINTS = {
    "SuperPointForKeypointDetection": Tiny(
        "superpoint",
        {"encoder_hidden_sizes": [8, 8, 8, 8], "decoder_hidden_size": 16, "descriptor_decoder_dim": 8},
    ),
}

TINY = {**SEMANTIC_SEGMENTATION, **DEPTH_ESTIMATION, **OBJECT_DETECTION, **SEGMENTATION, **KEYPOINTS}

# By class name, why it cannot be built.
WITHOUT: dict[str, str] = {}
