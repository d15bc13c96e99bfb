"""Build the clips: spoken words, and notes of instruments."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import soundfile
from packages import debian_package, import_unpacked, verified, wheel
from playback import SAMPLING_RATE
from scipy import signal
from splits import hash_fraction, save_splits

# The languages with the most clips; English (66 clips) is the split `english`.
LANGUAGES = ("be", "bg", "ca", "el", "es", "fr", "ro", "ru")
LONGEST_WORD = 1.5
# One digest over the clips and the English names of the words: the Debian package carries much that is not read here.
SHA256_WORDS = "8444711eddecce2ef151dc251c407cadad55a73aa1bfecfa990e77540a5e5801"
# A General MIDI program for each instrument. The soundfont's names are shortened.
PROGRAMS = {
    "piano": 0,
    "harpsichord": 6,
    "celesta": 8,
    "vibraphone": 11,
    "marimba": 12,
    "church_organ": 19,
    "accordion": 21,
    "guitar": 24,
    "bass": 33,
    "violin": 40,
    "cello": 42,
    "harp": 46,
    "choir": 52,
    "trumpet": 56,
    "tuba": 58,
    "horn": 60,
    "oboe": 68,
    "bassoon": 70,
    "clarinet": 71,
    "flute": 73,
}
CENTRAL_KEYS = range(58, 65)
KEYS = range(46, 77)


def read_clip(path: Path) -> np.ndarray:
    """A recording as float32 mono at 16 kHz with a loudest sample of 0.5, because loudness tells who recorded it."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = signal.resample_poly(samples.mean(axis=1), SAMPLING_RATE, rate).astype(np.float32)
    return mono * np.float32(0.5 / np.abs(mono).max())


def is_word(path: Path) -> bool:
    """Whether a recording is a short, audible word at the package's sampling rate."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return rate == 44_100 and 0.25 < len(samples) / rate < LONGEST_WORD and np.abs(samples.mean(axis=1)).max() > 0.02


def recordings(root: Path) -> dict[str, dict[str, Path]]:
    """`{stamp: {language: clip}}` of the stamps under `root`; "en" is the clip without a suffix."""
    found: dict[str, dict[str, Path]] = {}
    for path in sorted(root.rglob("*_desc*.ogg")):
        stamp, _, language = path.relative_to(root).as_posix().removesuffix(".ogg").rpartition("_desc")
        language = language.removeprefix("_") or "en"
        if language in (*LANGUAGES, "en"):
            found.setdefault(stamp, {})[language] = path
    return found


def distinct_words(clips: dict[str, dict[str, Path]], titles: dict[str, str]) -> Iterator[str]:
    """The stamps whose name was recorded well in every language, one for each word.

    Many stamps share a recording, a stem (`animals/.../butterfly`, `seasonal/.../butterfly`) or an English name: were
    they all kept, the same word would be in two splits.
    """
    seen: set[str | bytes] = set()
    for stamp, paths in clips.items():
        if not set(LANGUAGES) <= set(paths):
            continue
        contents = {hashlib.sha256(paths[language].read_bytes()).digest() for language in LANGUAGES}
        marks = contents | {Path(stamp).name, titles[stamp].casefold()}
        if not marks & seen and all(is_word(paths[language]) for language in LANGUAGES):
            yield stamp
        seen |= marks


def audio_features(**columns: object) -> datasets.Features:
    """The columns of every clip, and `columns`. The waveform is a plain list: nothing has to be decoded."""
    return datasets.Features(
        {
            "audio": datasets.List(datasets.Value("float32")),
            "sampling_rate": datasets.Value("int32"),
            **columns,
            "name": datasets.Value("string"),
        }
    )


def build_words(folder: Path, downloads: Path) -> None:
    """Names of stamps, spoken in eight languages; the split of each is a hash of its word.

    `english` holds the clips in English, to try a transcriber on; their words may be in any split.
    """
    root = debian_package("tuxpaint-stamps-default", downloads) / "usr/share/tuxpaint/stamps"
    clips = recordings(root)
    titles, digest = {}, hashlib.sha256()
    for stamp, paths in clips.items():
        text = root / f"{stamp}.txt"
        titles[stamp] = text.read_text(encoding="utf-8").partition("\n")[0].strip() if text.exists() else ""
        digest.update(f"{stamp}\0{titles[stamp]}\0".encode())
        for language, path in paths.items():
            digest.update(f"{language}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    if digest.hexdigest() != SHA256_WORDS:
        raise SystemExit(
            "The spoken names differ from those of tuxpaint-stamps-default 2022.06.04-1 (sha256 does not match)."
        )

    def row(stamp: str, language: str) -> dict:
        word = Path(stamp).name
        return {
            "audio": read_clip(clips[stamp][language]),
            "sampling_rate": SAMPLING_RATE,
            "language": language,
            "label": LANGUAGES.index(language) if language in LANGUAGES else None,
            "word": word,
            "title": titles[stamp],
            "name": f"{word}_{language}",
        }

    rows: dict[str, list[dict]] = {"train": [], "calibration": [], "test": [], "english": []}
    for stamp in distinct_words(clips, titles):
        fraction = hash_fraction(Path(stamp).name)
        split = "test" if fraction < 0.3 else "calibration" if fraction < 0.5 else "train"
        rows[split] += [row(stamp, language) for language in LANGUAGES]
    rows["english"] = [row(stamp, "en") for stamp, paths in clips.items() if "en" in paths]
    for items in rows.values():
        items.sort(key=lambda item: hash_fraction(item["name"]))
    features = audio_features(
        language=datasets.Value("string"),
        label=datasets.ClassLabel(names=list(LANGUAGES)),
        word=datasets.Value("string"),
        title=datasets.Value("string"),
    )
    save_splits(rows, features, folder)


def build_notes(folder: Path, downloads: Path) -> None:
    """Notes of 20 instruments, one second each, exact in pitch.

    `train`, `calibration` and `test` are the keys 58 to 64 of every instrument at three velocities, split by a hash of
    the note: they differ in how hard a key is struck, not in the keys. `transposed` is the same instruments up to an
    octave below and above.
    """
    soundfont = verified(wheel("pretty_midi==0.2.11.post0", downloads) / "pretty_midi/TimGM6mb.sf2")
    # Unpacked, not installed: it asks for PyAudio, which only playing needs and which has no wheel for Linux.
    tinysoundfont = import_unpacked(wheel("tinysoundfont==0.3.7", downloads), "tinysoundfont")
    synth = tinysoundfont.Synth(samplerate=3 * SAMPLING_RATE)
    bank = synth.sfload(str(soundfont))

    def render(program: int, key: int, velocity: int) -> np.ndarray:
        """Rendered at 48 kHz and then band-limited: the synthesizer interpolates, at 16 kHz it would alias."""
        synth.program_select(0, bank, 0, program)
        synth.noteon(0, key, velocity)
        stereo = np.frombuffer(synth.generate(3 * SAMPLING_RATE), np.float32).reshape(-1, 2)
        synth.clips_off(0)
        synth.generate(SAMPLING_RATE)
        return signal.resample_poly(stereo.mean(axis=1), 1, 3).astype(np.float32)

    rows: dict[str, list[dict]] = {"train": [], "calibration": [], "test": [], "transposed": []}
    for instrument, program in PROGRAMS.items():
        for key in KEYS:
            central = key in CENTRAL_KEYS
            for velocity in (64, 96, 127) if central else (96,):
                name = f"{instrument}-{key}-{velocity}"
                fraction = hash_fraction(name)
                split = "test" if fraction < 0.25 else "calibration" if fraction < 0.4 else "train"
                audio = render(program, key, velocity)
                if np.abs(audio).max() < 0.01:
                    raise SystemExit(f"{name} is silent: the soundfont has no sample for it; choose another program.")
                row = {
                    "audio": audio,
                    "sampling_rate": SAMPLING_RATE,
                    "instrument": instrument,
                    "key": key,
                    "velocity": velocity,
                    "name": name,
                }
                rows[split if central else "transposed"].append(row)
    for items in rows.values():
        items.sort(key=lambda item: hash_fraction(item["name"]))
    features = audio_features(
        instrument=datasets.ClassLabel(names=list(PROGRAMS)),
        key=datasets.Value("int32"),
        velocity=datasets.Value("int32"),
    )
    save_splits(rows, features, folder)
