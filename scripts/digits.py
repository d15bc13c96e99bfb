"""The digits of the quickstart and of the figures: the small ViT that stands in for your checkpoint, and its adapter.

python scripts/digits.py --seed 0 --output build/digits
"""

import argparse
import math
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import offline_data
import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor
from transformers import (
    Trainer,
    TrainingArguments,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    set_seed,
)

from hf_canon import CanonicalizationArguments, CanonicalizationTrainer, CanonicalizedModel

AMBIGUOUS = (6, 9)
"""Each is the other's half turn: no canonicalizer can tell them apart, so they are reported apart."""

SETTINGS = {"width": 96, "depth": 4, "angles": 48, "radii": 14}
"""Of the canonicalizer: digits are small, and a wider network still costs less than the ViT."""


def processor() -> ViTImageProcessorPil:
    return ViTImageProcessorPil(do_resize=False, image_mean=[0.5], image_std=[0.5])


def digits(split: str, ambiguous: bool | None = None) -> Dataset:
    """`pixel_values` (1, 28, 28) and `label`: all ten, or 6 and 9 (`ambiguous=True`), or the other eight (False)."""
    data = offline_data.digits(split)
    if ambiguous is not None:
        keep = [i for i, label in enumerate(data["label"]) if (label in AMBIGUOUS) == ambiguous]
        data = data.select(keep)
    pixels = processor()(list(data["image"]), return_tensors="pt")["pixel_values"]
    return Dataset.from_dict({"pixel_values": pixels.numpy(), "label": data["label"]}).with_format("torch")


def jiggle(pixel_values: Tensor, degrees: float) -> Tensor:
    """The augmentation that any digit classifier is trained with: some degrees, 10 % of scale, and a pixel or two."""
    n = len(pixel_values)
    angle, scale = (torch.rand(n) * 2 - 1) * math.radians(degrees), 1 + (torch.rand(n) * 2 - 1) * 0.1
    shift = (torch.rand(n, 2) * 2 - 1) * 0.1
    cos, sin = angle.cos() * scale, angle.sin() * scale
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], -1), torch.stack([sin, cos, shift[:, 1]], -1)], 1)
    grid = F.affine_grid(theta, list(pixel_values.shape), align_corners=True)
    return F.grid_sample(pixel_values, grid, padding_mode="border", align_corners=True)


def collate(examples: list[dict[str, Tensor]], degrees: float) -> dict[str, Tensor]:
    pixel_values = torch.stack([example["pixel_values"] for example in examples])
    labels = torch.stack([example["label"] for example in examples])
    return {"pixel_values": jiggle(pixel_values, degrees), "labels": labels}


def train_predictor(output: Path, seed: int = 0, epochs: int = 40, degrees: float = 15.0) -> Path:
    """Trains the ViT on the training digits and saves it with its processor, as any fine-tuned checkpoint is."""
    set_seed(seed)
    names = {i: str(i) for i in range(10)}
    config = ViTConfig(
        image_size=28,
        patch_size=7,
        num_channels=1,
        hidden_size=96,
        num_hidden_layers=3,
        num_attention_heads=4,
        intermediate_size=192,
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    args = TrainingArguments(
        output_dir=str(output) + ".partial",
        num_train_epochs=epochs,
        per_device_train_batch_size=64,
        learning_rate=1.5e-3,
        lr_scheduler_type="cosine",
        warmup_steps=0.1,
        weight_decay=0.05,
        label_smoothing_factor=0.05,
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        remove_unused_columns=False,
        use_cpu=True,
        dataloader_pin_memory=False,
        seed=seed,
    )
    trainer = Trainer(
        model=ViTForImageClassification(config),
        args=args,
        train_dataset=digits("train"),
        data_collator=partial(collate, degrees=degrees),
        processing_class=processor(),
    )
    trainer.train()
    trainer.save_model()
    (Path(args.output_dir) / "training_args.bin").unlink(missing_ok=True)
    shutil.rmtree(output, ignore_errors=True)
    Path(args.output_dir).rename(output)
    return output


def train_canonicalizer(checkpoint: Path, output: Path, seed: int = 0, epochs: int = 30) -> CanonicalizedModel:
    """Wraps the checkpoint and trains a canonicalizer for c8 on the training digits, all ten, without their labels."""
    set_seed(seed)
    model = CanonicalizedModel.wrap(checkpoint, group="c8", canonicalizer="shift", canonicalizer_settings=SETTINGS)
    trainer = CanonicalizationTrainer(
        model=model,
        args=arguments_of(output, seed, num_train_epochs=epochs),
        train_dataset=digits("train").remove_columns("label"),
        # Upright digits stay upright: only their size and place vary, and the trainer turns them.
        data_collator=jiggled_images,
        processing_class=processor(),
    )
    trainer.train()
    model.save_pretrained(output)
    processor().save_pretrained(output)
    return model.eval()


def arguments_of(output: Path | str, seed: int, **more: Any) -> CanonicalizationArguments:
    """Of a training on the CPU, of which nothing is kept but the model that it leaves."""
    return CanonicalizationArguments(
        output_dir=str(output),
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        use_cpu=True,
        seed=seed,
        **more,
    )


def jiggled_images(examples: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {"pixel_values": jiggle(torch.stack([example["pixel_values"] for example in examples]), degrees=0.0)}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("build/digits"))
    arguments = parser.parse_args()
    predictor = train_predictor(arguments.output / "checkpoint", arguments.seed)
    train_canonicalizer(predictor, arguments.output / "adapter", arguments.seed)
