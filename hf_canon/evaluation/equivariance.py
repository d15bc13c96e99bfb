"""How far a group, a canonicalizer or a model is from equivariant: one number."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from ..canonicalizers import Canonicalizer
from ..groups import Group
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Move, moved
from .robustness import evaluating


def check_equivariance(thing: Group | Canonicalizer | CanonicalizedModel, x: Tensor | None = None) -> float:
    """The largest violation of equivariance, over the elements that act exactly.

    - A group: the largest difference in a pixel between `act(act(x, a), b)` and `act(x, compose(b, a))`, and between
      `act(act(x, a), inverse(a))` and `x`, over all pairs.
    - A canonicalizer: the largest difference in a logit between `canonicalizer(act(x, g))` and the logits of `x` moved
      by `g`. Untrained or trained, it should be rounding.
    - A model: the largest difference in any field between `model(act(x, g))` and `model(x)`, moved by `g` as its row
      in `hf_canon/outputs` says: for a classifier the logits as they are, for a segmenter its turned maps. For an
      exact group this is 0.0, but for the rounding of boxes: both hand the predictor the same pixels. (One picture of
      two equally likely poses is enough to spoil it.)

    The exact elements are the quarter turns and mirrors among the group's; of `so2`, the four quarter turns. Other
    turns resample the picture and violate every identity by what that loses: the number would say more about the
    picture than about the code. What they cost is a question for `evaluate_robustness`.

    Args:
        thing: what to check. A model is checked in evaluation mode and left in the mode it was in.
        x: pictures `(batch, channels, height, width)`; by default noise of an even and an odd size, or of the size
            that the model was made for. Give your own for a bare canonicalizer that asks a predictor of one size.

    Raises:
        ValueError: `thing` is something else, or the group does not fit the shape of `x`.

    Example:
        >>> from hf_canon import get_group
        >>> check_equivariance(get_group("d4"))
        0.0
    """
    if isinstance(thing, Group):
        pictures = noise((16, 16), (17, 17)) if x is None else [x]
        return largest(group_violation(thing, picture) for picture in pictures)
    if not isinstance(thing, Canonicalizer | CanonicalizedModel):
        raise ValueError(
            f"This is a {type(thing).__name__}, and equivariance is checked on a group, a canonicalizer or a "
            "CanonicalizedModel; give one of them."
        )
    with evaluating(thing), torch.inference_mode():
        if isinstance(thing, Canonicalizer):
            channels = thing.settings.get("channels", 3)
            pictures = noise((48, 48), (49, 49), channels=channels) if x is None else [x]
            device = next((parameter.device for parameter in thing.parameters()), pictures[0].device)
            return largest(canonicalizer_violation(thing, picture.to(device)) for picture in pictures)
        if x is None:
            size = expected_size(thing.predictor.config)
            (x,) = noise(size, channels=thing.canonicalizer.settings.get("channels", 3))
        return largest([model_violation(thing, x.to(thing.device, thing.dtype))])


def largest(violations: Iterable[Tensor]) -> float:
    """The largest of them; NaN if one is, which Python's `max` would hide."""
    return float(torch.stack(list(violations)).max())


def group_violation(group: Group, x: Tensor) -> Tensor:
    """The largest difference in a pixel, over every pair of exact elements."""
    elements = group.exact_elements
    a, b = (grid.flatten() for grid in torch.meshgrid(elements, elements, indexing="ij"))
    found = []
    for picture in x:
        copies = picture.expand(len(a), *picture.shape)
        once = group.act(copies, a)
        composed = group.act(once, b) - group.act(copies, group.compose(b, a))
        undone = group.act(once, group.inverse(a)) - copies
        found += [composed.abs().max(), undone.abs().max()]
    return torch.stack(found).max()


def canonicalizer_violation(canonicalizer: Canonicalizer, x: Tensor) -> Tensor:
    """The largest difference in a logit between those of a moved picture and the moved ones of the picture."""
    group = canonicalizer.group
    logits = canonicalizer(x)
    found = []
    for g in group.exact_elements.to(x.device):
        if group.finite:
            moved = logits[:, group.compose(group.inverse(g), group.elements.to(x.device))]
        else:
            # Bins are spread evenly, and a quarter turn is a whole number of them.
            moved = logits.roll(round(float(g) / (2 * math.pi) * logits.shape[-1]), -1)
        turned = canonicalizer(group.act(x, g.expand(len(x))))
        found.append((turned - moved).abs().max())
    return torch.stack(found).max()


def model_violation(model: CanonicalizedModel, x: Tensor) -> Tensor:
    """The largest difference between the answer for a moved picture and the moved answer for the picture."""
    group = model.group
    answer = fields_of(model(pixel_values=x))
    found = []
    for g in group.exact_elements.to(x.device):
        element = g.expand(len(x))
        move = Move(group, element, (x.shape[-2], x.shape[-1]), model.predictor.config)
        there = tensors(fields_of(model(pixel_values=group.act(x, element))))
        here = tensors(moved(answer, model.rows, move))
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


def noise(*sizes: tuple[int, int], channels: int = 3) -> list[Tensor]:
    """The same two random pictures on every call, in every size."""
    generator = torch.Generator().manual_seed(0)
    return [torch.rand(2, channels, *size, generator=generator) for size in sizes]


def expected_size(config: Any) -> tuple[int, int]:
    """Height and width that a predictor was made for; 64 pixels where it does not say."""
    size = getattr(config, "image_size", None) or 64
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return height, width
