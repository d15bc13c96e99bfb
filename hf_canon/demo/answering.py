"""Both answers to one input, and all that led to them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Canonicalization
from ..selection import Action


@dataclass(frozen=True)
class Answer:
    """What a checkpoint says of an input, and what it says behind its canonicalizer.

    Args:
        before: the probability of each class, by the checkpoint alone.
        after: by the same checkpoint behind the canonicalizer.
        found: what the canonicalizer said, about a batch of one.
        element: what was undone, in words.
        transformed: whether that is anything but the identity.
        likely: the likeliest elements in words with their probability, likeliest first; of a continuous group, bins.
        rule: that decided.
        action: what it did.
        left_open: how many elements are in the conformal set; None without a calibration.
        seconds: taken by each part: the checkpoint alone, finding and undoing, and the checkpoint again, which a rule
            that averages does all at once.
    """

    before: dict[str, float]
    after: dict[str, float]
    found: Canonicalization
    element: str
    transformed: bool
    likely: dict[str, float]
    rule: str
    action: Action
    left_open: int | None
    seconds: dict[str, float]

    @property
    def confidence(self) -> float:
        assert self.found.confidence is not None
        return float(self.found.confidence[0])

    def record(self) -> dict[str, Any]:
        """The same for a program, as JSON."""
        assert self.found.passes is not None
        return {
            "before": top(self.before),
            "after": top(self.after),
            "element": self.element,
            "confidence": round(self.confidence, 4),
            "posterior": {name: round(value, 4) for name, value in self.likely.items()},
            "rule": self.rule,
            "action": self.action.words,
            "abstained": self.action == Action.ABSTAINED,
            "left_open": self.left_open,
            "passes": int(self.found.passes[0]),
            "milliseconds": {name: round(1000 * value, 2) for name, value in self.seconds.items()},
        }


TOP = 5
"""How many classes, and likely elements, are named."""


def top(probabilities: Mapping[str, float]) -> dict[str, float]:
    """The likeliest few, likeliest first."""
    return dict(sorted(probabilities.items(), key=lambda pair: -pair[1])[:TOP])


Inputs = dict[str, Tensor]


@torch.inference_mode()
def ask(
    model: CanonicalizedModel, inputs: Inputs, rule: str | None, canonical: Callable[[Canonicalization], Inputs]
) -> Answer:
    """Ask a checkpoint, and ask it again behind its canonicalizer.

    Args:
        model: a classifier.
        inputs: one, as its processor makes it, `(1, ...)` each.
        rule: that decides, in place of the model's own.
        canonical: from what was found, what the checkpoint is asked about where the rule asks about one pose.

    Raises:
        ValueError: the group does not fit the input, or the model cannot decide by that rule.
    """
    inputs = ready(inputs, model)
    x = inputs[model.checkpoint.input_name]
    chosen = model.rule(rule)
    clock = Clock(model.device)
    alone = model(**inputs, canonicalize=False)
    seconds = {"checkpoint alone": clock()}
    if chosen.averages:
        behind = model(**inputs, decision=rule)
        found = behind.canonicalization
        seconds["finding, undoing and asking"] = clock()
    else:
        found = model.canonicalize(x, model.lengths(x, inputs), decision=rule)
        asked = ready(canonical(found), model)
        seconds["finding and undoing"] = clock()
        behind = model(**asked, canonicalize=False)
        seconds["checkpoint again"] = clock()
    assert found.element is not None and found.action is not None
    return Answer(
        before=classes(model, alone.logits),
        after=classes(model, behind.logits),
        found=found,
        element=model.group.describe(found.element[0].item()),
        transformed=found.element[0].item() != model.group.identity,
        likely=likely(model, found),
        rule=chosen.name,
        action=Action(int(found.action[0])),
        left_open=None if found.size is None else int(found.size[0]),
        seconds=seconds,
    )


def ready(inputs: Mapping[str, Tensor], model: CanonicalizedModel) -> Inputs:
    """On the device of a model, and in its precision."""
    return {
        name: value.to(model.device, model.dtype if value.is_floating_point() else None)
        for name, value in inputs.items()
    }


def classes(model: CanonicalizedModel, logits: Tensor) -> dict[str, float]:
    """Probabilities by name, of a batch of one, as transformers' pipelines have them; of classes with the same name,
    the sum."""
    names: Any = model.config.id2label
    each_alone = model.predictor.config.problem_type == "multi_label_classification" or logits.shape[-1] == 1
    scores = logits[0].float()
    found: dict[str, float] = {}
    for index, value in enumerate((scores.sigmoid() if each_alone else scores.softmax(-1)).tolist()):
        found[str(names[index])] = found.get(str(names[index]), 0.0) + value
    return found


def likely(model: CanonicalizedModel, found: Canonicalization) -> dict[str, float]:
    """The likeliest elements by name."""
    assert found.probabilities is not None
    posterior = found.probabilities[0].float().cpu()
    group = model.group
    elements = group.grid(len(posterior))
    value, index = posterior.topk(min(TOP, len(posterior)))
    return {group.describe(elements[i].item()): float(v) for v, i in zip(value, index, strict=True)}


def best(said: Mapping[str, float]) -> str:
    """The likeliest class."""
    return max(said, key=lambda name: said[name])


class Clock:
    """Seconds since it was made or last asked."""

    def __init__(self, device: torch.device):
        self.device = device
        self.before = time.perf_counter()

    def __call__(self) -> float:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)
        now = time.perf_counter()
        elapsed, self.before = now - self.before, now
        return elapsed
