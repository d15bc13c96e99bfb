"""Predictors that write: what is in an image, an answer about it, or what is said in an audio clip."""

from inspect import Parameter, signature
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoModelForSpeechSeq2Seq, GenerationConfig, GenerationMixin
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES,
)
from transformers.utils import ModelOutput

from ..configuration_canonicalized import CanonicalizedConfig
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import TEXT, Canonicalization, Inputs, with_canonicalization
from ..predictors.inputs import INPUT_NAMES
from .audio import CanonicalizedAudioModel


class CanonicalizedGenerationModel(CanonicalizedModel):
    """What models that write share: `generate`, and a forward pass that may be without anything to look at."""

    rows = TEXT
    adjust_generation_fn = GenerationMixin.adjust_generation_fn

    @classmethod
    def can_generate(cls) -> bool:
        return True

    @property
    def generation_config(self) -> GenerationConfig:
        """The predictor's own."""
        return self.predictor.generation_config

    @generation_config.setter
    def generation_config(self, settings: GenerationConfig) -> None:
        if "predictor" in self._modules:  # and not while transformers makes one of our own configuration
            self.predictor.generation_config = settings

    def forward(  # type: ignore[override]
        self, pixel_values: Tensor | None = None, labels: Any = None, **kwargs: Any
    ) -> ModelOutput:
        """The predictor's answer for the canonical input; its own, where there is nothing but text.

        Raises:
            ValueError: as `CanonicalizedModel.forward`.
        """
        if pixel_values is None and not any(kwargs.get(name) is not None for name in INPUT_NAMES):
            return self.predictor(**kwargs, **({} if labels is None else {"labels": labels}))
        return super().forward(pixel_values, labels=labels, **kwargs)

    @torch.no_grad()
    def generate(self, *args: Any, canonicalize: bool = True, decision: str | None = None, **kwargs: Any) -> Any:
        """What the predictor writes about the canonical input, which is found once, before the first word.

        Words that say where something is, or when (`<loc_0123>`, "on the left", time stamps), are about the canonical
        input. `return_dict_in_generate=True` tells by `canonicalization.element` how that one lies.

        Args:
            args: of the predictor's `generate`.
            canonicalize: False gives the predictor's own answer for the input as it is.
            decision: as in `forward`.
            kwargs: of the predictor's `generate`.

        Returns:
            What the predictor returns. Of a `ModelOutput`, what was found for places in the image is left out, and
            `canonicalization` is added.

        Raises:
            ValueError: the group does not fit the input, or an argument is about the input as it is and cannot be
                transformed.
        """
        predictor: Any = self.predictor
        arguments = self._named(args, kwargs)
        name = self.checkpoint.input_name
        x = arguments.pop(name, None)
        if x is None or not canonicalize:
            return predictor.generate(**arguments, **({} if x is None else {name: x}))
        inputs = Inputs(x, self.lengths(x, arguments), arguments)
        found = self.canonicalize(x, inputs.lengths, decision=decision)
        output = self.ask(inputs, found.element, found.canonical, predictor.generate)
        return with_canonicalization(output, found) if isinstance(output, ModelOutput) else output

    def _named(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """The arguments of the predictor's `generate` by name, and its main input by the name that it has there."""
        predictor: Any = self.predictor
        own = signature(predictor.generate)
        named = own.bind_partial(*args, **kwargs).arguments
        for parameter in own.parameters.values():
            if parameter.kind is Parameter.VAR_KEYWORD:
                named |= named.pop(parameter.name, {})
        main = predictor.main_input_name
        if named.get("inputs") is not None:
            named[self.checkpoint.input_name if main == "inputs" else main] = named.pop("inputs")
        return named


class CanonicalizedForImageTextToText(CanonicalizedGenerationModel):
    """A model that writes about images behind a canonicalizer: what there is to say does not transform with them.

    Images are whole: what is cut into tiles or patches by a processor cannot be turned any more, as each would turn
    by itself.
    """

    task = "image-text-to-text"
    auto_class = AutoModelForImageTextToText
    architectures = MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    def canonicalize(
        self,
        x: Tensor,
        lengths: Tensor | None = None,
        crop: int | tuple[int, int] | None = None,
        decision: str | None = None,
    ) -> Canonicalization:
        """As `CanonicalizedModel.canonicalize`; `x` may have dimensions of size 1 for the one image of a text.

        Raises:
            ValueError: also where there are several images, or tiles of one.
        """
        if x.ndim <= 4:
            return super().canonicalize(x, lengths, crop, decision)
        if any(size != 1 for size in x.shape[1:-3]):
            raise ValueError(
                f"These pixel_values {tuple(x.shape)} are several images for each text, or tiles of one, each of "
                "which would turn by itself. Give one image that is not cut into tiles "
                "(processor(..., do_image_splitting=False) for those that know it), or pass canonicalize=False."
            )
        found = super().canonicalize(x.flatten(0, -4), lengths, crop, decision)
        assert found.canonical is not None
        found.canonical = found.canonical.view(*x.shape[:-3], *found.canonical.shape[-3:])
        return found

    def canonical_arguments(self, arguments: dict[str, Any], undo: Tensor) -> dict[str, Any]:
        arguments = super().canonical_arguments(arguments, undo)
        mask, sizes = arguments.get("pixel_attention_mask"), arguments.get("image_sizes")
        padded = mask is not None and not bool(mask.all())
        if padded or (isinstance(sizes, Tensor) and bool((sizes != sizes[:1]).any())):
            raise ValueError(
                "The images are padded to one size, and padding does not transform with an image: a turned one has it "
                "elsewhere, and a tinted one in the same colour. Resize them to one size before the processor sees "
                "them."
            )
        return arguments


SPEECH_SEQ_2_SEQ: dict[str, Any] = dict(MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES)
"""Those of transformers, before ours is among them."""


class CanonicalizedForSpeechSeq2Seq(CanonicalizedGenerationModel, CanonicalizedAudioModel):
    """A model that writes down speech behind a canonicalizer: what is said does not transform with the audio."""

    task = "automatic-speech-recognition"
    auto_class = AutoModelForSpeechSeq2Seq
    architectures = SPEECH_SEQ_2_SEQ

    def frames(self, x: Tensor, lengths: Tensor) -> None:
        """None: a text has no frames."""

    @torch.no_grad()
    def generate(self, *args: Any, canonicalize: bool = True, **kwargs: Any) -> Any:
        """As `CanonicalizedWriter.generate`.

        Raises:
            ValueError: also where times are asked for, and the group transforms them.
        """
        asked = ("return_timestamps", "return_token_timestamps")
        timed = [name for name in asked if kwargs.get(name, getattr(self.generation_config, name, False))]
        if canonicalize and timed and self.group.temporal is not None:
            raise ValueError(
                f"{', '.join(timed)} asks when words were said, and under {self.group.name} the predictor reads them "
                "at other times than they have in the audio as it came. Leave it out, or pass canonicalize=False."
            )
        return super().generate(*args, canonicalize=canonicalize, **kwargs)


# Pipelines look here for the name of a model's class, to know whether it writes or names each frame.
MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES[CanonicalizedConfig.model_type] = CanonicalizedForSpeechSeq2Seq.__name__
