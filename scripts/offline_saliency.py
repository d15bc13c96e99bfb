"""A segmenter of one's own: a ViT, a decoder of deconvolutions, and two classes, background and what catches the eye.

No architecture of transformers has this decoder (VitPose comes nearest), so the published weights get a class of their
own. Importing this file registers it, and `AutoModelForSemanticSegmentation.from_pretrained` knows the folder then.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSemanticSegmentation, PreTrainedConfig, PreTrainedModel
from transformers.configuration_utils import SubConfigSpec
from transformers.modeling_outputs import SemanticSegmenterOutput

RENAMED = {
    "attention.attention.query": "attention.q_proj",
    "attention.attention.key": "attention.k_proj",
    "attention.attention.value": "attention.v_proj",
    "attention.output.dense": "attention.o_proj",
}
"""What the layers of Dinov2 were called when the weights were published, and what transformers 5 calls them."""


@strict
class ViTSaliencyConfig(PreTrainedConfig):
    """The configuration of a `ViTSaliencyForSemanticSegmentation`.

    Args:
        backbone_config: of a vision transformer whose last hidden state is one class token and then the patches.
        decoder_sizes: channels after each deconvolution; each doubles the side of the map.
    """

    model_type = "vit_saliency"
    sub_configs_defaults = {"backbone_config": SubConfigSpec(config_class=AutoConfig, model_type="dinov2")}

    backbone_config: dict[str, Any] | PreTrainedConfig | None = None
    decoder_sizes: Sequence[int] = (256, 128, 64)


class SaliencyDecoder(nn.Module):
    """Deconvolutions, each with a normalization, and a linear layer at every place: logits at 8 times the side."""

    def __init__(self, channels: int, sizes: Sequence[int], classes: int):
        super().__init__()
        self.stages = len(sizes)
        for stage, size in enumerate(sizes, start=1):
            setattr(self, f"upconv{stage}", nn.ConvTranspose2d(channels, size, kernel_size=4, stride=2, padding=1))
            setattr(self, f"bn{stage}", nn.BatchNorm2d(size))
            channels = size
        self.final_conv = nn.Conv2d(channels, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        for stage in range(1, self.stages + 1):
            x = F.relu(getattr(self, f"bn{stage}")(getattr(self, f"upconv{stage}")(x)))
        return self.final_conv(x)


class ViTSaliencyForSemanticSegmentation(PreTrainedModel):
    """A vision transformer and a decoder of deconvolutions; its logits have the size of the image."""

    config_class = ViTSaliencyConfig
    config: ViTSaliencyConfig
    base_model_prefix = "backbone"
    main_input_name = "pixel_values"
    _supports_sdpa = True

    def __init__(self, config: ViTSaliencyConfig):
        super().__init__(config)
        self.backbone = AutoModel.from_config(config.backbone_config)
        self.decoder = SaliencyDecoder(self.backbone.config.hidden_size, config.decoder_sizes, config.num_labels)
        self.post_init()

    def forward(self, pixel_values: Tensor, labels: Tensor | None = None, **kwargs: Any) -> SemanticSegmenterOutput:
        """Logits `(batch, classes, height, width)` for images `(batch, 3, height, width)`.

        Args:
            pixel_values: both sides are multiples of the side of a patch.
            labels: `(batch, height, width)`, the class of every pixel, or 255 for none.
        """
        height, width = pixel_values.shape[-2:]
        patch = self.backbone.config.patch_size
        tokens = self.backbone(pixel_values, **kwargs).last_hidden_state[:, 1:]
        features = tokens.transpose(1, 2).unflatten(2, (height // patch, width // patch))
        logits = F.interpolate(self.decoder(features), size=(height, width), mode="bilinear", align_corners=False)
        loss = None if labels is None else F.cross_entropy(logits, labels, ignore_index=255)
        return SemanticSegmenterOutput(loss=loss, logits=logits)


def weights_from_onnx(graph: Any, arrays: dict[str, Any]) -> dict[str, Tensor]:
    """The state dict of a `ViTSaliencyForSemanticSegmentation`, from the published graph.

    Args:
        graph: the nodes say where a matrix is used: the export gave it a number in place of its name.
        arrays: the numbers that the graph holds, by name.
    """
    named = {name: torch.tensor(array) for name, array in arrays.items() if "::" not in name}
    for node in graph.node:
        # "/backbone/encoder/layer.0/mlp/fc1/MatMul"; a product of two activations has no stored matrix.
        if node.op_type == "MatMul" and node.input[1] in arrays:
            layer = node.name.removesuffix("/MatMul").strip("/").replace("/", ".")
            named[f"{layer}.weight"] = torch.tensor(arrays[node.input[1]]).T.contiguous()
    # The position of the class token, and those of the patches: the export took them apart.
    positions = [array for name, array in arrays.items() if name.startswith(("onnx::Concat", "onnx::Reshape"))]
    named["backbone.embeddings.position_embeddings"] = torch.cat(
        [torch.tensor(array) for array in sorted(positions, key=lambda array: array.shape[1])], 1
    )
    # One logit z, of the sigmoid, is two, 0 and z, of the softmax.
    for name in ("decoder.final_conv.weight", "decoder.final_conv.bias"):
        named[name] = torch.cat([torch.zeros_like(named[name]), named[name]])
    return {renamed(name): tensor for name, tensor in named.items()}


def renamed(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


AutoConfig.register(ViTSaliencyConfig.model_type, ViTSaliencyConfig, exist_ok=True)
AutoModelForSemanticSegmentation.register(ViTSaliencyConfig, ViTSaliencyForSemanticSegmentation, exist_ok=True)
