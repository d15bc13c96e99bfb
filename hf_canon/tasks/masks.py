"""Predictors that cut out what they are pointed at: Segment Anything and its relatives."""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForMaskGeneration
from transformers.models.auto.modeling_auto import MODEL_FOR_MASK_GENERATION_MAPPING_NAMES
from transformers.utils import ModelOutput

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import MASK_GENERATION, Canonicalization, Inputs, with_canonicalization


class CanonicalizedForMaskGeneration(CanonicalizedModel):
    """A model that is pointed at something behind a canonicalizer: it is pointed at the same thing in the canonical
    pose, and its masks move back.

    `input_points`, `input_boxes` and `input_masks` are for the image as it came, in pixels of what the processor
    made of it, and `post_process_masks` gives masks of that image. Quarter turns and mirrors move pixels of prompts
    without rounding.

    Some processors make an image square by a border at its right or below. The border is turned with the image,
    and so are the masks, from which `post_process_masks` cuts it off again where it was: answers are in the right
    place. But a checkpoint may then see the border at a side where it never was in training. Resize images to a
    square, or crop them, if that matters.
    """

    task = "mask-generation"
    auto_class = AutoModelForMaskGeneration
    architectures = MODEL_FOR_MASK_GENERATION_MAPPING_NAMES
    rows = MASK_GENERATION

    def forward(  # type: ignore[override]
        self,
        pixel_values: Tensor | None = None,
        *,
        image_embeddings: Any = None,
        canonicalize: bool = True,
        **kwargs: Any,
    ) -> ModelOutput:
        """The masks of what the prompts point at.

        Args:
            pixel_values: `(batch, channels, height, width)`.
            image_embeddings: what `get_image_embeddings` gave, in place of `pixel_values`.
            canonicalize: False gives the predictor's own answer for the input as it is.
            kwargs: prompts, and whatever else the predictor takes; and the arguments of `CanonicalizedModel.forward`.

        Raises:
            ValueError: the embeddings are not as `get_image_embeddings` gave them, and their pose is not known.
        """
        if image_embeddings is None:
            return super().forward(pixel_values, canonicalize=canonicalize, **kwargs)
        if not canonicalize:
            return self.predictor(image_embeddings=image_embeddings, **kwargs)
        found = pose_of(image_embeddings)
        assert found.canonical is not None

        def predict(pixel_values: Tensor, **prompts: Any) -> ModelOutput:
            return self.predictor(image_embeddings=image_embeddings, **prompts)

        answer = self.ask(Inputs(found.canonical, others=kwargs), found.element, found.canonical, predict)
        return with_canonicalization(answer, found)

    @torch.no_grad()
    def get_image_embeddings(self, pixel_values: Tensor, **kwargs: Any) -> Any:
        """What the predictor sees in images, to be asked about with several prompts.

        Returns:
            The predictor's own embeddings of the canonical images, in tensors that know their pose.
        """
        canonicalization = self.canonicalize(pixel_values)
        assert canonicalization.canonical is not None
        predictor: Any = self.predictor
        embeddings = predictor.get_image_embeddings(canonicalization.canonical.to(self.dtype), **kwargs)
        first_of(embeddings).canonicalization = canonicalization
        return embeddings


def first_of(embeddings: Any) -> Any:
    return embeddings if isinstance(embeddings, Tensor) else embeddings[0]


def pose_of(embeddings: Any) -> Canonicalization:
    """The pose that embeddings are of: they carry it, as no model remembers anything."""
    canonicalization = getattr(first_of(embeddings), "canonicalization", None)
    if canonicalization is None:
        raise ValueError(
            "The pose of these image_embeddings is not known. Pass the very ones that this model's "
            "get_image_embeddings(pixel_values) returned, no slice or copy of them; or pass pixel_values."
        )
    return canonicalization
