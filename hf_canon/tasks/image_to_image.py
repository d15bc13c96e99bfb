"""Predictors that answer with an image: mattes, larger images, images with their hidden parts filled in."""

from transformers import AutoModelForImageMatting, AutoModelForImageToImage, AutoModelForMaskedImageModeling
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_IMAGE_MATTING_MAPPING_NAMES,
    MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES,
    MODEL_FOR_MASKED_IMAGE_MODELING_MAPPING_NAMES,
)

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import MATTING, RECONSTRUCTION


class CanonicalizedForImageMatting(CanonicalizedModel):
    """A model of what is in front, behind a canonicalizer: its mattes transform with the image.

    The hint that some of them read as a fourth channel is part of the image and transforms with it.
    """

    task = "image-matting"
    auto_class = AutoModelForImageMatting
    architectures = MODEL_FOR_IMAGE_MATTING_MAPPING_NAMES
    rows = MATTING


class CanonicalizedForImageToImage(CanonicalizedModel):
    """A model that makes images larger or better, behind a canonicalizer: its image transforms with the one it was
    given, and so do the colours in it."""

    task = "image-to-image"
    auto_class = AutoModelForImageToImage
    architectures = MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES
    rows = RECONSTRUCTION


class CanonicalizedForMaskedImageModeling(CanonicalizedModel):
    """A model that fills in hidden patches, behind a canonicalizer: the patches transform with the image, and so does
    the filled image. The canonicalizer sees all of it: it decides the pose before anything is hidden."""

    task = "masked-image-modeling"
    auto_class = AutoModelForMaskedImageModeling
    architectures = MODEL_FOR_MASKED_IMAGE_MODELING_MAPPING_NAMES
    rows = RECONSTRUCTION
