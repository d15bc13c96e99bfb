"""The tasks of benchmark_quadratic.py: each trains one network and says how large it is and how often it is right.

Each is a function that returns `parameters`, `macs` (multiply-adds for one input), `calibration` and `test` (accuracy
in %). Settings are chosen by the calibration split; the test split chooses nothing.
"""

import copy
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import offline_data
import torch
import torch.nn.functional as F
from digits import arguments_of, digits, jiggle, jiggled_images, processor
from kept_runs import Row
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import ViTForImageClassification, set_seed

from hf_canon import CanonicalizationTrainer, CanonicalizedModel, get_group
from hf_canon.adaptation import quadratic_lift
from hf_canon.canonicalizers import Canonicalizer, build_canonicalizer
from hf_canon.quadratic import linear_of, second_order_parameters, slow_second_order

Data = tuple[Tensor, Tensor]
CHECKPOINT = Path("build/quickstart/checkpoint")
TARGETS = (1_000, 3_000, 10_000, 30_000, 100_000)
"""Parameters of a canonicalizer, about."""


def spheres(dimensions: int, neuron: str, width: int, seed: int, lr: float, ratio: float) -> Row:
    """Which of two concentric spheres a point lies on, by one hidden layer: 2,000 points to learn from."""
    data = {split: points(dimensions, number, split) for split, number in SPHERES.items()}
    set_seed(seed)
    network = nn.Sequential(linear_of(neuron)(dimensions, width), nn.ReLU(), nn.Linear(width, 2))
    return fit(network, data, 60, lr, ratio)


SPHERES = {"train": 2_000, "calibration": 2_000, "test": 10_000}


@cache
def points(dimensions: int, number: int, split: str) -> Data:
    """Radii of 1 and 1.3 with a deviation of 0.05, times the square root of the dimensions."""
    generator = torch.Generator().manual_seed(list(SPHERES).index(split))
    direction = F.normalize(torch.randn(number, dimensions, generator=generator), dim=-1)
    outer = torch.arange(number) % 2
    radius = 1 + 0.3 * outer + 0.05 * torch.randn(number, generator=generator)
    return direction * radius[:, None] * dimensions**0.5, outer


def small_digits(neuron: str, width: int, seed: int, lr: float, ratio: float) -> Row:
    """Digits of 8 x 8 pixels, by one hidden layer."""
    set_seed(seed)
    network = nn.Sequential(linear_of(neuron)(64, width), nn.ReLU(), nn.Linear(width, 10))
    return fit(network, scanned(8), 60, lr, ratio)


def depth(layers: int, start: str, seed: int, lr: float, ratio: float) -> Row:
    """The same digits by many layers, 32 wide, without norms. `start`: "linear" neurons, or quadratic ones that start
    at "random", as the linear ones do, or by "ReLinear"."""
    set_seed(seed)
    linear = linear_of("linear" if start == "linear" else "quadratic")
    hidden = [layer for i in range(layers) for layer in (linear(64 if i == 0 else 32, 32), nn.ReLU())]
    network = nn.Sequential(*hidden, nn.Linear(32, 10))
    if start == "random":
        for parameter in second_order_parameters(network):
            if parameter.ndim == 2:
                nn.init.kaiming_uniform_(parameter, a=5**0.5)
    return fit(network, scanned(8), 60, lr, ratio)


@cache
def scanned(side: int) -> dict[str, Data]:
    """The small digits, at so many pixels a side; as values around zero, flat where they keep their own size."""
    data = {}
    for split in ("train", "calibration", "test"):
        rows = offline_data.small_digits(split)
        images = [image if side == 8 else image.resize((side, side), 3) for image in rows["image"]]  # 3: bicubic
        pixels = processor()(images, return_tensors="pt")["pixel_values"]
        data[split] = (pixels.flatten(1) if side == 8 else pixels, torch.tensor(rows["label"]))
    return data


def orientation(canonicalizer: str, group: str, neuron: str, target: int, seed: int, lr: float, ratio: float) -> Row:
    """The pose of the quickstart's digits without 6 and 9, by a canonicalizer that is trained as any other, without
    labels; the mean over the elements of the group. "energies" is a quadratic head on linear neurons."""
    size = sized(canonicalizer, group, neuron, target)
    set_seed(seed)
    model = CanonicalizedModel.wrap(CHECKPOINT, group, canonicalizer, canonicalizer_settings=size)
    with tempfile.TemporaryDirectory() as folder:
        settings = {"num_train_epochs": 20, "learning_rate": lr, "quadratic_lr_ratio": ratio, "disable_tqdm": True}
        examples = [{"pixel_values": image} for image in upright("train")]
        CanonicalizationTrainer(
            model=model,
            args=arguments_of(folder, seed, **settings),
            train_dataset=examples,
            data_collator=jiggled_images,
            processing_class=processor(),
        ).train()
    found = {split: pose_accuracy(model.canonicalizer.eval(), upright(split)) for split in ("calibration", "test")}
    return {**size_of(model.canonicalizer, upright("test")[:1]), **found}


def sized(canonicalizer: str, group: str, neuron: str, target: int) -> dict[str, Any]:
    """Settings of the canonicalizer whose parameters come nearest to the target: they differ in width alone."""
    fixed: dict[str, dict[str, Any]] = {
        "orbit": {"resolution": 16},
        "shift": {"depth": 3, "angles": 32, "radii": 14},
        "equivariant": {"resolution": 29, "depth": 3},
    }
    made_of = {"linear": {}, "energies": {"head": "quadratic"}}.get(neuron, {"neuron": neuron})
    settings = {**fixed[canonicalizer], **made_of}

    def distance(width: int) -> int:
        built = build_canonicalizer(canonicalizer, get_group(group), channels=1, width=width, **settings)
        return abs(sum(p.numel() for p in built.parameters()) - target)

    width = 2
    while distance(width + 1) < distance(width):
        width += 1
    return {**settings, "width": width}


@cache
def upright(split: str) -> Tensor:
    return torch.stack(list(digits(split, ambiguous=False)["pixel_values"][:]))


@torch.inference_mode()
def pose_accuracy(canonicalizer: Canonicalizer, images: Tensor) -> float:
    group = canonicalizer.group
    right = [
        (canonicalizer(group.act(images, one.expand(len(images)))).argmax(-1) == one).float().mean()
        for one in group.elements
    ]
    return 100 * torch.stack(right).mean().item()


def lift(task: str, shots: int, method: str, seed: int, lr: float) -> Row:
    """The quickstart's checkpoint on digits that it was not trained for, from a few labelled ones of each class.

    LoRA has rank 4 and the quadratic lift rank 2, on the same layers: as many parameters.
    """
    model = ViTForImageClassification.from_pretrained(CHECKPOINT).eval()
    data = scanned(28) if task == "other hands" else turned()
    model.requires_grad_(method == "everything")
    targets = ["q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"]
    set_seed(seed)
    if method == "head":
        model.classifier.requires_grad_(True)
    elif method == "LoRA":
        from peft import LoraConfig

        model.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=targets))
    elif method == "lift":
        quadratic_lift(model, rank=2, target_modules=targets)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    macs = size_of(model, data["test"][0][:1])["macs"]
    if trained:
        images, labels = few(data["train"], shots, seed)
        optimizer = torch.optim.AdamW(trained, lr=lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
        for _ in range(STEPS):
            chosen = torch.randint(len(images), (min(32, len(images)),))
            # The augmentation that the checkpoint was trained with.
            loss = F.cross_entropy(model(jiggle(images[chosen], 15.0)).logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network: Callable[[Tensor], Tensor] = lambda x: model(x).logits  # noqa: E731
    found = {split: accuracy(network, data[split]) for split in ("calibration", "test")}
    return {"parameters": sum(p.numel() for p in trained), "macs": macs, **found}


STEPS = 200


def turned() -> dict[str, Data]:
    """The digits that the checkpoint knows, without 6 and 9, all turned by 90 degrees."""
    data = {}
    for split in ("train", "calibration", "test"):
        rows = digits(split, ambiguous=False)
        data[split] = (upright(split).rot90(1, (2, 3)), torch.stack(list(rows["label"][:])))
    return data


def few(data: Data, shots: int, seed: int) -> Data:
    """So many of each class, drawn by the seed."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(data[1]), generator=generator)
    chosen = torch.cat([order[data[1][order] == label][:shots] for label in data[1].unique()])
    return data[0][chosen], data[1][chosen]


def fit(network: nn.Module, data: dict[str, Data], epochs: int, lr: float, ratio: float) -> Row:
    """Train a classifier; a network that became infinite is one that is right by chance."""
    inputs, labels = data["train"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=lr, weight_decay=0.01)
    slow_second_order(optimizer, network, ratio)
    batches = list(range(0, len(inputs), 64))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(batches))
    for _ in range(epochs):
        for chosen in torch.randperm(len(inputs)).split(64):
            loss = F.cross_entropy(network(inputs[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    found = {split: accuracy(network, data[split]) for split in ("calibration", "test")}
    return {**size_of(network, inputs[:1]), **found}


@torch.no_grad()
def accuracy(network: Callable[[Tensor], Tensor], data: Data) -> float:
    right = [(network(x).argmax(-1) == y).float() for x, y in zip(data[0].split(512), data[1].split(512), strict=True)]
    return 100 * torch.cat(right).mean().item()


def size_of(network: nn.Module, x: Tensor) -> dict[str, int]:
    """Its parameters, and the multiply-adds of its layers for one input (without the products of queries, keys and
    values, which are the same for every method)."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network)(x)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return {"parameters": parameters, "macs": counter.get_total_flops() // 2}
