"""What is checked of every architecture: that its answers transform with the image, and survive saving and
bfloat16."""

import math
import re
import tempfile
from typing import Any

import torch
from architectures import audio, classifiers, dense, generation, masks
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

from hf_canon import CanonicalizedModel
from hf_canon.evaluation.equivariance import fields_of, tensors
from hf_canon.groups import Images, Spectrograms, Waveforms
from hf_canon.outputs import CANNOT, Move, carry_back
from hf_canon.predictors.inputs import input_name
from hf_canon.tasks import TASKS, CanonicalizedForBackbone, CanonicalizedForFeatureExtraction, features
from hf_canon.tasks.audio import ENCODERS
from hf_canon.tasks.generation import SPEECH_SEQ_2_SEQ

MAPPINGS = {
    "image classification": modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "semantic segmentation": modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
    "depth estimation": modeling_auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES,
    "object detection": modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    "instance segmentation": modeling_auto.MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES,
    "universal segmentation": modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
    "keypoint detection": modeling_auto.MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES,
    "zero-shot image classification": modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "mask generation": modeling_auto.MODEL_FOR_MASK_GENERATION_MAPPING_NAMES,
    "image matting": modeling_auto.MODEL_FOR_IMAGE_MATTING_MAPPING_NAMES,
    "image to image": modeling_auto.MODEL_FOR_IMAGE_TO_IMAGE_MAPPING_NAMES,
    "masked image modeling": modeling_auto.MODEL_FOR_MASKED_IMAGE_MODELING_MAPPING_NAMES,
    "keypoint matching": modeling_auto.MODEL_FOR_KEYPOINT_MATCHING_MAPPING_NAMES,
    "image and text to text": modeling_auto.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES,
    "image encoders": features.ENCODERS,
    "image backbones": modeling_auto.MODEL_FOR_BACKBONE_MAPPING_NAMES,
    "speech to text": SPEECH_SEQ_2_SEQ,
    "audio classification": modeling_auto.MODEL_FOR_AUDIO_CLASSIFICATION_MAPPING_NAMES,
    "speech recognition by CTC": modeling_auto.MODEL_FOR_CTC_MAPPING_NAMES,
    "audio frame classification": modeling_auto.MODEL_FOR_AUDIO_FRAME_CLASSIFICATION_MAPPING_NAMES,
    "speaker recognition": modeling_auto.MODEL_FOR_AUDIO_XVECTOR_MAPPING_NAMES,
    "audio feature extraction": ENCODERS,
    "zero-shot audio classification": {"clap": "ClapModel"},
}
"""The auto-mappings of transformers that are covered."""

MODULES = (classifiers, dense, masks, generation, audio)

GROUPS = {Images: "d4", Waveforms: "reverse*polarity", Spectrograms: "reverse"}
"""For each kind of input, the group that is tried."""

OBLONG = {"PPLCNetV4Backbone": "d2"}
"""What makes oblong maps of square images, and can only be turned by half."""

IN_WINDOWS = ("LwDetrViTBackbone", "RfDetrDinov2Backbone")
"""Encoders whose hidden states are of windows, and refused."""

ROUNDING = 1e-6
"""Of boxes, whose places are computed; whatever lies on the grid has to be equal to the bit."""


def architectures(task: str) -> list[str]:
    names = [[name] if isinstance(name, str) else list(name) for name in MAPPINGS[task].values()]
    return [name for name in dict.fromkeys(sum(names, [])) if not name.startswith("Canonicalized")]


def family(name: str) -> str:
    """What the classes of one architecture have in common: its layers, and where its tokens are."""
    return re.split("Model|Backbone|Encoder|For", name)[0]


def module_of(name: str) -> Any:
    return next(module for module in MODULES if name in module.TINY)


def wrapped(name: str) -> tuple[CanonicalizedModel, dict[str, Tensor]]:
    """A tiny model of that architecture behind a canonicalizer, and inputs for it."""
    module = module_of(name)
    predictor: PreTrainedModel = module.build(name)
    inputs = module.example(name)
    reads = input_name(predictor)
    waveforms = reads != "pixel_values" and inputs[reads].ndim == 2
    kind = Images if reads == "pixel_values" else Waveforms if waveforms else Spectrograms
    torch.manual_seed(1)
    return CanonicalizedModel.wrap(predictor, group=OBLONG.get(name, GROUPS[kind])), inputs


def answers(model: CanonicalizedModel, inputs: dict[str, Tensor], element: Tensor, **how: Any) -> dict[str, Any]:
    """The predictor's own fields of the answer to transformed inputs, and to prompts that are transformed with
    them."""
    name = input_name(model.predictor)
    x = inputs[name]
    others = {key: value for key, value in inputs.items() if key != name}
    if name == "pixel_values":
        turned = model.group.act(x.flatten(0, -4), element).view(x.shape)
    else:
        turned = model.group.act(x, element, model.lengths(x, others))
    encodes = isinstance(model, CanonicalizedForFeatureExtraction | CanonicalizedForBackbone)
    if encodes and type(model.predictor).__name__ not in IN_WINDOWS:
        how["output_hidden_states"] = True
    with torch.inference_mode():
        return fields_of(model(**{name: turned}, **model.canonical_arguments(others, element), **how))


def violations(name: str, enough: float = math.inf) -> dict[str, float]:
    """The largest difference between the answer to a turned image and the turned answer, for each field, over every
    element; under `untouched`, that of the checkpoint without a canonicalizer, over elements until it is `enough`."""
    model, inputs = wrapped(name)
    x = inputs[input_name(model.predictor)]
    lengths = model.lengths(x, inputs)
    frames = None if lengths is None else model.frames(x, lengths)
    identity = torch.zeros(len(x), dtype=torch.long)
    upright = answers(model, inputs, identity)
    bare = answers(model, inputs, identity, canonicalize=False)
    found: dict[str, float] = dict.fromkeys(upright, 0.0) | {"untouched": 0.0}
    for g in model.group.elements:
        element = g.expand(len(x))
        move = Move(model.group, element, (x.shape[-2], x.shape[-1]), model.predictor.config, frames)
        there = answers(model, inputs, element)
        for field, expected in carry_back(upright, model.rows, move).items():
            found[field] = max(found[field], difference(expected, there[field]))
        if found["untouched"] > enough:
            continue
        there = answers(model, inputs, element, canonicalize=False)
        for field, expected in carry_back(bare, model.rows, move).items():
            found["untouched"] = max(
                found["untouched"], difference(expected, there[field]) if expected is not None else 0
            )
    return found


def difference(one: Any, other: Any) -> float:
    """The largest difference in a number; infinite where there are not as many of them."""
    pairs = list(zip(tensors(one), tensors(other), strict=True))
    if any(a.shape != b.shape for a, b in pairs):
        return math.inf
    return max((float((a.float() - b.float()).abs().max()) for a, b in pairs if a.numel()), default=0.0)


def survives_saving(model: CanonicalizedModel, inputs: dict[str, Tensor]) -> bool:
    """Whether it gives the same answers when it was saved with its checkpoint and loaded."""
    element = torch.zeros(len(inputs[input_name(model.predictor)]), dtype=torch.long)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, full=True)
        loaded = CanonicalizedModel.from_pretrained(folder)
    # A file's tensors lie where they lay in it, and some kernels round otherwise where memory is not aligned.
    loaded._apply(torch.clone)
    return difference(answers(model, inputs, element), answers(loaded, inputs, element)) == 0.0


def lets_gradients_through(model: CanonicalizedModel, inputs: dict[str, Tensor]) -> bool:
    """Whether the input has a gradient that is finite and not zero."""
    name = input_name(model.predictor)
    x = inputs[name].clone().requires_grad_()
    out = fields_of(model(**{**inputs, name: x}))
    total = sum(value.float().square().sum() for value in tensors(out) if value.requires_grad)
    total.backward()  # type: ignore[union-attr]
    return x.grad is not None and bool(x.grad.isfinite().all() and x.grad.any())


def runs_in_bfloat16(model: CanonicalizedModel, inputs: dict[str, Tensor]) -> bool:
    """Whether it runs in half precision, in which it is left; also true where the checkpoint itself does not."""
    model = model.to(torch.bfloat16)
    half = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in inputs.items()}
    element = torch.zeros(len(inputs[input_name(model.predictor)]), dtype=torch.long)
    try:
        answers(model, half, element, canonicalize=False)
    except RuntimeError:
        return True
    return all(bool(value.isfinite().all()) for value in tensors(answers(model, half, element)))


def coverage(task: str) -> dict[str, str]:
    """For each architecture of a task: "works", or why it cannot."""
    untried = {name: why for module in MODULES for name, why in module.WITHOUT.items()}
    found = {}
    for name in architectures(task):
        if not any(name in module.TINY for module in MODULES):  # transformers has grown since
            untried.setdefault(name, "newer than the tiny models of the tests")
        tried = f"not tried: {untried[name]}" if name in untried else "works"
        found[name] = CANNOT.get(name, tried if name in TASKS else "is not covered")
    return found
