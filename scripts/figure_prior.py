"""Training images that do not come upright: the identity prior, the predictor's, and poses estimated ever again.

    python scripts/figure_prior.py --seeds 0 1 2 --json build/figures/prior.json

The training digits (without 6 and 9, which are each other's half turn) are turned by random elements of a group, and
the elements are forgotten: all digits, over c4 and, by bicubic interpolation, over c8; and half of them, over c4. A
frozen ViT that was trained on upright digits stands in for the checkpoint: one for all seeds, trained on the same
digits, upright and with labels. A seed decides the elements, and the canonicalizer's first weights and batches. Every
canonicalizer learns without labels, for as many steps. Temperatures, rounds and epochs were chosen on the calibration
digits (`--split calibration`), over c4, with one seed. It takes some twenty minutes of one core.
"""

import argparse
import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from digits import arguments_of, digits, train_predictor
from torch import Tensor
from transformers import set_seed

from hf_canon import CanonicalizationTrainer, CanonicalizedModel, get_group

SCENARIOS = {"c4": ("c4", 1.0), "c4, half": ("c4", 0.5), "c8": ("c8", 1.0)}
"""A group, and the share of the training digits that one of its elements happened to."""

FIGURES = ("upright", "mean over the group", "pose right")


def turned(pixel_values: Tensor, element: Tensor, group: str) -> Tensor:
    """Not by the interpolation with which the model undoes it."""
    transformed: Tensor = get_group(group).act(pixel_values, element, interpolation="bicubic")  # type: ignore[call-arg]
    return transformed


def some_elements(group_name: str, share: float, count: int, seed: int) -> Tensor:
    """What happens to the training digits, which only the figure knows."""
    group, generator = get_group(group_name), torch.Generator().manual_seed(seed)
    element = group.sample(count, generator)
    return torch.where(torch.rand(count, generator=generator) < share, element, 0)


def trained(
    checkpoint: Path, group: str, pixel_values: Tensor, arguments: argparse.Namespace, seed: int, **prior: Any
) -> tuple[CanonicalizedModel, Tensor | None]:
    """A model whose canonicalizer has learned from the data, and what it believes of their poses if it was asked."""
    set_seed(seed)
    model = CanonicalizedModel.wrap(checkpoint, group=group, canonicalizer="shift")
    settings = {"num_train_epochs": arguments.epochs, "disable_tqdm": True, **prior}
    args = arguments_of(arguments.folder / "trainer", seed, **settings)
    data = [{"pixel_values": one} for one in pixel_values]
    trainer = CanonicalizationTrainer(model=model, args=args, train_dataset=data)
    trainer.train()
    return model.eval(), None if trainer.realignment is None else trainer.realignment.poses


@torch.inference_mode()
def measured(model: CanonicalizedModel, test: Dataset, group: str, canonicalize: bool = True) -> dict[str, float]:
    """In percent: right answers upright, right answers and right poses over the group."""
    pixel_values, label = test[:]["pixel_values"], test[:]["label"]
    right, found = [], []
    for element in get_group(group).elements:
        transformed = turned(pixel_values, element.expand(len(label)), group)
        answers = [model(pixel_values=batch, canonicalize=canonicalize) for batch in transformed.split(128)]
        right.append(torch.cat([answer.logits.argmax(-1) for answer in answers]) == label)
        if canonicalize:
            found.append(torch.cat([answer.canonicalization.element for answer in answers]) == element)
    values = [right[0], torch.stack(right), *([torch.stack(found)] if canonicalize else [])]
    return {name: 100 * float(value.float().mean()) for name, value in zip(FIGURES, values, strict=False)}


def rows_of(
    checkpoint: Path, group: str, share: float, test: Dataset, arguments: argparse.Namespace, seed: int
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The figures of every method for one seed; and how many poses of training digits are right, in percent."""
    upright = digits("train", ambiguous=False)[:]["pixel_values"]
    element = some_elements(group, share, len(upright), seed)
    scrambled = turned(upright, element, group)
    asking = CanonicalizedModel.wrap(checkpoint, group=group, canonicalizer="predictor")
    rows = {
        "untouched": measured(asking, test, group, canonicalize=False),
        f"most confident member, {len(asking.group.elements)} passes": measured(asking, test, group),
    }
    right = {"all taken for upright": 100 * float((element == 0).float().mean())}
    rounds, once = arguments.rounds, {"prior": "predictor", "prior_temperature": arguments.temperature}
    methods: dict[str, tuple[Tensor, dict[str, Any]]] = {
        "prior: identity": (scrambled, {"prior": "identity"}),
        "prior: predictor": (scrambled, {**once, "prior_temperature": arguments.prior_temperature}),
        "prior: predictor, poses estimated once": (scrambled, {**once, "realign_rounds": 1}),
        f"prior: predictor, {rounds} rounds": (scrambled, {**once, "realign_rounds": rounds}),
        f"prior: identity, {rounds} rounds": (scrambled, {**once, "prior": "identity", "realign_rounds": rounds}),
        "ceiling: upright digits, prior: identity": (upright, {"prior": "identity"}),
    }
    for name, (pixel_values, prior) in methods.items():
        model, poses = trained(checkpoint, group, pixel_values, arguments, seed, **prior)
        rows[name] = measured(model, test, group)
        if poses is not None:
            right[name] = 100 * float((poses == element).float().mean())
    return rows, right


def spread(values: Sequence[float]) -> str:
    return f"{statistics.mean(values):5.1f} ({min(values):.1f} to {max(values):.1f})"


def table(seeds: list[dict[str, dict[str, float]]]) -> str:
    lines = [f"{'':<44}" + "".join(f"{name:<24}" for name in FIGURES)]
    for method in seeds[0]:
        cells = [spread([one[method][name] for one in seeds]) if name in seeds[0][method] else "" for name in FIGURES]
        lines.append((f"{method:<44}" + "".join(f"{cell:<24}" for cell in cells)).rstrip())
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--split", choices=("calibration", "test"), default="test")
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=0.1, help="of the predictor where poses are estimated")
    parser.add_argument("--prior-temperature", type=float, default=0.03, help="where it is the prior of every batch")
    parser.add_argument("--folder", type=Path, default=Path("build/figures/prior"))
    parser.add_argument("--json", type=Path, default=Path("build/figures/prior.json"))
    arguments = parser.parse_args()

    checkpoint = arguments.folder / "0" / "checkpoint"
    if not checkpoint.is_dir():
        train_predictor(checkpoint, seed=0)
    test = digits(arguments.split, ambiguous=False)
    names = ("seeds", "split", "epochs", "rounds", "temperature", "prior_temperature")
    settings = {name: getattr(arguments, name) for name in names}
    results: dict[str, Any] = {**settings, "scenarios": {}}
    for scenario in arguments.scenarios:
        group, share = SCENARIOS[scenario]
        found = [rows_of(checkpoint, group, share, test, arguments, seed) for seed in arguments.seeds]
        rows, right = [one for one, _ in found], [one for _, one in found]
        print(
            f"\n{share:.0%} of the training digits turned over {group}; {len(test)} {arguments.split} digits, "
            f"{len(found)} seeds: mean (lowest to highest), %\n\n{table(rows)}\n"
        )
        for name in right[0]:
            print(f"  poses of training digits believed right, {name}: {spread([one[name] for one in right])}")
        results["scenarios"][scenario] = {"methods": rows, "training poses right": right}
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
