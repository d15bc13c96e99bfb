"""Pipelines whose answers say what was done, and are transformers' own besides."""

import numpy as np
import torch
from images import images
from PIL import Image
from transformers import (
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessorPil,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2ForSequenceClassification,
    pipeline,
)

from hf_canon import CanonicalizedModel, calibrate
from hf_canon.pipelines import CanonicalizedAudioClassificationPipeline, CanonicalizedImageClassificationPipeline

DONE = {"element", "confidence", "action", "abstained"}


def test_images_are_answered_as_by_transformers_and_flagged_where_the_model_abstains(tmp_path):
    torch.manual_seed(0)
    tiny = ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=32)
    processor = ViTImageProcessorPil(size={"height": 32, "width": 32})
    ViTForImageClassification(tiny).save_pretrained(tmp_path / "checkpoint")
    processor.save_pretrained(tmp_path / "checkpoint")
    model = CanonicalizedModel.wrap(tmp_path / "checkpoint", group="d4")
    x = images(60, 32)
    calibrate(model, [{"pixel_values": one} for one in x], alpha=0.2, harm=0.2)
    model.config.decision = "abstain"
    # Half of them are below it.
    model.config.calibration["confidence"] = model.canonicalize(x).confidence.median().item()
    model.save_pretrained(tmp_path / "adapter")
    classify = pipeline("image-classification", str(tmp_path / "adapter"))
    tell = pipeline(
        "image-classification",
        str(tmp_path / "adapter"),
        pipeline_class=CanonicalizedImageClassificationPipeline,
    )
    shown = [Image.fromarray((one * 40 + 128).clamp(0, 255).byte().permute(1, 2, 0).numpy()) for one in x[:12]]
    flags = set()
    for image in shown:
        plain, told = classify(image), tell(image)
        assert [{key: one[key] for key in one if key not in DONE} for one in told] == plain
        with torch.no_grad():
            found = model(**processor(image, return_tensors="pt")).canonicalization
        assert all(one["abstained"] == bool(found.abstained) for one in told)
        assert told[0]["action"] == found.actions[0]
        assert told[0]["element"] == model.group.describe(found.element.item())
        assert abs(told[0]["confidence"] - float(found.confidence)) < 1e-5
        flags.add(told[0]["abstained"])
    assert flags == {True, False}
    for together, told in zip(tell(shown, batch_size=5), map(tell, shown), strict=True):
        assert [one["action"] for one in together] == [one["action"] for one in told]
        assert together[0]["element"] == told[0]["element"]
        assert abs(together[0]["score"] - told[0]["score"]) < 1e-5


def test_clips_too():
    torch.manual_seed(0)
    config = Wav2Vec2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, conv_dim=(8,),
        conv_stride=(5,), conv_kernel=(10,), num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    model = CanonicalizedModel.wrap(Wav2Vec2ForSequenceClassification(config), group="reverse")
    tell = pipeline(
        "audio-classification",
        model,
        feature_extractor=Wav2Vec2FeatureExtractor(),
        pipeline_class=CanonicalizedAudioClassificationPipeline,
    )
    answers = tell(np.random.default_rng(0).standard_normal(1600).astype(np.float32))
    assert {"forwards", "backwards"} >= {one["element"] for one in answers}
    assert all(set(one) == DONE | {"label", "score"} for one in answers)
