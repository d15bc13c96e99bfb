"""What the demo's page opens in its audio tab: an adapter against playback speed for a real Whisper encoder.

    python scripts/prepare_offline_assets.py --only words whisper
    python scripts/audio_adapter.py

1. Trains a canonicalizer for speed12, without labels, in front of the encoder that names the language of a word, on
   clips that were transformed as waveforms, as in `figure_audio.py`. `CanonicalizationTrainer` is the shorter way, but
   warps spectrograms here: it finds the speed of calibration clips that were played faster or slower less exactly.
2. Calibrates it on words that nothing was trained on, and measures it on others, played at another speed by
   `scipy.signal.resample`.
3. Writes 40 clips of the test split, five of each language.

Everything lands in build/demo; a second run keeps what the first one made.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile
import torch
from figure_audio import BATCH, COPIES, RATE, STEPS, Clips, train
from offline_clips import at_speed
from offline_data import speech_checkpoint, words
from torch import Tensor
from transformers import AutoFeatureExtractor

from hf_canon import CanonicalizedModel, calibrate
from hf_canon.selection import Calibration

FOLDER = Path("build/demo")
ADAPTER, EXAMPLES, MEASURED = FOLDER / "audio-adapter", FOLDER / "clips", FOLDER / "audio-adapter.txt"
GROUP = "speed12"
SHIFTS = (-8, -4, 0, 4, 8)
"""Semitones."""
CLIPS = 5
"""Of each language, to listen to."""


@contextmanager
def renamed_when_whole(target: Path) -> Iterator[Path]:
    """A place to write a folder to; an interrupted run leaves nothing half-written under its name."""
    with tempfile.TemporaryDirectory(prefix=".partial-", dir=target.parent) as scratch:
        # Of the same name: the adapter's card has it for a title.
        folder = Path(scratch) / target.name
        yield folder
        folder.rename(target)


def make_adapter() -> None:
    # What was measured belongs to the adapter that was here before.
    MEASURED.unlink(missing_ok=True)
    clips = Clips("train")
    print(f"Moving {len(clips.clips)} training clips by {COPIES} random elements of {GROUP} each ...", flush=True)
    x, elements = clips.transformed_at_random(GROUP, COPIES)
    print(f"Training a canonicalizer, label-free, the encoder frozen: {STEPS} steps of {BATCH} clips ...", flush=True)
    start = time.perf_counter()
    model = train(GROUP, 0, x, elements)
    print(f"... which took {time.perf_counter() - start:.0f} seconds.\nCalibrating it ...", flush=True)
    extractor = AutoFeatureExtractor.from_pretrained(speech_checkpoint("language"))
    calibrate(model, words("calibration"), alpha=0.1, harm=0.05, processor=extractor)
    with renamed_when_whole(ADAPTER) as folder:
        model.save_pretrained(folder)
        extractor.save_pretrained(folder)


@torch.inference_mode()
def measured(model: CanonicalizedModel) -> str:
    """Accuracies on the test split as a table, and what the calibration promises."""
    test = Clips("test")

    def accuracy(logits: Tensor) -> float:
        return 100 * float((logits.argmax(-1) == test.labels).float().mean())

    columns = [["semitones", "checkpoint alone", "canonicalized", "canonicalized in the audio", "speed, median error"]]
    for semitones in SHIFTS:
        clips = test.transformed(at_speed, semitones)
        x = test.features(clips)
        canonical = test.features(model.canonical_clips(clips, test.extractor))
        found = model(input_features=x)
        right = [
            accuracy(model(input_features=x, canonicalize=False).logits),
            accuracy(found.logits),
            accuracy(model(input_features=canonical, canonicalize=False).logits),
        ]
        error = float((found.canonicalization.element - semitones).abs().median())
        columns.append([f"{semitones}", *(f"{share:.1f}" for share in right), f"{error:.2f}"])
    lines = [f"{len(test.clips)} words played too fast, accuracy in % and error in semitones:\n"]
    lines += [f"{name:<28}" + "".join(f"{cell:>8}" for cell in cells) for name, *cells in zip(*columns, strict=True)]
    record = Calibration.from_dict(model.config.calibration)
    return "\n".join([*lines, f"\nCalibrated on {record.items + record.fitted} others:\n\n{record}\n"])


def write_clips() -> None:
    test = words("test")
    languages = test["language"]
    with renamed_when_whole(EXAMPLES) as folder:
        for language in sorted(set(languages)):
            (folder / language).mkdir(parents=True)
            for i in [i for i, one in enumerate(languages) if one == language][:CLIPS]:
                path = folder / language / f"{test[i]['word']}.wav"
                soundfile.write(path, np.asarray(test[i]["audio"], np.float32), RATE, subtype="PCM_16")


def main() -> None:
    start = time.perf_counter()
    # As in figure_audio.py: the numbers are the same, however many cores there are.
    torch.set_num_threads(1)
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not (ADAPTER / "model.safetensors").is_file():
        make_adapter()
    if not MEASURED.is_file():
        print("Measuring it on the test split ...", flush=True)
        MEASURED.write_text(measured(CanonicalizedModel.from_pretrained(ADAPTER).eval()))
    if not EXAMPLES.is_dir():
        write_clips()
    print(f"\n{MEASURED.read_text()}")
    print(f"Adapter: {ADAPTER}, {(ADAPTER / 'model.safetensors').stat().st_size / 1000:.0f} kB of weights.")
    print(f"Example clips: {EXAMPLES}, {len(list(EXAMPLES.glob('*/*.wav')))} clips.")
    print(f"All of it took {time.perf_counter() - start:.0f} seconds.")


if __name__ == "__main__":
    main()
