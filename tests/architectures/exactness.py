"""What is checked of every architecture: that its answers move with the picture, and survive saving and bfloat16."""

import math
import tempfile
from typing import Any

import torch
from architectures import classifiers, dense
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.auto import modeling_auto

from hf_canon import CanonicalizedModel
from hf_canon.evaluation.equivariance import fields_of, tensors
from hf_canon.outputs import CANNOT, Move, moved
from hf_canon.tasks import TASKS

MAPPINGS = {
    "image classification": modeling_auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    "semantic segmentation": modeling_auto.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING_NAMES,
    "depth estimation": modeling_auto.MODEL_FOR_DEPTH_ESTIMATION_MAPPING_NAMES,
    "object detection": modeling_auto.MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES,
    "instance segmentation": modeling_auto.MODEL_FOR_INSTANCE_SEGMENTATION_MAPPING_NAMES,
    "universal segmentation": modeling_auto.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING_NAMES,
    "keypoint detection": modeling_auto.MODEL_FOR_KEYPOINT_DETECTION_MAPPING_NAMES,
    "zero-shot image classification": modeling_auto.MODEL_FOR_ZERO_SHOT_IMAGE_CLASSIFICATION_MAPPING_NAMES,
}
"""The auto-mappings of transformers that are covered."""

GROUP = "d4"
ROUNDING = 1e-6
"""Of boxes, whose places are computed; whatever lies on the grid has to be equal to the bit."""


def architectures(task: str) -> list[str]:
    names = [[name] if isinstance(name, str) else list(name) for name in MAPPINGS[task].values()]
    return list(dict.fromkeys(sum(names, [])))


def module_of(name: str) -> Any:
    return classifiers if name in classifiers.TINY else dense


def wrapped(name: str) -> tuple[CanonicalizedModel, dict[str, Tensor]]:
    """A tiny model of that architecture behind a canonicalizer, and inputs for it."""
    module = module_of(name)
    predictor: PreTrainedModel = module.build(name)
    torch.manual_seed(1)
    return CanonicalizedModel.wrap(predictor, group=GROUP), module.example(name)


def answers(model: CanonicalizedModel, inputs: dict[str, Tensor], element: Tensor, **how: Any) -> dict[str, Any]:
    """The predictor's own fields of the answer to turned pictures."""
    x = model.group.act(inputs["pixel_values"], element)
    with torch.inference_mode():
        return fields_of(model(**{**inputs, "pixel_values": x}, **how))


def violations(name: str) -> dict[str, float]:
    """The largest difference between the answer to a turned picture and the turned answer, for each field, over every
    element; under `untouched`, that of the checkpoint without a canonicalizer."""
    model, inputs = wrapped(name)
    x = inputs["pixel_values"]
    identity = torch.zeros(len(x), dtype=torch.long)
    upright = answers(model, inputs, identity)
    bare = answers(model, inputs, identity, canonicalize=False)
    found: dict[str, float] = dict.fromkeys(upright, 0.0) | {"untouched": 0.0}
    for g in model.group.elements:
        element = g.expand(len(x))
        move = Move(model.group, element, (x.shape[-2], x.shape[-1]), model.predictor.config)
        there = answers(model, inputs, element)
        for field, expected in moved(upright, model.rows, move).items():
            found[field] = max(found[field], difference(expected, there[field]))
        there = answers(model, inputs, element, canonicalize=False)
        for field, expected in moved(bare, model.rows, move).items():
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


def survives_saving(name: str) -> bool:
    """Whether it gives the same answers when it was saved with its checkpoint and loaded."""
    model, inputs = wrapped(name)
    element = torch.zeros(len(inputs["pixel_values"]), dtype=torch.long)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, full=True)
        loaded = CanonicalizedModel.from_pretrained(folder)
    return difference(answers(model, inputs, element), answers(loaded, inputs, element)) == 0.0


def lets_gradients_through(name: str) -> bool:
    """Whether the picture has a gradient that is not zero."""
    model, inputs = wrapped(name)
    x = inputs["pixel_values"].clone().requires_grad_()
    out = fields_of(model(**{**inputs, "pixel_values": x}))
    total = sum(value.float().square().sum() for value in tensors(out) if value.requires_grad)
    total.backward()  # type: ignore[union-attr]
    return x.grad is not None and bool(x.grad.any())


def runs_in_bfloat16(name: str) -> bool:
    """Whether it runs in half precision; also true where the checkpoint itself does not."""
    model, inputs = wrapped(name)
    model = model.to(torch.bfloat16)
    half = {k: v.to(torch.bfloat16) if v.is_floating_point() else v for k, v in inputs.items()}
    element = torch.zeros(len(inputs["pixel_values"]), dtype=torch.long)
    try:
        answers(model, half, element, canonicalize=False)
    except RuntimeError:
        return True
    return all(bool(value.isfinite().all()) for value in tensors(answers(model, half, element)))


def coverage(task: str) -> dict[str, str]:
    """For each architecture of a task: "works", or why it cannot."""
    untried = classifiers.WITHOUT | dense.WITHOUT
    found = {}
    for name in architectures(task):
        tried = f"not tried: {untried[name]}" if name in untried else "works"
        found[name] = CANNOT.get(name, tried if name in TASKS else "is not covered")
    return found
