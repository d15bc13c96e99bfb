"""Tiny configurations of every architecture that cuts out what it is pointed at, or answers with an image."""

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
            # Positions, prompts and gates that start at zero would hide where something is.
            if weight.dim() == 1 and key.endswith("weight"):
                weight.fill_(1)
            weight += torch.randn_like(weight) * ((2 / weight[0].numel()) ** 0.5 if weight.dim() > 1 else 0.1)
        for norm in model.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.running_mean.normal_(std=0.1)  # type: ignore[union-attr, operator]
    return model


def example(name: str, batch: int = 2) -> dict[str, Tensor]:
    """Inputs for `build(name)`."""
    return TINY[name].example(batch)


def prompts(batch: int) -> Inputs:
    """Two prompts for each image: two points inside or outside of something, its box, and a coarse mask of it."""
    points = torch.tensor([[[10.0, 3.0], [20.0, 40.0]], [[63.0, 0.0], [5.0, 31.0]]])
    boxes = torch.tensor([[4.0, 8.0, 40.0, 20.0], [30.0, 2.0, 63.0, 50.0]])
    return {
        "input_points": points.repeat(batch, 1, 1, 1),
        "input_labels": torch.tensor([[1, 0], [1, -10]]).repeat(batch, 1, 1),
        "input_boxes": boxes.repeat(batch, 1, 1),
        "input_masks": images(batch, 16, channels=1, seed=1),
    }


def hint(batch: int) -> Inputs:
    """Images with a fourth channel: what is certainly in front, and what is not."""
    return {"pixel_values": torch.cat([images(batch, 64), images(batch, 64, channels=1, seed=1).sign()], 1)}


def hidden(batch: int) -> Inputs:
    """Images with a few patches hidden."""
    patches = torch.zeros(batch, 16, dtype=torch.bool)
    patches[:, [1, 6, 7]] = True
    return {"bool_masked_pos": patches}


PROMPTS = {"hidden_size": 32, "image_size": 64, "patch_size": 16, "mask_input_channels": 8}
DECODER = {
    "hidden_size": 32,
    "mlp_dim": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "iou_head_hidden_dim": 16,
}
SAM_VISION = {
    "hidden_size": 32,
    "output_channels": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 64,
    "patch_size": 16,
    "mlp_dim": 32,
    "window_size": 2,
    "global_attn_indexes": [1],
    "num_pos_feats": 16,
}
SAM = {"vision_config": SAM_VISION, "prompt_encoder_config": PROMPTS, "mask_decoder_config": DECODER}
PYRAMID = {"fpn_hidden_size": 32, "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]]}
SAM2 = {
    **SAM,
    "vision_config": {
        "model_type": "sam2_vision_model",
        **PYRAMID,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_config": {
            "model_type": "sam2_hiera_det_model",
            "hidden_size": 8,
            "image_size": [64, 64],
            "blocks_per_stage": [1, 1, 2, 1],
            "embed_dim_per_stage": [8, 16, 32, 64],
            "num_attention_heads_per_stage": [1, 1, 2, 2],
            "window_size_per_stage": [4, 4, 2, 2],
            "global_attention_blocks": [3],
            "window_positional_embedding_background_size": [2, 2],
        },
    },
}
SAM3 = {
    **SAM,
    "vision_config": {
        "model_type": "sam3_vision_model",
        **PYRAMID,
        "backbone_config": {
            "model_type": "sam3_vit_model",
            "hidden_size": 32,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "image_size": 64,
            "pretrain_image_size": 32,
            "patch_size": 16,
            "window_size": 2,
            "global_attn_indexes": [1],
        },
    },
}
MASK_GENERATION = {
    "SamModel": Tiny("sam", SAM, inputs=prompts),
    "SamHQModel": Tiny("sam_hq", {**SAM, "mask_decoder_config": {**DECODER, "vit_dim": 32}}, inputs=prompts),
    "Sam2Model": Tiny("sam2", SAM2, inputs=prompts),
    "Sam3TrackerModel": Tiny("sam3_tracker", SAM3, inputs=prompts),
}

VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 32,
    "image_size": 64,
    "patch_size": 16,
}
MATTING = {
    "VitMatteForImageMatting": Tiny(
        "vitmatte",
        {
            "backbone_config": {
                **{key: value for key, value in VIT.items() if key != "intermediate_size"},
                "model_type": "vitdet",
                "mlp_ratio": 1,
                "num_channels": 4,
                "pretrain_image_size": 64,
                "window_block_indices": [0],
                "window_size": 2,
                "out_features": ["stage2"],
            },
            "hidden_size": 32,
            "convstream_hidden_sizes": [8, 8, 16],
            "fusion_hidden_sizes": [16, 16, 8, 8],
        },
        inputs=hint,
    ),
    "Sapiens2ForImageMatting": Tiny(
        "sapiens2",
        {
            **VIT,
            "num_labels": 4,
            "num_key_value_attention_heads": 2,
            "num_first_full_attention_layers": 1,
            "num_last_full_attention_layers": 1,
            "head_config": {"upsample_out_channels": [8, 8], "conv_out_channels": [8]},
        },
    ),
}
SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 2], "window_size": 4}
IMAGE_TO_IMAGE = {
    "Swin2SRForImageSuperResolution": Tiny(
        "swin2sr",
        {**SWIN, "image_size": 32, "patch_size": 1, "upscale": 2, "upsampler": "pixelshuffledirect"},
        side=32,
    ),
}
MASKED = {
    "DeiTForMaskedImageModeling": Tiny("deit", {**VIT, "encoder_stride": 16}, inputs=hidden),
    "FocalNetForMaskedImageModeling": Tiny(
        "focalnet",
        {
            "image_size": 64,
            "patch_size": 4,
            "embed_dim": 8,
            "hidden_sizes": [8, 16, 32],
            "depths": [1, 1, 1],
            "focal_levels": [1, 1, 1],
            "focal_windows": [3, 3, 3],
            "encoder_stride": 16,
        },
    ),
    "SwinForMaskedImageModeling": Tiny("swin", {**SWIN, "encoder_stride": 8}),
    "Swinv2ForMaskedImageModeling": Tiny("swinv2", {**SWIN, "encoder_stride": 8}),
    "ViTForMaskedImageModeling": Tiny("vit", {**VIT, "encoder_stride": 16}, inputs=hidden),
}

TINY = {**MASK_GENERATION, **MATTING, **IMAGE_TO_IMAGE, **MASKED}

# By class name, why it was not built.
WITHOUT: dict[str, str] = {
    "EdgeTamModel": "requires timm, which requires torchvision",
}
