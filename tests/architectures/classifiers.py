"""A tiny, randomly initialised model of every image classifier, backbone and image encoder of transformers.

The settings are arguments of the configuration class: nothing is read from the Hub. An image is 64 x 64 for nearly
all, and the grid of an answer at least 2 x 2, the smallest on which every turn and flip shows. Initial weights are
larger than usual: a new model is nearly constant, and a test of its answers could not fail.
"""

from collections.abc import Callable
from typing import Any

import torch
from architectures.tiny import Inputs, Tiny
from images import images
from torch import Tensor, nn
from transformers import PreTrainedModel


def build(name: str) -> PreTrainedModel:
    """The model of class `name`, in eval mode, with the same weights at every call."""
    model = TINY[name].build(name)
    norms = [module for module in model.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            # Positions, gates and projections that start at zero hide the image, or where in it something is.
            if not key.endswith("bias") and not parameter.any():
                parameter.normal_(std=0.2)
        if norms:
            # Statistics of images: with those of a new model, the answers of deep ones underflow.
            for norm in norms:
                norm.momentum = 1.0
                norm.train()
            model(**example(name, batch=8))
    return model.eval()


def example(name: str, batch: int = 2) -> dict[str, Tensor]:
    """Inputs for `build(name)`."""
    return TINY[name].example(batch)


def captions(batch: int) -> Inputs:
    """Three captions, the same for any image: 0 opens, 2 closes, 1 pads."""
    input_ids = torch.tensor([[0, 7, 8, 9, 2], [0, 10, 11, 2, 1], [0, 12, 2, 1, 1]])
    return {"input_ids": input_ids, "attention_mask": (input_ids != 1).long()}


def prompt(batch: int) -> Inputs:
    """A text around the four tokens that stand for an image."""
    input_ids = torch.tensor([[0, 3, 3, 3, 3, 7, 8, 9]]).repeat(batch, 1)
    return {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}


def colours(batch: int) -> Inputs:
    """Images of 8 x 8 in 16 shades, row by row."""
    shades = images(batch, 8).mean(1).flatten(1).sigmoid().mul(16).long()
    return {"pixel_values": None, "input_ids": shades}


def patches(batch: int) -> Inputs:
    """Images cut into 4 x 4 patches of 16 x 16 pixels."""
    cut = images(batch, 64).unflatten(3, (4, 16)).unflatten(2, (4, 16)).permute(0, 2, 4, 3, 5, 1)
    return {
        "pixel_values": cut.flatten(3).flatten(1, 2),
        "pixel_attention_mask": torch.ones(batch, 16, dtype=torch.long),
        "spatial_shapes": torch.full((batch, 2), 4),
    }


def tiles(batch: int) -> Inputs:
    """One image of one tile."""
    return {
        "pixel_values": images(batch, 64)[:, None, None],
        "aspect_ratio_ids": torch.ones(batch, 1, dtype=torch.long),
        "aspect_ratio_mask": torch.ones(batch, 1, 1, dtype=torch.long),
    }


def frames(batch: int) -> Inputs:
    """Videos of two images."""
    return {"pixel_values": images(2 * batch, 64).unflatten(0, (batch, 2))}


def videos(batch: int) -> Inputs:
    """The same under the name of its own that a model of videos gives them."""
    return {"pixel_values": None, "pixel_values_videos": frames(batch)["pixel_values"]}


WIDTH = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SPREAD = {"initializer_range": 0.2}
VIT = {**WIDTH, **SPREAD, "intermediate_size": 64, "image_size": 64, "patch_size": 16}
DINO = {**WIDTH, **SPREAD, "mlp_ratio": 2, "image_size": 64, "patch_size": 16}
VIDEO = {**VIT, "num_frames": 2}
BEIT = {**VIT, "layer_scale_init_value": 1.0, "use_relative_position_bias": True}
CONVNEXT = {"hidden_sizes": [8, 16, 32, 32], "depths": [1, 1, 1, 1], **SPREAD}
RESNET = {"embedding_size": 8, "hidden_sizes": [16, 32, 32, 32], "depths": [1, 1, 1, 1]}
SWIN = {"image_size": 64, "embed_dim": 8, "depths": [2, 2, 2], "num_heads": [2, 2, 4], "window_size": 4, **SPREAD}
PYRAMID = {"depths": [1, 1, 1, 1], "hidden_sizes": [8, 16, 32, 32], "num_attention_heads": [1, 2, 2, 4], **SPREAD}
EFFICIENTNET = {"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.25, "hidden_dim": 320, **SPREAD}
LCNET = [[[3, 16, 16, 1, False]]] + [[[3, 16, 16, 2, False]]] * 3 + [[[5, 16, 16, 2, True]]]
TIPSV2 = {**DINO, "num_register_tokens": 1}
VIDEOPRISM = {
    **VIDEO,
    "tubelet_size": [1, 16, 16],
    "num_spatial_layers": 1,
    "num_temporal_layers": 1,
    "num_auxiliary_layers": 1,
}
del VIDEOPRISM["num_hidden_layers"], VIDEOPRISM["patch_size"]
PERCEIVER = {
    "num_latents": 8,
    "d_latents": 32,
    "num_self_attends_per_block": 1,
    "num_self_attention_heads": 4,
    "num_cross_attention_heads": 1,
    "qk_channels": 32,
    "v_channels": 32,
    "image_size": 64,
    **SPREAD,
}

TEXT = {**WIDTH, **SPREAD, "intermediate_size": 64, "vocab_size": 32, "max_position_embeddings": 16}
SPECIAL = {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
DECODER = {**TEXT, **SPECIAL, "num_key_value_heads": 2, "head_dim": 8}
PROJECTED = {"projection_dim": 32}
CLIP = {
    "text_config": {**TEXT, **SPECIAL, **PROJECTED},
    "vision_config": {**VIT, **PROJECTED},
    **PROJECTED,
}
SIGLIP = {"text_config": {**TEXT, **SPECIAL}, "vision_config": VIT}

DETR = {
    "backbone_config": {"model_type": "resnet", **RESNET, "out_indices": [4]},
    "num_queries": 5,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "d_model": 32,
    "init_std": 0.2,
}

# By model type, without what only a classifier (labels) or a backbone (stages) takes.
SETTINGS: dict[str, dict[str, Any]] = {
    "aimv2_vision_model": VIT,
    "align": {
        "text_config": {**TEXT, "pad_token_id": 1},
        "vision_config": EFFICIENTNET,
        "projection_dim": 80,
    },
    "altclip": {
        "text_config": {**TEXT, **SPECIAL, "project_dim": 32},
        "vision_config": {**VIT, **PROJECTED},
        **PROJECTED,
    },
    "beit": BEIT,
    "bit": {**RESNET, "num_groups": 4},
    "blip": {
        "text_config": {**TEXT, **SPECIAL, **PROJECTED, "encoder_hidden_size": 32, "sep_token_id": 2},
        "vision_config": VIT,
        **PROJECTED,
        "image_text_hidden_size": 32,
    },
    "blip-2": {
        "vision_config": VIT,
        "qformer_config": {**TEXT, "pad_token_id": 1, "encoder_hidden_size": 32, "use_qformer_text_input": True},
        "text_config": {"model_type": "opt", **TEXT, **SPECIAL, "ffn_dim": 64, "word_embed_proj_dim": 32},
        "num_query_tokens": 4,
        "image_text_hidden_size": 32,
        **SPREAD,
    },
    "chinese_clip": CLIP,
    "chinese_clip_vision_model": VIT,
    "clip": CLIP,
    "clip_vision_model": VIT,
    "clipseg": {**CLIP, "extract_layers": [1, 2], "reduce_dim": 16, "decoder_intermediate_size": 32},
    "cohere2_vision": {
        "vision_config": {"model_type": "siglip_vision_model", **VIT},
        "text_config": {"model_type": "cohere2", **DECODER},
        "image_token_id": 3,
        "alignment_intermediate_size": 64,
    },
    "conditional_detr": DETR,
    "convnext": {**CONVNEXT, "layer_scale_init_value": 1.0},
    "convnextv2": CONVNEXT,
    # A stage reads its rate of stochastic depth by its own number, so it has at least that many blocks.
    "cvt": {"embed_dim": [8, 16, 32], "num_heads": [1, 2, 4], "depth": [1, 2, 3], **SPREAD},
    "dab-detr": {**DETR, "hidden_size": 32},
    "data2vec-vision": BEIT,
    "deformable_detr": {**DETR, "num_feature_levels": 2},
    "deit": VIT,
    "depth_pro": {
        "patch_size": 32,
        "fusion_hidden_size": 16,
        "intermediate_hook_ids": [1, 0],
        "intermediate_feature_dims": [16, 16],
        "scaled_images_ratios": [0.5, 1.0],
        "scaled_images_overlap_ratios": [0.0, 0.5],
        "scaled_images_feature_dims": [16, 16],
        "merge_padding_value": 1,
        "image_model_config": {"model_type": "dinov2", **DINO, "patch_size": 8, "image_size": 32},
        "patch_model_config": {"model_type": "dinov2", **DINO, "patch_size": 8, "image_size": 32},
        "fov_model_config": {"model_type": "dinov2", **DINO, "patch_size": 8, "image_size": 32},
        **SPREAD,
    },
    "detr": DETR,
    "dinov2": DINO,
    "dinov2_with_registers": DINO,
    "dinov3_convnext": {**CONVNEXT, "layer_scale_init_value": 1.0},
    "dinov3_vit": {**VIT, "num_register_tokens": 2},
    "donut-swin": SWIN,
    "dpt": {**VIT, "backbone_out_indices": [0, 1], "neck_hidden_sizes": [16, 16], "fusion_hidden_size": 16},
    "efficientnet": EFFICIENTNET,
    "focalnet": {
        "image_size": 64,
        "embed_dim": 8,
        "hidden_sizes": [8, 16, 32],
        "depths": [1, 1, 1],
        "focal_levels": [2, 2, 2],
        "focal_windows": [3, 3, 3],
        **SPREAD,
    },
    "glpn": PYRAMID,
    "hgnet_v2": {
        "embedding_size": 8,
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [16, 16, 32, 32],
        "stem_channels": [3, 8, 8],
        "stage_in_channels": [8, 16, 16, 32],
        "stage_mid_channels": [8, 8, 16, 16],
        "stage_out_channels": [16, 16, 32, 32],
        "stage_num_blocks": [1, 1, 1, 1],
        "stage_numb_of_layers": [2, 2, 2, 2],
        **SPREAD,
    },
    "hiera": {
        "embed_dim": 8,
        "image_size": [64, 64],
        "depths": [1, 1, 1],
        "num_heads": [1, 2, 4],
        "num_query_pool": 2,
        "masked_unit_size": [4, 4],
        "masked_unit_attention": [True, False, False],
        **SPREAD,
    },
    "ijepa": VIT,
    "imagegpt": {"vocab_size": 17, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4, **SPREAD},
    "levit": {
        "image_size": 128,
        "hidden_sizes": [16, 32, 32],
        "num_attention_heads": [1, 2, 2],
        "depths": [1, 1, 1],
        "key_dim": [8, 8, 8],
        **SPREAD,
    },
    "llama4": {
        **VIT,
        "intermediate_size": 128,
        "pixel_shuffle_ratio": 0.5,
        "projector_input_dim": 32,
        "projector_output_dim": 32,
        "vision_output_dim": 32,
    },
    "lw_detr_vit": {**DINO, "pretrain_image_size": 64, "window_block_indices": [0], "num_windows": 4},
    "maskformer-swin": SWIN,
    "metaclip_2": CLIP,
    "mlcd_vision_model": VIT,
    "mllama": {
        **{key: value for key, value in VIT.items() if key != "num_attention_heads"},
        "attention_heads": 4,
        "num_global_layers": 1,
        "intermediate_layers_indices": [0, 1],
        "max_num_tiles": 1,
        "supported_aspect_ratios": [[1, 1]],
        "vision_output_dim": 96,
    },
    "mobilenet_v1": {"image_size": 64, "depth_multiplier": 0.25, **SPREAD},
    "mobilenet_v2": {"image_size": 64, "depth_multiplier": 0.25, **SPREAD},
    "mobilevit": {
        "image_size": 64,
        "hidden_sizes": [16, 24, 32],
        "neck_hidden_sizes": [8, 8, 16, 16, 16, 32, 32],
        **SPREAD,
    },
    "mobilevitv2": {
        "image_size": 64,
        "n_attn_blocks": [1, 1, 1],
        "base_attn_unit_dims": [16, 24, 32],
        "width_multiplier": 0.25,
        **SPREAD,
    },
    "perceiver": PERCEIVER,
    "pixio": {**DINO, "n_cls_tokens": 2},
    "poolformer": {
        "depths": [1, 1, 1, 1],
        "hidden_sizes": [8, 16, 32, 32],
        "layer_scale_init_value": 1.0,
        **SPREAD,
    },
    "pp_lcnet": {"block_configs": LCNET, "class_expand": 32, **SPREAD},
    "pp_lcnet_v3": {"block_configs": LCNET},
    "pp_lcnet_v4": {
        "stem_channels": [3, 8, 16],
        "block_configs": [
            [[3, 16, 16, 1, True]],
            [[3, 16, 16, 1, False]],
            [[3, 16, 32, [2, 1], False]],
            [[3, 32, 32, [2, 1], False]],
        ],
    },
    "pvt": {**PYRAMID, "image_size": 64},
    "pvt_v2": PYRAMID,
    "regnet": {**RESNET, "groups_width": 8},
    "resnet": RESNET,
    "rf_detr_dinov2": {**DINO, "num_windows": 2},
    "rt_detr_resnet": RESNET,
    "sapiens2": {
        **VIT,
        "num_register_tokens": 2,
        "num_key_value_attention_heads": 2,
        "num_first_full_attention_layers": 1,
        "num_last_full_attention_layers": 0,
    },
    "segformer": PYRAMID,
    "shieldgemma2": {
        "text_config": {"model_type": "gemma3_text", **DECODER},
        "vision_config": {"model_type": "siglip_vision_model", **VIT, "vision_use_head": False},
        "mm_tokens_per_image": 4,
        "boi_token_index": 4,
        "eoi_token_index": 5,
        "image_token_index": 3,
        "yes_token_index": 7,
        "no_token_index": 8,
    },
    "siglip": SIGLIP,
    "siglip2": {
        "text_config": {**TEXT, **SPECIAL},
        "vision_config": {**{key: value for key, value in VIT.items() if key != "image_size"}, "num_patches": 16},
    },
    "siglip2_vision_model": {**{key: value for key, value in VIT.items() if key != "image_size"}, "num_patches": 16},
    "siglip_vision_model": VIT,
    "swiftformer": {
        "image_size": 64,
        "depths": [1, 1, 1, 1],
        "embed_dims": [8, 16, 32, 32],
        "layer_scale_init_value": 1.0,
        **SPREAD,
    },
    "swin": SWIN,
    "swin2sr": {**SWIN, "image_size": 32, "depths": [2, 2], "num_heads": [2, 2]},
    "swinv2": SWIN,
    "table-transformer": DETR,
    "textnet": {"image_size": [64, 64], "stem_out_channels": 8, "hidden_sizes": [8, 8, 16, 16, 32], **SPREAD},
    "timesformer": VIDEO,
    "tipsv2": {"text_config": {**TEXT, **SPECIAL}, "vision_config": TIPSV2},
    "tipsv2_vision_model": TIPSV2,
    "uvdoc_backbone": {
        "resnet_head": [[3, 8], [8, 8]],
        "resnet_configs": [[[8, 8, 1, False]], [[8, 16, 1, True]], [[16, 16, 1, True]]],
        "stage_configs": [[[16, 1]], [[16, 2]]],
    },
    "videomae": {**VIDEO, "tubelet_size": 2},
    "videoprism": {"text_config": {**TEXT, **SPECIAL}, "vision_config": VIDEOPRISM},
    "videoprism_vision_model": VIDEOPRISM,
    "vit": VIT,
    "vit_mae": VIT,
    "vit_msn": VIT,
    "vitdet": {**DINO, "pretrain_image_size": 64, "window_block_indices": [0], "window_size": 2},
    "vitpose_backbone": {**DINO, "image_size": [64, 64], "patch_size": [16, 16]},
    "vivit": {**{k: v for k, v in VIDEO.items() if k != "patch_size"}, "tubelet_size": [2, 16, 16]},
    "yolos": {**VIT, "image_size": [64, 64], "num_detection_tokens": 5},
}

CLASSIFIERS = {
    "BeitForImageClassification": "beit",
    "BitForImageClassification": "bit",
    "CLIPForImageClassification": "clip",
    "ConvNextForImageClassification": "convnext",
    "ConvNextV2ForImageClassification": "convnextv2",
    "CvtForImageClassification": "cvt",
    "Data2VecVisionForImageClassification": "data2vec-vision",
    "DeiTForImageClassification": "deit",
    "DeiTForImageClassificationWithTeacher": "deit",
    "Dinov2ForImageClassification": "dinov2",
    "Dinov2WithRegistersForImageClassification": "dinov2_with_registers",
    "DonutSwinForImageClassification": "donut-swin",
    "EfficientNetForImageClassification": "efficientnet",
    "FocalNetForImageClassification": "focalnet",
    "HGNetV2ForImageClassification": "hgnet_v2",
    "HieraForImageClassification": "hiera",
    "IJepaForImageClassification": "ijepa",
    "ImageGPTForImageClassification": "imagegpt",
    "LevitForImageClassification": "levit",
    "LevitForImageClassificationWithTeacher": "levit",
    "MetaClip2ForImageClassification": "metaclip_2",
    "MobileNetV1ForImageClassification": "mobilenet_v1",
    "MobileNetV2ForImageClassification": "mobilenet_v2",
    "MobileViTForImageClassification": "mobilevit",
    "MobileViTV2ForImageClassification": "mobilevitv2",
    "PerceiverForImageClassificationLearned": "perceiver",
    "PerceiverForImageClassificationFourier": "perceiver",
    "PerceiverForImageClassificationConvProcessing": "perceiver",
    "PoolFormerForImageClassification": "poolformer",
    "PPLCNetForImageClassification": "pp_lcnet",
    "PvtForImageClassification": "pvt",
    "PvtV2ForImageClassification": "pvt_v2",
    "RegNetForImageClassification": "regnet",
    "ResNetForImageClassification": "resnet",
    "SegformerForImageClassification": "segformer",
    "ShieldGemma2ForImageClassification": "shieldgemma2",
    "SiglipForImageClassification": "siglip",
    "Siglip2ForImageClassification": "siglip2",
    "SwiftFormerForImageClassification": "swiftformer",
    "SwinForImageClassification": "swin",
    "Swinv2ForImageClassification": "swinv2",
    "TextNetForImageClassification": "textnet",
    "ViTForImageClassification": "vit",
    "ViTMSNForImageClassification": "vit_msn",
}
BACKBONES = {
    "BeitBackbone": "beit",
    "BitBackbone": "bit",
    "ConvNextBackbone": "convnext",
    "ConvNextV2Backbone": "convnextv2",
    "Dinov2Backbone": "dinov2",
    "Dinov2WithRegistersBackbone": "dinov2_with_registers",
    "DINOv3ConvNextBackbone": "dinov3_convnext",
    "DINOv3ViTBackbone": "dinov3_vit",
    "FocalNetBackbone": "focalnet",
    "HGNetV2Backbone": "hgnet_v2",
    "HieraBackbone": "hiera",
    "LwDetrViTBackbone": "lw_detr_vit",
    "MaskFormerSwinBackbone": "maskformer-swin",
    "PixioBackbone": "pixio",
    "PPLCNetBackbone": "pp_lcnet",
    "PPLCNetV3Backbone": "pp_lcnet_v3",
    "PPLCNetV4Backbone": "pp_lcnet_v4",
    "PvtV2Backbone": "pvt_v2",
    "ResNetBackbone": "resnet",
    "RfDetrDinov2Backbone": "rf_detr_dinov2",
    "RTDetrResNetBackbone": "rt_detr_resnet",
    "Sapiens2Backbone": "sapiens2",
    "SwinBackbone": "swin",
    "Swinv2Backbone": "swinv2",
    "TextNetBackbone": "textnet",
    "Tipsv2VisionBackbone": "tipsv2_vision_model",
    "UVDocBackbone": "uvdoc_backbone",
    "VitDetBackbone": "vitdet",
    "VitPoseBackbone": "vitpose_backbone",
}
ENCODERS = {
    "Aimv2VisionModel": "aimv2_vision_model",
    "BeitModel": "beit",
    "BitModel": "bit",
    "ChineseCLIPVisionModel": "chinese_clip_vision_model",
    "CLIPVisionModel": "clip_vision_model",
    "Cohere2VisionModel": "cohere2_vision",
    "ConditionalDetrModel": "conditional_detr",
    "ConvNextModel": "convnext",
    "ConvNextV2Model": "convnextv2",
    "CvtModel": "cvt",
    "DabDetrModel": "dab-detr",
    "Data2VecVisionModel": "data2vec-vision",
    "DeformableDetrModel": "deformable_detr",
    "DeiTModel": "deit",
    "DepthProModel": "depth_pro",
    "DetrModel": "detr",
    "Dinov2Model": "dinov2",
    "Dinov2WithRegistersModel": "dinov2_with_registers",
    "DINOv3ConvNextModel": "dinov3_convnext",
    "DINOv3ViTModel": "dinov3_vit",
    "DonutSwinModel": "donut-swin",
    "DPTModel": "dpt",
    "EfficientNetModel": "efficientnet",
    "FocalNetModel": "focalnet",
    "GLPNModel": "glpn",
    "HieraModel": "hiera",
    "IJepaModel": "ijepa",
    "ImageGPTModel": "imagegpt",
    "LevitModel": "levit",
    "Llama4VisionModel": "llama4",
    "MLCDVisionModel": "mlcd_vision_model",
    "MllamaVisionModel": "mllama",
    "MobileNetV1Model": "mobilenet_v1",
    "MobileNetV2Model": "mobilenet_v2",
    "MobileViTModel": "mobilevit",
    "MobileViTV2Model": "mobilevitv2",
    "PixioModel": "pixio",
    "PoolFormerModel": "poolformer",
    "PvtModel": "pvt",
    "PvtV2Model": "pvt_v2",
    "RegNetModel": "regnet",
    "ResNetModel": "resnet",
    "Sapiens2Model": "sapiens2",
    "SegformerModel": "segformer",
    "SiglipVisionModel": "siglip_vision_model",
    "Siglip2VisionModel": "siglip2_vision_model",
    "SwiftFormerModel": "swiftformer",
    "SwinModel": "swin",
    "Swin2SRModel": "swin2sr",
    "Swinv2Model": "swinv2",
    "TableTransformerModel": "table-transformer",
    "TextNetModel": "textnet",
    "TimesformerModel": "timesformer",
    "Tipsv2VisionModel": "tipsv2_vision_model",
    "VideoMAEModel": "videomae",
    "VideoPrismVisionModel": "videoprism_vision_model",
    "ViTModel": "vit",
    "ViTMAEModel": "vit_mae",
    "ViTMSNModel": "vit_msn",
    "VitDetModel": "vitdet",
    "VivitModel": "vivit",
    "YolosModel": "yolos",
}
ZERO_SHOT = {
    "AlignModel": "align",
    "AltCLIPModel": "altclip",
    "BlipModel": "blip",
    "Blip2ForImageTextRetrieval": "blip-2",
    "ChineseCLIPModel": "chinese_clip",
    "CLIPModel": "clip",
    "CLIPSegModel": "clipseg",
    "MetaClip2Model": "metaclip_2",
    "SiglipModel": "siglip",
    "Siglip2Model": "siglip2",
    "Tipsv2Model": "tipsv2",
    "VideoPrismClipModel": "videoprism",
}

# What one class of several with the same model type differs in.
OWN: dict[str, dict[str, Any]] = {
    "PerceiverForImageClassificationLearned": {"image_size": 32, "d_model": 512},
    "PerceiverForImageClassificationFourier": {"d_model": 261},
    "PerceiverForImageClassificationConvProcessing": {"d_model": 322},
    # The later of the two is half as high as it is wide.
    "PPLCNetV4Backbone": {"out_indices": [1, 3]},
}

# Three stages at a stride of 16, and a position embedding of 256 channels for every pixel.
SIDE = {"levit": 128, "perceiver": 32}

INPUTS: dict[str, Callable[[int], Inputs]] = {
    "Cohere2VisionModel": prompt,
    "ImageGPTForImageClassification": colours,
    "ImageGPTModel": colours,
    "MllamaVisionModel": tiles,
    "ShieldGemma2ForImageClassification": prompt,
    "Siglip2ForImageClassification": patches,
    "Siglip2VisionModel": patches,
    "TimesformerModel": frames,
    "VideoMAEModel": frames,
    "VideoPrismVisionModel": videos,
    "VivitModel": frames,
    **dict.fromkeys(ZERO_SHOT, captions),
    "Siglip2Model": lambda batch: patches(batch) | captions(batch),
    "VideoPrismClipModel": lambda batch: videos(batch) | captions(batch),
}

TINY: dict[str, Tiny] = {
    name: Tiny(
        model_type,
        SETTINGS[model_type] | extra | OWN.get(name, {}),
        side=SIDE.get(model_type, 64),
        inputs=INPUTS.get(name),
    )
    # Two feature maps of a backbone: their order shows.
    for names, extra in (
        (CLASSIFIERS, {"num_labels": 3}),
        (BACKBONES, {"out_indices": [1, 2]}),
        (ENCODERS, {}),
        (ZERO_SHOT, {}),
    )
    for name, model_type in names.items()
}

# What each raised, when made without those packages.
WITHOUT: dict[str, str] = {
    "DinatBackbone": "requires natten, which later lost the two functions that transformers imports of it",
    "DinatForImageClassification": "requires natten, as DinatBackbone does",
    "DinatModel": "requires natten, as DinatBackbone does",
    "TimmBackbone": "requires timm, which requires torchvision",
    "TimmWrapperForImageClassification": "requires timm, which requires torchvision",
    "TimmWrapperModel": "requires timm, which requires torchvision",
}
