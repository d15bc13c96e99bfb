"""Digits of unknown pose, and upright examples or a generator of them: what each is worth to a canonicalizer.

    make quickstart
    python scripts/figure_adversarial_prior.py --seeds 0 1 2 3 4 --grid build/figures/adversarial_prior.png

Of the training digits (without 6 and 9, which are each other's half turn) 200 are upright, the reference, and the
others are turned by random quarters, which are forgotten. A plain generator against a plain critic learns the
reference, and is saved beside an adapter as its reference sampler. Then one small canonicalizer over c4 learns, always
without labels and for as many steps: the pose of upright examples by cross-entropy (the prior "identity"), of the
reference or of samples; or to make digits of unknown pose look like the one or the other, by the adversarial prior.
The pose of other digits, upright ones turned by every quarter, has to be found. Rates and steps were chosen on the
calibration digits, with one seed. Last, the quickstart's checkpoint measures how far those digits are, upright and
turned, from the reference and from samples. It takes some five minutes of one core for each seed.
"""

import argparse
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import offline_data
import torch
from datasets import Dataset
from digits import AMBIGUOUS, arguments_of
from PIL import Image
from torch import Tensor
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil, set_seed
from transformers.utils import logging

from hf_canon import CanonicalizationTrainer, CanonicalizedModel, distribution_shift, get_group
from hf_canon.generative import (
    GANArguments,
    GANTrainer,
    GeneratorConfig,
    InvariantGenerator,
    add_reference_sampler,
    critic_of,
    draw_samples,
    reference_samples,
)

C4 = get_group("c4")
REFERENCE, SAMPLES = 200, 2000
SIDE = 16
"""At which canonicalizer and critic look, and samples are made: a digit has no more to show."""


def processor() -> ViTImageProcessorPil:
    return ViTImageProcessorPil(size={"height": 28, "width": 28}, image_mean=[0.5], image_std=[0.5])


def images(split: Any) -> Dataset:
    data = offline_data.digits(split)
    return data.select([i for i, label in enumerate(data["label"]) if label not in AMBIGUOUS]).select_columns("image")


def pixel_values(data: Any) -> Tensor:
    values: Tensor = processor()([one["image"] for one in data], return_tensors="pt")["pixel_values"]
    return values


def train_sampler(reference: Dataset, folder: Path, steps: int, seed: int) -> InvariantGenerator:
    """A generator of upright digits, that has learned from the reference alone."""
    set_seed(seed)
    shape = (1, SIDE, SIDE)
    generator = InvariantGenerator(GeneratorConfig("c4", "none", shape, latent_size=32, width=16))
    never = {"sample_steps": steps, "save_steps": steps, "stop_on_collapse": False}
    rates = {"generator_learning_rate": 5e-4, "critic_learning_rate": 2e-3, "ema_decay": 0.99}
    args = GANArguments(str(folder), steps, 32, "wasserstein", seed=seed, **rates, **never)  # type: ignore[arg-type]
    GANTrainer(generator, critic_of("none", C4, shape, 16), reference, args).train()
    return InvariantGenerator.from_pretrained(folder)


def new_model(checkpoint: Path, seed: int) -> CanonicalizedModel:
    set_seed(seed)
    return CanonicalizedModel.wrap(
        checkpoint, group="c4", canonicalizer="orbit", canonicalizer_settings={"resolution": SIDE}
    )


def trained(
    checkpoint: Path, data: Any, reference: Any, arguments: argparse.Namespace, seed: int
) -> CanonicalizedModel:
    """A model whose canonicalizer has learned from upright data, or, given a reference, from data of any pose."""
    model = new_model(checkpoint, seed)
    rate, steps = arguments.learning_rate, arguments.steps
    prior = {"prior": "identity"} if reference is None else {"prior": "reference"}
    args = arguments_of(
        arguments.folder / "trainer", seed, max_steps=steps, learning_rate=rate, disable_tqdm=True, **prior
    )
    given: Any = {"model": model, "args": args, "processing_class": processor()}
    CanonicalizationTrainer(train_dataset=data, reference_dataset=reference, **given).train()
    return model.eval()


@torch.inference_mode()
def poses_right(model: CanonicalizedModel, upright: Tensor) -> float:
    """In percent, over every quarter turn of upright digits."""
    found = [model.canonicalize(C4.act(upright, one.expand(len(upright)))).element == one for one in C4.elements]
    return 100 * float(torch.stack(found).float().mean())


def distances(reference: Any, samples: Any, upright: Any, checkpoint: Path, seed: int) -> dict[str, float]:
    """Of digits that come in, upright and turned, from the reference and from samples in its place."""
    fitted = [{"image": one["image"].resize((28, 28), Image.Resampling.BICUBIC)} for one in samples]
    turned = [{"image": one["image"].rotate(90 * (i % 4))} for i, one in enumerate(upright)]
    found = {}
    for name, old in ((f"the {REFERENCE} digits", list(reference)), (f"{len(fitted)} samples", fitted)):
        for pose, new in (("upright", list(upright)), ("turned", turned)):
            report = distribution_shift(old, new, "c4", model=str(checkpoint), seed=seed)
            found[f"{pose} digits from {name}"] = max(0.0, report.plain.squared) ** 0.5
    return found


def row_of(
    checkpoint: Path, held_back: Dataset, arguments: argparse.Namespace, seed: int
) -> tuple[dict[str, float], dict[str, float]]:
    """What every method finds, and distances, for one seed."""
    test = pixel_values(held_back)
    everything = images("train").shuffle(seed)
    reference = everything.select(range(REFERENCE))
    others = everything.select(range(REFERENCE, len(everything)))
    upright = pixel_values(others)
    element = C4.sample(len(upright), torch.Generator().manual_seed(seed))
    turned = [{"pixel_values": one} for one in C4.act(upright, element)]

    folder = arguments.folder / str(seed)
    for old in ("adapter", "sampler"):  # of other code, perhaps
        shutil.rmtree(folder / old, ignore_errors=True)
    new_model(checkpoint, seed).save_pretrained(folder / "adapter")
    sampler = train_sampler(reference, folder / "sampler", arguments.sampler_steps, seed)
    add_reference_sampler(folder / "adapter", sampler)
    samples = reference_samples(folder / "adapter", SAMPLES, seed)

    methods: dict[str, tuple[Any, Any]] = {
        f"cross-entropy on the {REFERENCE} upright digits": (reference, None),
        f"adversarial prior, the {REFERENCE} as the reference": (turned, reference),
        "adversarial prior, the reference sampler": (turned, samples),
        "cross-entropy on samples of the reference sampler": (samples, None),
        f"ceiling: cross-entropy on all {len(everything):,} digits upright": (everything, None),
    }
    row = {"untrained": poses_right(new_model(checkpoint, seed).eval(), test)}
    for name, (data, compared) in methods.items():
        row[name] = poses_right(trained(checkpoint, data, compared, arguments, seed), test)
        print(f"seed {seed}: {row[name]:5.1f} %  {name}", flush=True)
    return row, distances(reference, samples[:500], held_back, arguments.quickstart, seed)


def table(rows: list[dict[str, float]], heading: str, digits: int) -> str:
    lines = [f"| {heading} | lowest to highest |", "|---|---|---|"]
    for name in rows[0]:
        values = [row[name] for row in rows]
        deviation = statistics.stdev(values) if len(values) > 1 else 0.0
        mean, low, high, spread = (
            f"{one:.{digits}f}" for one in (statistics.mean(values), min(values), max(values), deviation)
        )
        lines.append(f"| {name} | {mean} ± {spread} | {low}-{high} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--split", choices=("calibration", "test"), default="test")
    parser.add_argument("--steps", type=int, default=400, help="of every canonicalizer")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--sampler-steps", type=int, default=1500)
    parser.add_argument("--quickstart", type=Path, default=Path("build/quickstart/checkpoint"))
    parser.add_argument("--folder", type=Path, default=Path("build/figures/adversarial_prior"))
    parser.add_argument("--grid", type=Path, default=Path("build/figures/adversarial_prior.png"))
    parser.add_argument("--json", type=Path, default=Path("build/figures/adversarial_prior.json"))
    arguments = parser.parse_args()
    logging.disable_progress_bar()

    checkpoint = arguments.folder / "checkpoint"
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 16}
    vit = ViTConfig(**tiny, image_size=28, patch_size=14, num_channels=1)
    ViTForImageClassification(vit).save_pretrained(checkpoint)  # nobody asks it for an answer
    processor().save_pretrained(checkpoint)

    held_back = images(arguments.split)
    found = [row_of(checkpoint, held_back, arguments, seed) for seed in arguments.seeds]
    rows, shifts = [one for one, _ in found], [one for _, one in found]
    print(f"\n{len(held_back)} {arguments.split} digits, {len(rows)} seeds: mean ± deviation\n")
    print(f"{table(rows, 'what it learns from | pose right, %', 1)}\n")
    print(f"{table(shifts, 'how far | distance', 3)}\n")
    first = arguments.folder / str(arguments.seeds[0]) / "adapter"
    draw_samples(InvariantGenerator.from_pretrained(first, subfolder="reference_sampler"), arguments.grid)
    print(f"Samples of the first reference sampler are in {arguments.grid}.")
    names = ("seeds", "split", "steps", "learning_rate", "sampler_steps")
    facts = {**{name: getattr(arguments, name) for name in names}, "poses": rows, "distances": shifts}
    arguments.json.write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
