"""Text is the same for every pose, and what writes it is asked about the canonical input once."""

from pathlib import Path
from typing import Any

import pytest
import torch
from architectures import generation
from architectures.exactness import answers, wrapped
from images import images
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    AutoModelForSpeechSeq2Seq,
    CLIPImageProcessorPil,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    WhisperFeatureExtractor,
    pipeline,
)

from hf_canon import CanonicalizedModel
from hf_canon.predictors.inputs import input_name
from hf_canon.tasks import TASKS

WRITING = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}


def prompts(inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `generate` is given: a decoder begins by itself."""
    return {name: value for name, value in inputs.items() if name != "decoder_input_ids"}


@pytest.mark.covering("task")
@pytest.mark.filterwarnings("ignore:.*attention mask")
@pytest.mark.parametrize(("task", "name"), [(TASKS[name].__name__, name) for name in generation.TINY])
def test_text_is_the_same_in_every_pose(task: str, name: str) -> None:
    model, inputs = wrapped(name)
    inputs = prompts(inputs)
    key = input_name(model.predictor)
    x = inputs.pop(key)
    lengths = model.lengths(x, inputs)
    upright = model.generate(**{key: x}, **inputs, **WRITING, return_dict_in_generate=True).sequences
    found = []
    for g in model.group.elements:
        element = g.expand(len(x))
        if key == "pixel_values":
            transformed = model.group.act(x.flatten(0, -4), element).view(x.shape)
        else:
            transformed = model.group.act(x, element, lengths)
        there = model.generate(
            **{key: transformed}, **inputs, **WRITING, return_dict_in_generate=True, output_logits=True
        )
        assert torch.equal(there.sequences, upright)
        found.append(torch.stack(there.logits))
        assert torch.equal(there.canonicalization.element, model.canonicalize(transformed, lengths).element)
        assert torch.equal(found[0], found[-1])
    bare = model.predictor.generate(**{key: transformed}, **inputs, **WRITING)
    assert torch.equal(bare, model.generate(**{key: transformed}, **inputs, **WRITING, canonicalize=False))


def test_the_canonical_input_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    model, inputs = wrapped("LlavaForConditionalGeneration")
    asked: list[Any] = []
    once = model.canonicalize
    monkeypatch.setattr(model, "canonicalize", lambda *args, **how: asked.append(args) or once(*args, **how))
    out = model.generate(**inputs, **WRITING, num_beams=2, num_return_sequences=2, return_dict_in_generate=True)
    assert len(asked) == 1
    assert len(out.sequences) == 2 * len(out.canonicalization.element)


@pytest.mark.parametrize("name", ["BlipForConditionalGeneration", "VisionEncoderDecoderModel"])
def test_images_may_be_given_by_place(name: str) -> None:
    model, inputs = wrapped(name)
    x = inputs["pixel_values"]
    by_place = model.generate(x, **WRITING, return_dict_in_generate=True)
    assert torch.equal(by_place.sequences, model.generate(pixel_values=x, **WRITING))
    assert torch.equal(by_place.canonicalization.element, model.canonicalize(x).element)


def test_text_without_a_image_is_left_to_the_predictor() -> None:
    model, _ = wrapped("LlavaForConditionalGeneration")
    text = torch.tensor([[1, 7, 8, 9]])
    mask = torch.ones_like(text)
    assert torch.equal(
        model.generate(input_ids=text, attention_mask=mask, **WRITING),
        model.predictor.generate(input_ids=text, attention_mask=mask, **WRITING),
    )
    assert torch.equal(model(input_ids=text).logits, model.predictor(input_ids=text).logits)


def test_a_text_is_learnt_from_as_it_is() -> None:
    model, inputs = wrapped("LlavaForConditionalGeneration")
    labels = inputs["input_ids"].masked_fill(inputs["input_ids"] == 3, -100)
    identity = torch.zeros(2, dtype=torch.long)
    losses = [float(answers(model, inputs, identity + g, labels=labels)["loss"]) for g in model.group.elements]
    assert len(set(losses)) == 1
    bare = [
        float(answers(model, inputs, identity + g, labels=labels, canonicalize=False)["loss"])
        for g in model.group.elements
    ]
    assert len(set(bare)) > 1


def test_tiles_and_padding_are_refused() -> None:
    model, inputs = wrapped("Idefics3ForConditionalGeneration")
    x = inputs.pop("pixel_values")
    with pytest.raises(ValueError, match="several images for each text, or tiles of one.*do_image_splitting=False"):
        model.generate(pixel_values=x.repeat(1, 3, 1, 1, 1), **inputs)
    mask = torch.ones(len(x), 1, 64, 64, dtype=torch.bool)
    whole = model(pixel_values=x, pixel_attention_mask=mask, **inputs).logits
    assert torch.equal(whole, model(pixel_values=x, **inputs).logits)
    mask[0, :, 40:] = False
    with pytest.raises(ValueError, match="The images are padded to one size.*Resize them"):
        model.generate(pixel_values=x, pixel_attention_mask=mask, **inputs)
    model, inputs = wrapped("Mistral3ForConditionalGeneration")
    inputs["image_sizes"] = torch.tensor([[64, 64], [64, 48]])
    with pytest.raises(ValueError, match="The images are padded to one size"):
        model(**inputs)


def test_times_are_refused_where_they_move() -> None:
    model, inputs = wrapped("WhisperForConditionalGeneration")
    with pytest.raises(ValueError, match="return_timestamps asks when words were said, and under reverse"):
        model.generate(**prompts(inputs), return_timestamps=True)


def test_settings_of_generation_are_the_predictors(tmp_path: Path) -> None:
    predictor = generation.build("LlavaForConditionalGeneration")
    predictor.generation_config.max_new_tokens = 7
    model = CanonicalizedModel.wrap(predictor, group="d4")
    assert model.can_generate()
    assert model.generation_config is predictor.generation_config
    model.generation_config.min_new_tokens = 7
    model.save_pretrained(tmp_path, full=True)
    loaded = CanonicalizedModel.from_pretrained(tmp_path)
    assert loaded.generation_config.min_new_tokens == loaded.predictor.generation_config.min_new_tokens == 7
    _, inputs = wrapped("LlavaForConditionalGeneration")
    assert loaded.generate(**inputs).shape[1] == inputs["input_ids"].shape[1] + 7
    assert torch.equal(loaded.generate(**inputs), model.generate(**inputs))


def tokenizer() -> PreTrainedTokenizerFast:
    words = ["<pad>", "<s>", "</s>", "<image>", *(f"w{i}" for i in range(4, 64))]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="w4"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", extra_special_tokens=["<image>"]
    )


def test_pipeline_of_images(tmp_path: Path) -> None:
    generation.build("LlavaForConditionalGeneration").save_pretrained(tmp_path / "base")
    size = {"height": 64, "width": 64}
    processor = LlavaProcessor(
        CLIPImageProcessorPil(size=size, crop_size=size),
        tokenizer(),
        patch_size=16,
        vision_feature_select_strategy="default",
        image_token="<image>",
        num_additional_image_tokens=1,
    )
    model = CanonicalizedModel.wrap(tmp_path / "base", group="d4")
    model.save_pretrained(tmp_path / "adapter")
    processor.save_pretrained(tmp_path / "adapter")
    assert isinstance(AutoModelForImageTextToText.from_pretrained(tmp_path / "adapter"), CanonicalizedModel)
    answer = pipeline("image-text-to-text", str(tmp_path / "adapter"))
    assert isinstance(answer.model, CanonicalizedModel)
    photo = Image.fromarray((images(1, 80)[0].sigmoid() * 255).byte().permute(1, 2, 0).numpy())
    said = {
        answer(photo.rotate(angle), text="<image> w7 w8", generate_kwargs=WRITING)[0]["generated_text"]
        for angle in (0, 90, 180, 270)
    }
    assert len(said) == 1
    plain = pipeline("image-text-to-text", model=model.predictor, processor=processor)
    plainly = {
        plain(photo.rotate(angle), text="<image> w7 w8", generate_kwargs=WRITING)[0]["generated_text"]
        for angle in (0, 90, 180, 270)
    }
    assert len(plainly) > 1


def test_pipeline_of_speech(tmp_path: Path) -> None:
    generation.build("WhisperForConditionalGeneration").save_pretrained(tmp_path / "base")
    extractor = WhisperFeatureExtractor(feature_size=16, chunk_length=1, hop_length=250)
    extractor.save_pretrained(tmp_path / "base")
    model = CanonicalizedModel.wrap(tmp_path / "base", group="reverse")
    model.save_pretrained(tmp_path / "adapter")
    extractor.save_pretrained(tmp_path / "adapter")
    tokenizer().save_pretrained(tmp_path / "adapter")
    assert isinstance(AutoModelForSpeechSeq2Seq.from_pretrained(tmp_path / "adapter"), CanonicalizedModel)
    hear = pipeline("automatic-speech-recognition", str(tmp_path / "adapter"))
    assert isinstance(hear.model, CanonicalizedModel)
    assert hear.type == "seq2seq"
    wave = (torch.randn(16_000) * torch.linspace(0, 1, 16_000)).numpy()
    features = extractor(wave, sampling_rate=16_000, return_tensors="pt")["input_features"]
    written = hear(wave, generate_kwargs=WRITING)["text"]
    expected = hear.model.generate(features, **WRITING)
    assert written == hear.tokenizer.decode(expected[0], skip_special_tokens=True)
