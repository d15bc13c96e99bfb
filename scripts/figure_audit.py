"""Three audits: what real checkpoints lose untouched, and which group they should be canonicalized over.

    python scripts/prepare_offline_assets.py --only digits efficientnet stamps words whisper
    python scripts/figure_audit.py
    python scripts/figure_audit.py --only digits        # one of them

1. `digits`: a small ViT (trained first, if it is not there) on all held-back digits, 6 and 9 among them.
2. `words`: a Whisper encoder that names the language of a word; every other test clip by name.
3. `stamps`: EfficientNet-lite0 on the labelled test stamps, upright on white, with every class that is right.

Nothing else is trained, and the test splits choose nothing: the bounds in
`hf_canon/evaluation/auditing/findings.py` were set on the calibration splits. Every page is printed, and its figures
are written to build/figures/audit/.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import offline_data
import torch
from digits import digits, train_predictor
from figure_stamps import tensors

from hf_canon import audit
from hf_canon.evaluation import AuditReport

FOLDER = Path("build/figures/audit")


def audit_digits() -> AuditReport:
    checkpoint = FOLDER / "digits"
    if not checkpoint.is_dir():
        train_predictor(checkpoint)
    return audit(checkpoint, digits("test"), batch_size=128)


def audit_words() -> AuditReport:
    clips = offline_data.words("test").sort("name")
    items = [
        {"audio": {"array": clip["audio"], "sampling_rate": clip["sampling_rate"]}, "label": clip["label"]}
        for clip in clips.select(range(0, len(clips), 2))
    ]
    return audit(offline_data.speech_checkpoint("language"), items, batch_size=16)


def audit_stamps() -> AuditReport:
    stamps = offline_data.stamps("test")
    images = tensors(list(stamps["image"]))
    items = [{"pixel_values": x, "label": right} for x, right in zip(images, stamps["imagenet"], strict=True)]
    return audit(offline_data.checkpoint("efficientnet"), items, batch_size=16)


AUDITS: dict[str, Callable[[], AuditReport]] = {"digits": audit_digits, "words": audit_words, "stamps": audit_stamps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(AUDITS), default=list(AUDITS), help="which audits")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        started = time.process_time()
        report = AUDITS[name]()
        report.save(FOLDER / f"{name}.json")
        print(
            f"{report}\n\n({name}: {(time.process_time() - started) / 60:.1f} minutes of processor time)\n", flush=True
        )


if __name__ == "__main__":
    main()
