"""Figure 4, second half: what the wrapper costs beside the bare checkpoint, batch 32, 224 pixels.

    python scripts/prepare_offline_assets.py --only efficientnet
    python scripts/figure_overhead.py --json build/figures/overhead.json
    python scripts/figure_overhead.py --device cuda --rounds 20 --json build/figures/overhead_cuda.json

On a CPU: one thread, cpu time. On a GPU: time until the device is idle. Bare and wrapped passes alternate, so that
a busy machine slows both alike. Two figures are given. "whole pass" is the ratio of a wrapped pass to the bare
passes right before and after it, median over the rounds, less one; on a busy machine its noise can exceed a small
overhead. "share" is the time of `model.canonicalize` alone over that of the bare pass, each the least of
its repeats.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import offline_data
import torch
from torch import Tensor
from transformers import AutoModelForImageClassification, PreTrainedModel, ViTConfig, ViTForImageClassification

from hf_canon import CanonicalizedModel

BATCH, SIZE = 32, 224
TARGETS = {"EfficientNet-lite0": 0.10, "ViT-B/16": 0.02}


def checkpoint(name: str) -> PreTrainedModel:
    if name == "ViT-B/16":
        # Initialised at random: the cost is that of a trained one.
        return ViTForImageClassification(ViTConfig(num_labels=1000)).eval()
    return AutoModelForImageClassification.from_pretrained(offline_data.checkpoint("efficientnet")).eval()


def wrap(predictor: PreTrainedModel, group: str, canonicalizer: str) -> CanonicalizedModel:
    """A wrapper that finds every element equally often, as it would on images in every pose.

    What an untrained canonicalizer finds is an accident, and quarter turns are cheaper to undo than other angles.
    So the network is run and its decision is made, but then every element of the group is undone in turn.
    """
    torch.manual_seed(0)
    model = CanonicalizedModel.wrap(predictor, group, canonicalizer)
    decide = model.canonicalizer.element

    def every_element(logits: Tensor) -> Tensor:
        decided = decide(logits)
        return torch.arange(len(decided), device=decided.device) % model.group.order

    model.canonicalizer.element = every_element
    return model


def seconds(call: Callable[[], object], device: str) -> float:
    if device == "cpu":
        started = time.process_time()
        call()
        return time.process_time() - started
    torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - started


@torch.inference_mode()
def measure(name: str, groups: list[str], rounds: int, device: str) -> list[dict]:
    predictor = checkpoint(name).to(device)
    models = {
        (group, canonicalizer): wrap(predictor, group, canonicalizer)
        for group, canonicalizer in itertools.product(groups, ("orbit", "shift"))
    }
    x = torch.rand(BATCH, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    predictor(pixel_values=x if device != "cpu" else x[:2])
    for model in models.values():  # tables of pixels, and kernels, are made once
        model.canonicalize(x)
        if device != "cpu":
            model(pixel_values=x)
    bare: list[float] = [seconds(lambda: predictor(pixel_values=x), device)]
    ratios: dict[tuple[str, str], list[float]] = {key: [] for key in models}
    alone: dict[tuple[str, str], list[float]] = {key: [] for key in models}
    for _, (key, model) in itertools.product(range(rounds), models.items()):
        wrapped = seconds(lambda model=model: model(pixel_values=x), device)
        bare.append(seconds(lambda: predictor(pixel_values=x), device))
        ratios[key].append(wrapped / statistics.mean(bare[-2:]))
        alone[key] += [seconds(lambda model=model: model.canonicalize(x), device) for _ in range(5)]
    return [
        {"checkpoint": name, "group": group, "canonicalizer": canonicalizer, "bare_s": min(bare)}
        | {
            "canonicalize_s": min(alone[group, canonicalizer]),
            "canonicalize": min(alone[group, canonicalizer]) / min(bare),
        }
        | {"whole_pass": statistics.median(found) - 1, "rounds": [ratio - 1 for ratio in found]}
        | {"target": TARGETS[name], "device": device}
        for (group, canonicalizer), found in ratios.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoints", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--groups", nargs="+", default=["c4", "c8"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", type=Path, help="file for the figures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    rows = [
        row
        for name in arguments.checkpoints
        for row in measure(name, arguments.groups, arguments.rounds, arguments.device)
    ]
    print(f"\nbatch {BATCH}, {SIZE} pixels, {arguments.device}; what the wrapper adds to the bare pass\n")
    print("| checkpoint | bare, s | group | canonicalizer | canonicalize, ms | share | whole pass (rounds) | target |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        spread = f"{row['whole_pass']:+.1%} ({min(row['rounds']):+.1%} to {max(row['rounds']):+.1%})"
        print(
            f"| {row['checkpoint']} | {row['bare_s']:.3f} | {row['group']} | {row['canonicalizer']} "
            f"| {1e3 * row['canonicalize_s']:.1f} | {row['canonicalize']:.1%} | {spread} | {row['target']:.0%} |"
        )
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
