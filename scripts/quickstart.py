"""The main job, end to end and offline: a frozen checkpoint survives rotation.

    make quickstart

1. Trains a small ViT on 5,000 real digits: the stand-in for your checkpoint. Wraps it, trains a canonicalizer for c8
   without labels, calibrates it on held-back digits, and measures both on others. The report is a page to decide from.
2. Takes a real ImageNet checkpoint and real photographs, and repairs a turned one with no training at all.
3. Saves the adapter, loads it in a new process, and compares the answers.

Everything lands in build/quickstart; a second run keeps what the first one trained.
"""

import subprocess
import sys
import time
from pathlib import Path

import offline_data
import torch
from digits import digits, train_canonicalizer, train_predictor
from PIL import Image
from transformers import AutoImageProcessor

from hf_canon import CanonicalizedModel, calibrate, evaluate_robustness, get_group
from hf_canon.evaluation import plot_report

FOLDER = Path("build/quickstart")
OTHER_ANGLES = [11.25 + 22.5 * i for i in range(16)]

RELOAD = """
import sys, torch
from hf_canon import CanonicalizedModel
folder, inputs, outputs = sys.argv[1:]
model = CanonicalizedModel.from_pretrained(folder)
with torch.inference_mode():
    torch.save(model(pixel_values=torch.load(inputs)).logits, outputs)
"""


def repair_digits() -> CanonicalizedModel:
    checkpoint = FOLDER / "checkpoint"
    adapter = FOLDER / "adapter"
    if not checkpoint.is_dir():
        print("Fine-tuning a small ViT on the training digits ...", flush=True)
        train_predictor(checkpoint)
    if not (adapter / "model.safetensors").is_file():
        print("Training a canonicalizer for c8, label-free, the ViT frozen ...", flush=True)
        start = time.perf_counter()
        train_canonicalizer(checkpoint, adapter)
        print(f"... which took {time.perf_counter() - start:.0f} seconds.")
    model = CanonicalizedModel.from_pretrained(adapter)

    # All ten digits, as in production. It decides by 'argmax' all the same, until somebody asks for another rule.
    record = calibrate(model, digits("calibration"), alpha=0.1, harm=0.02, batch_size=128)

    # 6 and 9 are each other's half turn, and no canonicalizer can know which was meant: they are reported apart.
    report = evaluate_robustness(
        model, digits("test", ambiguous=False), ["c8", *OTHER_ANGLES], batch_size=128, report=FOLDER / "report"
    )
    model.save_pretrained(adapter, report=report)
    print(f"\nHeld-back digits other than 6 and 9:\n\n{report}")
    ambiguous = evaluate_robustness(model, digits("test", ambiguous=True), "c8", batch_size=128, baselines=False)
    c8 = ambiguous.sets["c8"]
    print(
        f"\n6 and 9 alone, over c8: {100 * c8.before:.1f} % before, {100 * c8.after:.1f} % after "
        f"(upright {100 * ambiguous.upright.before.value:.1f} % and {100 * ambiguous.upright.after.value:.1f} %)."
    )

    print(f"\nCalibrated on held-back digits, all ten:\n\n{record}")

    examples = digits("test", ambiguous=False)
    all_labels = [int(label) for label in examples["label"]]
    chosen = examples[[all_labels.index(label) for label in (4, 7)]]
    images, labels = chosen["pixel_values"], chosen["label"].tolist()
    plot_report(report, model, images, FOLDER / "quickstart.png", labels=labels)
    return model


def repair_photographs() -> None:
    checkpoint = offline_data.checkpoint("efficientnet")
    # The usual ImageNet evaluation: the shorter side to 256 pixels, and the central 224.
    processor = AutoImageProcessor.from_pretrained(checkpoint, size={"shortest_edge": 256})
    model = CanonicalizedModel.wrap(checkpoint, group="c4", canonicalizer="predictor")
    quarter = torch.tensor([1])
    print("\nEfficientNet-lite0 on photographs turned by 90 degrees, with no training at all:\n")
    print(f"  {'photograph':<12}{'upright':<18}{'turned':<18}{'turned, canonicalized':<24}found")
    for name in ("rocket", "camera", "coffee", "china"):
        (path,) = (path for path in offline_data.photos() if path.stem == name)
        x = processor(Image.open(path).convert("RGB"), return_tensors="pt")["pixel_values"]
        turned = get_group("c4").act(x, quarter)
        with torch.inference_mode():
            repaired = model(pixel_values=turned)
            answers = [model(pixel_values=image, canonicalize=False) for image in (x, turned)] + [repaired]
        words = [model.config.id2label[int(answer.logits.argmax())].split(",")[0] for answer in answers]
        found = model.group.describe(int(repaired.canonicalization.element))
        print(f"  {name:<12}{words[0]:<18}{words[1]:<18}{words[2]:<24}{found}")
    print("\n  Asking the checkpoint itself costs four passes, and it can prefer a wrong pose: train a canonicalizer.")


def reload_elsewhere(model: CanonicalizedModel) -> None:
    inputs, outputs = FOLDER / "inputs.pt", FOLDER / "outputs.pt"
    images = digits("test")[:64]["pixel_values"]
    images, _, _ = model.group.random_act(images, torch.Generator().manual_seed(0))
    torch.save(images, inputs)
    subprocess.run([sys.executable, "-c", RELOAD, FOLDER / "adapter", inputs, outputs], check=True)
    with torch.inference_mode():
        same = torch.equal(model(pixel_values=images).logits, torch.load(outputs))
    size = (FOLDER / "adapter/model.safetensors").stat().st_size
    print(f"\nAdapter: {FOLDER / 'adapter'}, {size / 1000:.0f} kB of weights.")
    print(f"Loaded in a new process, its logits are {'equal to the bit' if same else 'DIFFERENT'}.")
    if not same:
        raise SystemExit(1)


def main() -> None:
    start = time.perf_counter()
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = repair_digits()
    repair_photographs()
    reload_elsewhere(model)
    print(f"Image: {FOLDER / 'quickstart.png'}")
    print(f"A page to decide from: {FOLDER / 'report/index.html'}")
    print(f"The adapter's card, as the Hub would show it: {FOLDER / 'adapter/README.md'}")
    print(f"All of it took {(time.perf_counter() - start) / 60:.1f} minutes.")


if __name__ == "__main__":
    main()
