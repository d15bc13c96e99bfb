"""Figure: how much of a shift is pose, for digits that come in turned, blurred and darker, or both.

    make quickstart
    python scripts/benchmarks/figure_shift.py --plot docs/shift.png

The quickstart's adapter, `shift` over c8. The reference is the digits of the calibration split, upright; what comes in
are those of the test split, changed in a way that is known. Drawn is the last of them.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from assets import offline_data
from PIL import Image, ImageEnhance, ImageFilter
from transformers import AutoImageProcessor

from hf_canon import CanonicalizedModel, distribution_shift
from hf_canon.evaluation import plot_shift

ADAPTER = Path("build/quickstart/adapter")


def turned(degrees: int) -> Callable[[Image.Image, np.random.Generator], Image.Image]:
    def turn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
        return image.rotate(degrees * int(rng.integers(360 // degrees)), Image.Resampling.BICUBIC)

    return turn


def worn(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Blurred, and darker."""
    return ImageEnhance.Brightness(image.filter(ImageFilter.GaussianBlur(1))).enhance(0.7)


CHANGES: dict[str, Callable[[Image.Image, np.random.Generator], Image.Image]] = {
    "upright": lambda image, rng: image,
    "turned by random quarters": turned(90),
    "turned by random eighths": turned(45),
    "blurred and darker": worn,
    "both, by quarters": lambda image, rng: turned(90)(worn(image, rng), rng),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, default=Path("build/figures/shift.png"))
    arguments = parser.parse_args()
    model = CanonicalizedModel.from_pretrained(ADAPTER)
    processor: Any = AutoImageProcessor.from_pretrained(ADAPTER)
    reference = [{"image": image} for image in offline_data.digits("calibration")["image"]]
    reports = {}
    for name, change in CHANGES.items():
        rng = np.random.default_rng(0)
        incoming = [{"image": change(image, rng)} for image in offline_data.digits("test")["image"]]
        reports[name] = distribution_shift(reference, incoming, model=model, processor=processor)
    last = list(reports.values())[-1]
    print(f"{last.model}, features: {last.features}; distance (by chance, p)\n")
    names = list(last.rows)
    print(f"| incoming digits | {' | '.join(names)} | what is said |")
    print(f"|---|{'---|' * len(names)}---|")
    for name, report in reports.items():
        cells = [f"{row.distance:.3f} ({row.chance:.3f}, {row.p_value:.2g})" for row in report.rows.values()]
        print(f"| {name} | {' | '.join(cells)} | {' '.join(report.verdict)} |")
    arguments.plot.parent.mkdir(parents=True, exist_ok=True)
    plot_shift(last, arguments.plot)
    print(f"\nDrawn in {arguments.plot}")


if __name__ == "__main__":
    main()
