"""Figure 2: rotated digits, a ViT and a label-free canonicalizer over c8, five seeds of both.

    python scripts/benchmarks/figure_digits.py --seeds 0 1 2 3 4 --json build/figures/digits.json

Digits 6 and 9 are each other's half turn, so they are reported apart. The sixteen other angles lie between the
elements of c8. A seed trains its own ViT and its own canonicalizer; what was trained is kept and not trained again.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from digits import digits, train_canonicalizer, train_predictor

from hf_canon import CanonicalizedModel, RobustnessReport, evaluate_robustness

OTHER_ANGLES = [11.25 + 22.5 * i for i in range(16)]


def trained(folder: Path, seed: int) -> tuple[CanonicalizedModel, float]:
    """The model of that seed, and the seconds that its canonicalizer took to train."""
    timing = folder / "seconds.json"
    if not timing.is_file():
        if not (folder / "checkpoint").is_dir():
            train_predictor(folder / "checkpoint", seed)
        start = time.perf_counter()
        train_canonicalizer(folder / "checkpoint", folder / "adapter", seed)
        timing.write_text(json.dumps(time.perf_counter() - start))
    return CanonicalizedModel.from_pretrained(folder / "adapter"), json.loads(timing.read_text())


def augmented_predictor(folder: Path, seed: int) -> CanonicalizedModel:
    """The rival without a canonicalizer: the same ViT, trained on digits turned by any angle."""
    if not (folder / "augmented").is_dir():
        train_predictor(folder / "augmented", seed, degrees=180.0)
    return CanonicalizedModel.wrap(folder / "augmented", group="c1", canonicalizer="predictor")


def figures(report: RobustnessReport) -> dict[str, float]:
    """What one report says, in percent and points."""
    c8, other = report.sets["c8"], report.sets["angles"]
    upright = 100 * report.upright.before.value
    return {
        "untouched, upright": upright,
        "untouched, mean over c8": 100 * c8.before,
        "untouched, other angles": 100 * other.before,
        "orbit mean, c8": 100 * c8.mean["orbit_mean"].value,
        "most confident, c8": 100 * c8.mean["most_confident"].value,
        "oracle, c8": 100 * c8.mean["oracle"].value,
        "ours, upright": 100 * report.upright.after.value,
        "ours, mean over c8": 100 * c8.after,
        "ours, other angles": 100 * other.after,
        "upright tax": report.upright_tax.value,
        "right -> wrong, upright": report.upright_right_to_wrong,
        "wrong -> right, upright": report.upright_wrong_to_right,
        "c8 / untouched upright": 100 * 100 * c8.after / upright,
        "other angles / untouched upright": 100 * 100 * other.after / upright,
        "pose right, c8": 100 * c8.pose_accuracy,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--folder", type=Path, default=Path("build/figures/digits"))
    parser.add_argument("--json", type=Path, default=Path("build/figures/digits.json"))
    parser.add_argument("--augmentation", action="store_true", help="train a ViT on turned digits too, for comparison")
    arguments = parser.parse_args()

    results: dict[str, list[dict[str, float]]] = {"without 6 and 9": [], "6 and 9": []}
    seconds = []
    for seed in arguments.seeds:
        model, took = trained(arguments.folder / str(seed), seed)
        seconds.append(took)
        augmented = augmented_predictor(arguments.folder / str(seed), seed) if arguments.augmentation else None
        for name, ambiguous in (("without 6 and 9", False), ("6 and 9", True)):
            data = digits("test", ambiguous=ambiguous)
            report = evaluate_robustness(model, data, ["c8", *OTHER_ANGLES], batch_size=128)
            row = figures(report)
            if augmented is not None:
                bare = evaluate_robustness(augmented, data, ["c8", *OTHER_ANGLES], batch_size=128, baselines=False)
                row["augmented, upright"] = 100 * bare.upright.before.value
                row["augmented, mean over c8"] = 100 * bare.sets["c8"].before
                row["augmented, other angles"] = 100 * bare.sets["angles"].before
            results[name].append(row)

    for name, rows in results.items():
        print(f"\nDigits {name}, held-back, {len(rows)} seeds: mean (lowest to highest), %")
        for key in rows[0]:
            values = [row[key] for row in rows]
            print(f"  {key:<34}{statistics.mean(values):7.1f}   ({min(values):.1f} to {max(values):.1f})")
    print(f"\nSeconds to train the canonicalizer: {', '.join(f'{took:.0f}' for took in seconds)}")
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps({"seeds": arguments.seeds, "seconds": seconds, **results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
