"""What a quadratic lift costs in every pass, beside LoRA of as many parameters that was not merged.

    make quickstart
    python scripts/benchmarks/figure_lift_cost.py --rounds 15

Every Linear and every Conv that is not in groups is lifted. One thread, processor time, in units of the bare
checkpoint: the median over rounds in which all take turns.
"""

import argparse
import statistics
import time

import torch
from assets import offline_data
from peft import LoraConfig
from quadratic_tasks import CHECKPOINT
from transformers import AutoModelForImageClassification

from hf_canon.adaptation import quadratic_lift


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print("| checkpoint | bare | LoRA, rank 4 | quadratic lift, rank 2 |\n|---|---|---|---|")
    for name, folder, x in (
        ("the digits' ViT, batch 64", CHECKPOINT, torch.rand(64, 1, 28, 28)),
        ("EfficientNet-lite0, batch 4", offline_data.checkpoint("efficientnet"), torch.rand(4, 3, 224, 224)),
    ):
        bare, with_lora, lifted = (AutoModelForImageClassification.from_pretrained(folder).eval() for _ in range(3))
        layers = list(quadratic_lift(lifted, rank=2).layers)
        with_lora.add_adapter(LoraConfig(r=4, target_modules=layers))
        times: list[list[float]] = [[], [], []]
        for _ in range(arguments.rounds):
            for model, taken in zip((bare, with_lora, lifted), times, strict=True):
                start = time.process_time()
                with torch.inference_mode():
                    model(x)
                taken.append(time.process_time() - start)
        ratios = [statistics.median(a / b for a, b in zip(taken, times[0], strict=True)) for taken in times]
        print(f"| {name} | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


if __name__ == "__main__":
    main()
