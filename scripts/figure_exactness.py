"""Figure 1: on an exact group, the answer for a transformed image is the answer for the image, to the last bit.

    python scripts/prepare_offline_assets.py --only photos
    python scripts/figure_exactness.py --json build/figures/exactness.json

Compares `model(act(x, g))` with `model(x)` for every element g of c2, c4, d2 and d4, every canonicalizer, three
architectures and 50 sizes, odd and even, in float32. The images are real photographs. Predictors and canonicalizers
are initialised at random: exactness must not depend on training. A comparison is one image and one element other
than the identity, and a mismatch is any logit that differs in any bit.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import offline_data
import torch
from PIL import Image, ImageOps
from torch import Tensor
from transformers import (
    ConvNextConfig,
    ConvNextForImageClassification,
    Dinov2Config,
    Dinov2ForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
)

from hf_canon import CanonicalizedModel, get_group
from hf_canon.canonicalizers import CANONICALIZERS

GROUPS = ("c2", "c4", "d2", "d4")
SIZES = [24 + 2 * i + i % 2 for i in range(50)]
"""From 24 to 123 pixels, every other one odd."""
BATCH = 4
CLASSES = 10


def architectures() -> dict[str, PreTrainedModel]:
    """Small classifiers that take any size: convolutions, large kernels, and attention with interpolated positions."""
    torch.manual_seed(0)
    # Wider than the usual initialisation, so that the answers depend on the image.
    return {
        "ResNet": ResNetForImageClassification(
            ResNetConfig(
                embedding_size=16, hidden_sizes=[16, 32], depths=[1, 1], layer_type="basic", num_labels=CLASSES
            )
        ),
        "ConvNeXt": ConvNextForImageClassification(
            ConvNextConfig(
                hidden_sizes=[16, 32], depths=[1, 1], num_stages=2, initializer_range=0.2, num_labels=CLASSES
            )
        ),
        "DINOv2": Dinov2ForImageClassification(
            Dinov2Config(
                hidden_size=32,
                num_hidden_layers=2,
                num_attention_heads=2,
                mlp_ratio=2,
                patch_size=8,
                image_size=64,
                initializer_range=0.2,
                num_labels=CLASSES,
            )
        ),
    }


def photographs(size: int, first: int) -> Tensor:
    """Squares from the middle of `BATCH` photographs, `(BATCH, 3, size, size)` in [-1, 1]."""
    paths = offline_data.photos()
    chosen = [paths[(first + i) % len(paths)] for i in range(BATCH)]
    images = [ImageOps.fit(Image.open(path).convert("RGB"), (size, size)) for path in chosen]
    pixels = torch.from_numpy(np.stack([np.asarray(image, dtype=np.float32) for image in images]))
    return (pixels.permute(0, 3, 1, 2) / 127.5 - 1).contiguous()


@torch.no_grad()
def compare(
    model: CanonicalizedModel, batches: list[Tensor], device: str, canonicalize: bool = True
) -> dict[str, int | float]:
    """Counts over every element and batch: mismatched answers, and canonical images that differ."""
    group = model.group
    counts: dict[str, int | float] = {"comparisons": 0, "mismatches": 0, "other_canonical": 0, "largest": 0.0}
    for x in batches:
        x = x.to(device)
        reference = model(pixel_values=x, canonicalize=canonicalize)
        for element in group.elements.tolist()[1:]:
            # Every image of the batch moves alike: the batches compared have the same make-up.
            transformed = group.act(x, torch.full((len(x),), element))
            answer = model(pixel_values=transformed, canonicalize=canonicalize)
            difference = (answer.logits - reference.logits).abs().amax(-1)
            counts["comparisons"] += len(x)
            counts["mismatches"] += int((difference != 0).sum())
            if canonicalize:
                before, after = reference.canonicalization.canonical, answer.canonicalization.canonical
                counts["other_canonical"] += int((before != after).flatten(1).any(-1).sum())
            counts["largest"] = max(counts["largest"], float(difference.max()))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    batches = [photographs(size, first) for first, size in enumerate(SIZES)]
    rows, untouched = [], {}
    for (architecture, predictor), name in itertools.product(architectures().items(), CANONICALIZERS):
        for group in GROUPS:
            torch.manual_seed(0)
            model = CanonicalizedModel.wrap(predictor.to(arguments.device), get_group(group), name)
            row = {"architecture": architecture, "canonicalizer": name, "group": group}
            rows.append(row | compare(model, batches, arguments.device))
            if rows[-1]["mismatches"]:
                print(f"  mismatches: {rows[-1]}", flush=True)
        if architecture not in untouched:
            untouched[architecture] = compare(model, batches[::5], arguments.device, canonicalize=False)

    print(f"\nMismatches of comparisons, {len(SIZES)} sizes from {SIZES[0]} to {SIZES[-1]} pixels, float32\n")
    print("| predictor | canonicalizer | " + " | ".join(GROUPS) + " |")
    print("|---|---|" + "---|" * len(GROUPS))
    for i in range(0, len(rows), len(GROUPS)):
        cells = " | ".join(f"{row['mismatches']} of {row['comparisons']}" for row in rows[i : i + len(GROUPS)])
        print(f"| {rows[i]['architecture']} | {rows[i]['canonicalizer']} | {cells} |")
    total = {key: sum(row[key] for row in rows) for key in ("mismatches", "comparisons")}
    print(f"\n{total['mismatches']} mismatches in {total['comparisons']} comparisons")
    for architecture, control in untouched.items():
        print(f"{architecture}, untouched: {control['mismatches']} of {control['comparisons']}")
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(
            json.dumps({"sizes": SIZES, "rows": rows, "untouched": untouched, **total}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
