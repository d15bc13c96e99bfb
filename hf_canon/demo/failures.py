"""Where canonicalization hurts: the examples, gone through one by one."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..evaluation.transforms import UPRIGHT, GroupTransform, Rotation, transformed_by
from ..groups import Group, Waveforms
from ..selection import Action
from .answering import Answer, best
from .audio import answer_audio, rate_of, read_audio
from .checkpoints import Opened
from .examples import Example
from .image import answer_pixels, mode_of, prepared, shown, squared
from .sweep import Track

SHOWN = 24


@dataclass(frozen=True)
class Failure:
    """An answer that was right and became wrong.

    Args:
        example: of which.
        pose: in which it came, in words.
        seen: as the checkpoint saw it; None for an audio clip.
        expected: the right answer, or the untouched checkpoint's to the example as it came.
        before: what the checkpoint says alone.
        after: what it says behind the canonicalizer.
        found: what the canonicalizer undid.
        action: what the decision rule did.
    """

    example: Example[Any]
    pose: str
    seen: Image.Image | None
    expected: str
    before: str
    after: str
    found: str
    action: str


@dataclass
class Tally:
    """Answers to examples in one pose.

    Args:
        asked: how many.
        before: right ones of the checkpoint alone.
        after: right ones behind the canonicalizer.
        hurt: from right to wrong.
        helped: from wrong to right.
        flagged: of the hurt ones, how many the rule abstained about.
    """

    asked: int = 0
    before: int = 0
    after: int = 0
    hurt: int = 0
    helped: int = 0
    flagged: int = 0


@dataclass
class Found:
    """All that was found.

    Args:
        came: examples as they came.
        transformed: each transformed by an element of the group, drawn at random among all but the identity.
        labelled: how many had a label; the others are compared with the untouched answer as they came.
        failures: those as they came first.
        unreadable: examples that no longer can be read, or never could.
    """

    came: Tally = field(default_factory=Tally)
    transformed: Tally = field(default_factory=Tally)
    labelled: int = 0
    failures: list[Failure] = field(default_factory=list)
    unreadable: int = 0


def find_failures(opened: Opened, examples: Sequence[Example[Any]], rule: str | None, track: Track) -> Found:
    """Ask about every example as it came, and transformed by one element of the group, always the same.

    Raises:
        ValueError: an example cannot be read, or the model cannot decide by that rule.
    """
    model, found = opened.model, Found()
    generator = torch.Generator().manual_seed(0)
    later: list[Failure] = []
    model.rule(rule)  # refused before the work
    for index in track(range(len(examples))):
        move = transformed_by(group_of(opened), drawn(model.group, generator))
        try:
            example = examples[index]
            loaded = read(opened, example)
        except (ValueError, OSError, SyntaxError):  # one bad file does not hide what the others say
            found.unreadable += 1
            continue
        expected = example.label if example.label in (model.config.label2id or {}) else None
        found.labelled += expected is not None
        for by, tally, failures in ((UPRIGHT, found.came, found.failures), (move, found.transformed, later)):
            answer, seen = asked(opened, loaded, by, rule)
            before, after = best(answer.before), best(answer.after)
            expected = expected or before  # of the example as it came, which is the first
            count(tally, before == expected, after == expected, answer.action == Action.ABSTAINED)
            if before == expected != after:
                pose = "as it came" if by is UPRIGHT else f"given at {by.name}"
                done = (answer.element, answer.action.words)
                failures.append(Failure(example, pose, seen, expected, before, after, *done))
    found.failures = (found.failures + later)[:SHOWN]
    return found


def drawn(group: Group, generator: torch.Generator) -> int | float:
    """An element at random, other than the identity where there is one."""
    element = group.sample(1, generator).item()
    while element == group.identity and group.order != 1:
        element = group.sample(1, generator).item()
    return element


def group_of(opened: Opened) -> Group:
    """What transforms the examples: the group of a model, on clips as they are heard and on images as they are
    read."""
    group = opened.model.group
    return group.on(Waveforms(rate_of(opened))) if opened.senses == "audio" else group


def read(opened: Opened, example: Example[Any]) -> Tensor:
    """An image as the checkpoint reads it, `(1, channels, height, width)`; an audio clip, `(samples,)`."""
    if opened.senses == "image":
        return prepared(opened, [squared(example.content, mode_of(opened))])
    return torch.from_numpy(read_audio(example.content, rate_of(opened)))


def asked(
    opened: Opened, x: Tensor, move: Rotation | GroupTransform, rule: str | None
) -> tuple[Answer, Image.Image | None]:
    """Both answers to an example that was transformed, and an image as the checkpoint saw it."""
    if opened.senses == "image":
        x = x if move.identity else move(x)
        return answer_pixels(opened, x, rule), shown(opened, x)
    if not move.identity:
        lengths = torch.tensor([len(x)])
        x = move(x[None], lengths)
        (length,) = move.lengths(lengths, x).tolist()  # type: ignore[union-attr]
        x = x[0, :length]
    return answer_audio(opened, x.numpy(), rule)[0], None


def count(tally: Tally, before: bool, after: bool, abstained: bool) -> None:
    tally.asked += 1
    tally.before += before
    tally.after += after
    tally.hurt += before and not after
    tally.helped += after and not before
    tally.flagged += before and not after and abstained
