"""Pipelines of transformers whose answers say what the decision rule did.

`pipeline(task, adapter)` gives transformers' own answers. These give the same, and beside each label whether to rely
on it: what was found, how sure the canonicalizer was, and whether it abstained.
"""

from typing import Any

from transformers import AudioClassificationPipeline, ImageClassificationPipeline

from .outputs import Canonicalization


class SaysWhatWasDone:
    """Adds `element`, `confidence`, `action` and `abstained` to every answer of a pipeline."""

    model: Any

    def postprocess(self, model_outputs: Any, *args: Any, **kwargs: Any) -> list[dict[str, Any]]:
        answers: list[dict[str, Any]] = super().postprocess(model_outputs, *args, **kwargs)  # type: ignore[misc]
        found: Any = Canonicalization(
            **model_outputs["canonicalization"]
        )  # a pipeline makes a plain ModelOutput of it
        done = {
            "element": self.model.group.describe(found.element[0].item()),
            "confidence": float(found.confidence[0]),
            "action": found.actions[0],
            "abstained": bool(found.abstained[0]),
        }
        return [{**answer, **done} for answer in answers]


class CanonicalizedImageClassificationPipeline(SaysWhatWasDone, ImageClassificationPipeline):
    """transformers' `image-classification`, with what was done to each picture.

    Example:
        >>> from PIL import Image
        >>> from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil, pipeline
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4")
        >>> classify = pipeline("image-classification", model, image_processor=ViTImageProcessorPil(size=16),
        ...     pipeline_class=CanonicalizedImageClassificationPipeline)
        >>> answer = classify(Image.new("RGB", (20, 20)))[0]
        >>> sorted(answer), answer["abstained"]
        (['abstained', 'action', 'confidence', 'element', 'label', 'score'], False)
    """


class CanonicalizedAudioClassificationPipeline(SaysWhatWasDone, AudioClassificationPipeline):
    """transformers' `audio-classification`, with what was done to each sound."""
