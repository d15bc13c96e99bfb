"""Pipelines of transformers whose answers say what the decision rule did.

`pipeline(task, adapter)` gives transformers' own answers. These give the same, and beside each label whether to rely
on it: what was found, how sure the canonicalizer was, and whether it abstained.
"""

from typing import Any

from transformers import AudioClassificationPipeline, ImageClassificationPipeline, Pipeline
from transformers.utils import ModelOutput

from .selection import Action


class SaysWhatWasDone(Pipeline):
    """Adds `element`, `confidence`, `action` and `abstained` to every answer of a pipeline."""

    def _forward(self, input_tensors: Any, **forward_parameters: Any) -> ModelOutput:
        output: Any = super()._forward(input_tensors, **forward_parameters)  # type: ignore[safe-super]
        found = output["canonicalization"]
        # Side by side with the logits: a pipeline takes batches apart one field deep.
        return ModelOutput(
            logits=output["logits"], element=found.element, confidence=found.confidence, action=found.action
        )

    def postprocess(self, model_outputs: Any, **postprocess_parameters: Any) -> list[dict[str, Any]]:
        answers: Any = super().postprocess(model_outputs, **postprocess_parameters)  # type: ignore[safe-super]
        model: Any = self.model
        action = Action(int(model_outputs["action"][0]))
        done = {
            "element": model.group.describe(model_outputs["element"][0].item()),
            "confidence": float(model_outputs["confidence"][0]),
            "action": action.words,
            "abstained": action == Action.ABSTAINED,
        }
        return [{**answer, **done} for answer in answers]


class CanonicalizedImageClassificationPipeline(SaysWhatWasDone, ImageClassificationPipeline):  # type: ignore[misc]
    """transformers' `image-classification`, with what was done to each image.

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


class CanonicalizedAudioClassificationPipeline(SaysWhatWasDone, AudioClassificationPipeline):  # type: ignore[misc]
    """transformers' `audio-classification`, with what was done to each clip."""
