"""How far a group, a canonicalizer or a model is from equivariant: one number."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..canonicalizers import Canonicalizer
from ..groups import Group, Images, Waveforms
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Move, carry_back
from ..predictors.untouched import evaluating


def check_equivariance(
    thing: Group | Canonicalizer | CanonicalizedModel, x: Tensor | None = None, **others: Any
) -> float:
    """The largest violation of equivariance, over the elements that act exactly.

    - A group: the largest difference in a pixel between `act(act(x, a), b)` and `act(x, compose(b, a))`, and between
      `act(act(x, a), inverse(a))` and `x`, over all pairs.
    - A canonicalizer: the largest difference in a logit between `canonicalizer(act(x, g))` and the logits of `x`
      transformed by `g`. Untrained or trained, it should be rounding.
    - A model: the largest difference in any field between `model(act(x, g))` and `model(x)`, transformed by `g` as its
      row in `hf_canon/outputs` says: for a classifier the logits as they are, for a segmenter its turned maps. For an
      exact group this is 0.0, but for the rounding of boxes: both hand the predictor the same pixels. (One image of
      two equally likely poses is enough to spoil it.)

    The exact elements are those that move values and do not compute with them: quarter turns and mirrors, orders of
    the channels, thirds of a turn of the hue, reversals. Other turns resample the image and violate every identity
    by what that loses: the number would say more about the image than about the code. What they cost is a question
    for `evaluate_robustness`.

    Args:
        thing: what to check. A model is checked in evaluation mode and left in the mode it was in.
        x: inputs of the group's kind, `(batch, ...)`; by default noise in two sizes, or of the size that the model was
            made for. Give your own for a bare canonicalizer that asks a predictor of one size.
        others: what else the model takes: `input_ids` and the like.

    Raises:
        ValueError: `thing` is something else, its group has no exact element but the identity, or does not fit the
            shape of `x`.

    Example:
        >>> from hf_canon import get_group
        >>> check_equivariance(get_group("d4"))
        0.0
    """
    if not isinstance(thing, Group | Canonicalizer | CanonicalizedModel):
        raise ValueError(
            f"This is a {type(thing).__name__}, and equivariance is checked on a group, a canonicalizer or a "
            "CanonicalizedModel; give one of them."
        )
    group = thing if isinstance(thing, Group) else thing.group
    if len(group.exact_elements) == 1 and group.order != 1:
        raise ValueError(
            f"No element of {group.name} but the identity is exact, and nothing could be violated. "
            "evaluate_robustness(model, dataset) says what its elements cost."
        )
    if isinstance(thing, Group):
        inputs = noise(group) if x is None else [x]
        return largest(group_violation(thing, one) for one in inputs)
    with evaluating(thing), torch.inference_mode():
        channels = (thing if isinstance(thing, Canonicalizer) else thing.canonicalizer).settings.get("channels", 3)
        if isinstance(thing, Canonicalizer):
            inputs = noise(group, channels, 48) if x is None else [x]
            device = next((parameter.device for parameter in thing.parameters()), inputs[0].device)
            return largest(canonicalizer_violation(thing, one.to(device)) for one in inputs)
        if x is None:
            x = noise(group, channels, *thing.checkpoint.expected_size)[0]
        return largest([model_violation(thing, x.to(thing.device, thing.dtype), others)])


def largest(violations: Iterable[Tensor]) -> float:
    """The largest of them; NaN if one is, which Python's `max` would hide."""
    return float(torch.stack(list(violations)).max())


def group_violation(group: Group, x: Tensor) -> Tensor:
    """The largest difference in a pixel, over every pair of exact elements."""
    elements = group.exact_elements
    a, b = (grid.flatten() for grid in torch.meshgrid(elements, elements, indexing="ij"))
    found = []
    for image in x:
        copies = image.expand(len(a), *image.shape)
        once = group.act(copies, a)
        composed = group.act(once, b) - group.act(copies, group.compose(b, a))
        undone = group.act(once, group.inverse(a)) - copies
        found += [composed.abs().max(), undone.abs().max()]
    return torch.stack(found).max()


def canonicalizer_violation(canonicalizer: Canonicalizer, x: Tensor) -> Tensor:
    """The largest difference in a logit between those of a transformed image and the transformed ones of the image."""
    group = canonicalizer.group
    logits = canonicalizer(x)
    found = []
    for g in group.exact_elements.to(x.device):
        if group.finite:
            transformed = logits[:, group.compose(group.inverse(g), group.elements.to(x.device))]
        else:
            # Bins are spread evenly around the circle, and an exact element is a whole number of them.
            transformed = logits.roll(round(float(g) / (2 * math.pi) * logits.shape[-1]), -1)
        turned = canonicalizer(group.act(x, g.expand(len(x))))
        found.append((turned - transformed).abs().max())
    return torch.stack(found).max()


def model_violation(model: CanonicalizedModel, x: Tensor, others: dict[str, Any]) -> Tensor:
    """The largest difference between the answer for a transformed input and the transformed answer for the input."""
    group = model.group
    lengths = model.lengths(x, others)

    def ask(element: Tensor) -> dict[str, Any]:
        return fields_of(model(**model.arguments(group.act(x, element, lengths), others=others)))

    identity = torch.zeros(len(x), dtype=group.exact_elements.dtype, device=x.device)
    answer = ask(identity)
    frames = None if lengths is None else model.frames(x, lengths)
    found = []
    for g in group.exact_elements.to(x.device):
        element = g.expand(len(x))
        move = Move(group, element, (x.shape[-2], x.shape[-1]), model.predictor.config, frames)
        there, here = tensors(ask(element)), tensors(carry_back(answer, model.rows, move))
        found += [(a.float() - b.float()).abs().max() for a, b in zip(there, here, strict=True)]
    return torch.stack(found).max()


def fields_of(output: Any) -> dict[str, Any]:
    """The predictor's own fields of an answer."""
    return {name: value for name, value in output.items() if name != "canonicalization"}


def tensors(value: Any) -> Iterator[Tensor]:
    """Every tensor in an answer, in order."""
    if isinstance(value, Tensor):
        yield value
    elif value is not None:
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from tensors(one)


def noise(group: Group, channels: int = 3, *size: int) -> list[Tensor]:
    """The same random inputs of the group's kind on every call: two images of the size and of one pixel more, or two
    clips.

    Args:
        group: acts on them.
        channels: of images.
        size: sides of images, one or both, 16 by default; or samples of a waveform, or frames of a spectrogram.
    """
    generator = torch.Generator().manual_seed(0)
    kind = group.kind
    if isinstance(kind, Images):
        height, width = (size[0], size[-1]) if size else (16, 16)
        shapes: list[tuple[int, ...]] = [(channels, height, width), (channels, height + 1, width + 1)]
    elif isinstance(kind, Waveforms):
        shapes = [(size[0] if size else 24 * (group.order or 1) * 100,)]
    else:
        frames, bins = size[0] if size else 24 * (group.order or 1), len(kind.frequencies)
        shapes = [(frames, bins) if kind.frequency_axis == -1 else (bins, frames)]
    return [torch.rand(2, *shape, generator=generator) for shape in shapes]
