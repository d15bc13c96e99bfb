"""From the passes of an audit to its findings: losses, poses, label changes, and what to do."""

import shlex
from collections import Counter
from typing import Any

import numpy as np
import torch

from ...canonicalizers import fitting
from ...groups import Group, Images
from ...reports.audit import (
    CHANGES,
    HARMLESS,
    HURTS,
    IDENTITY,
    UNCLEAR,
    Advice,
    AuditedElement,
    AuditedGroup,
    AuditReport,
    LabelChange,
)
from ...reports.robustness import Cost, Interval, Score
from ..asking import name_of
from ..statistics import bootstrap
from ..transforms import UPRIGHT, AnyTransform, members, transformed_by, tried
from .passes import Trial, Undone, as_seen

LITTLE = 2.0
"""Points: a loss that is smaller does no harm, and is not worth a canonicalizer."""

FEW = 10
"""Inputs of a class: with fewer, it is not said what becomes of them."""
MOST = 0.5
"""The share of a class that has to become another one, and of that one that has to come back."""
AS_SURE = 0.9
"""How sure the checkpoint has to be of the class that it sees, relative to inputs that are of that class."""

NEARLY = 0.75
"""How frequent another pose has to be, relative to the identity, for inputs not to count as upright."""
INDIFFERENT = 0.95
"""Where so many answers stay the same, the checkpoint has no opinion on whether an element happened."""


def summarize(trial: Trial, costs: dict[str, Cost], dataset: dict[str, Any] | None) -> AuditReport:
    """From single inputs to the report."""
    upright = trial.judged(UPRIGHT)
    shifts = {group.name: members(group) for group in trial.groups}
    oracle = {group.name: [Undone.of(group, element) for element in tried(group).tolist()] for group in trial.groups}
    each = list(dict.fromkeys(as_seen(transform) for several in shifts.values() for transform in several))
    columns = [upright - trial.judged(transform) for transform in each]
    surest: dict[str, np.ndarray | None] = {}
    for group in trial.groups:
        mean = np.mean([trial.judged(transform) for transform in shifts[group.name]], 0)
        surest[group.name] = in_surest_pose(trial, group, "accuracy" if trial.labelled else "agreement")
        best = [np.mean([trial.judged(one) for one in oracle[group.name]], 0), surest[group.name]]
        columns += [upright - mean, *(value - mean for value in best if value is not None)]
    intervals = iter(bootstrap(np.stack(columns, 1)))
    losses = {transform: next(intervals) for transform in each}
    found = {}
    for group in trial.groups:
        name = group.name
        loss = next(intervals)
        won = [next(intervals) for _ in range(1 if surest[name] is None else 2)]
        poses = poses_of(trial, group)
        spread = is_spread(trial, group)
        # Where inputs come in every pose, what is lost by one more move is not what a canonicalizer would win.
        hidden = spread and len(won) > 1 and won[1].low > LITTLE
        elements = tuple(
            audited(trial, group, element, losses[as_seen(transform)], hidden)
            for element, transform in zip(tried(group).tolist(), shifts[name], strict=True)
        )
        found[name] = AuditedGroup(
            name=name,
            meaning=group.meaning,
            elements=elements,
            mean=trial.score(*shifts[name]),
            loss=loss,
            oracle=trial.score(*oracle[name]),
            surest=surest_score(trial, group),
            won=max(won, key=lambda interval: interval.value),
            poses=poses,
            spread=spread,
            canonicalizer=fitting(group),
            cost=costs[name],
        )
    unit = trial.model.group.kind.unit
    return AuditReport(
        model=name_of(trial.model),
        items=len(upright),
        dataset=dataset,
        labelled=trial.labelled,
        score=trial.score(UPRIGHT),
        groups=found,
        left_out=trial.left_out,
        classes=len(usual_classes(trial)) if trial.classes else None,
        advice=advise(trial, found, unit),
        measure=trial.measure.name,
        unit=unit,
    )


def audited(trial: Trial, group: Group, element: int | float, loss: Interval, hidden: bool) -> AuditedElement:
    transform = transformed_by(group, element)
    changes = label_changes(trial, transform, transformed_by(group, opposite(group, element)))
    return AuditedElement(
        name=transform.name,
        angle=transform.angle,
        mirrored=transform.mirrored,
        score=trial.score(transform),
        loss=loss,
        oracle=trial.score(Undone.of(group, element)),
        verdict=verdict(transform, loss, len(trial.judged(UPRIGHT)), bool(changes), hidden),
        changes=changes,
    )


def verdict(transform: AnyTransform, loss: Interval, items: int, changes: bool, hidden: bool) -> str:
    if transform.identity:
        return IDENTITY
    if changes:
        return CHANGES
    # What was seen in none of n inputs happens to as many as 3 in n, 19 times out of 20.
    if max(loss.high, 300 / items) < LITTLE and not hidden:
        return HARMLESS
    return HURTS if loss.low > 0 else UNCLEAR


def in_surest_pose(trial: Trial, group: Group, what: str) -> np.ndarray | None:
    """How good the answer is in the pose in which the checkpoint is surest, `(items,)`."""
    if not (trial.classes and group.finite):
        return None
    surest = trial.undoing(group, "sure").argmax(1)
    return trial.undoing(group, what).astype(float)[np.arange(len(surest)), surest]


def surest_score(trial: Trial, group: Group) -> Score | None:
    agreement = in_surest_pose(trial, group, "agreement")
    if agreement is None:
        return None
    accuracy = in_surest_pose(trial, group, "accuracy") if trial.labelled else None
    return Score(float(agreement.mean()), None if accuracy is None else float(accuracy.mean()))


# -------------------------------------------------------------------------------------------------------------- poses


def poses_of(trial: Trial, group: Group) -> dict[str, float] | None:
    """For each element, the share of the inputs that seem to have come so."""
    shares = pose_shares(trial, group)
    if shares is None:
        return None
    return {group.describe(element): float(share) for element, share in enumerate(shares.mean(0))}


def pose_shares(trial: Trial, group: Group) -> np.ndarray | None:
    """The pose in which the checkpoint likes each input best, `(items, order)`; one that it likes as well in several
    has a part in each."""
    if not (trial.classes and group.finite):
        return None
    likely = trial.undoing(group, "label" if trial.labelled else "sure")
    best = likely >= likely.max(1, keepdims=True) - 1e-5
    return best / best.sum(1, keepdims=True)


def is_spread(trial: Trial, group: Group) -> bool:
    """Whether another pose than the identity is nearly as frequent as that, and not because the checkpoint does not
    mind."""
    shares = pose_shares(trial, group)
    if shares is None:
        return False
    upright, others = shares[:, :1], shares[:, 1:]
    nearly = others.mean(0) > NEARLY * upright.mean()
    surely = np.array([interval.low > 0 for interval in bootstrap(others - upright / 2)])
    transformed = [transformed_by(group, element) for element in group.elements[1:].tolist()]
    minded = np.array([trial.get(transform, "agreement").mean() < INDIFFERENT for transform in transformed])
    return bool((nearly & surely & minded).any())


# ------------------------------------------------------------------------------------------------------ label changes


def opposite(group: Group, element: int | float) -> int | float:
    """Of the elements that were tried, the inverse."""
    elements = tried(group)
    return elements[group.nearest(group.inverse(torch.tensor(element)), len(elements))].item()


def usual_classes(trial: Trial) -> dict[int, np.ndarray]:
    """For each class of which there are enough: which inputs the checkpoint has right as they came, bool
    `(items,)`."""
    answer, right = trial.get(UPRIGHT, "answer"), trial.judged(UPRIGHT) > 0
    counts = Counter(answer[right].tolist())
    return {one: right & (answer == one) for one, count in sorted(counts.items()) if count >= FEW}


def label_changes(trial: Trial, transform: AnyTransform, back: AnyTransform) -> tuple[LabelChange, ...]:
    """The classes that a shift seems to turn into others, which `back`, its inverse, turns into them again."""
    if not trial.classes or transform.identity:
        return ()
    usual = usual_classes(trial)
    names = getattr(trial.model.predictor.config, "id2label", None) or {}
    after, before = trial.get(transform, "answer"), trial.get(back, "answer")
    sure, sure_back, usually = (np.exp(trial.get(one, "sure")) for one in (transform, back, UPRIGHT))
    found = []
    for one, inputs in usual.items():
        (other, _), *_ = Counter(after[inputs].tolist()).most_common(1)
        if other == one or other not in usual:
            continue
        others = usual[other]
        became, returned = inputs & (after == other), others & (before == one)
        if became.sum() < MOST * inputs.sum() or returned.sum() < MOST * others.sum():
            continue
        now, real = float(np.median(sure[became])), float(np.median(usually[others]))
        now_back, real_back = float(np.median(sure_back[returned])), float(np.median(usually[inputs]))
        if now >= AS_SURE * real and now_back >= AS_SURE * real_back:
            label, becomes = (str(names.get(number, number)) for number in (one, other))
            share = float(became.sum() / inputs.sum())
            found.append(LabelChange(label, becomes, int(inputs.sum()), share, now, real))
    return tuple(found)


# ------------------------------------------------------------------------------------------------------------- advice


def advise(trial: Trial, groups: dict[str, AuditedGroup], unit: str) -> Advice:
    """The group that wins most, if it can win something for sure and no label is in its way."""
    items, bound = len(trial.judged(UPRIGHT)), {group.name: group for group in trial.groups}
    worth = sorted((one for one in groups.values() if one.won.low >= LITTLE), key=lambda one: -one.won.value)
    allowed = [one for one in worth if not one.changes_labels]
    forbidden = [one for one in worth if one.changes_labels]
    caveats = []
    if not allowed:
        chosen, reason, command = None, without_group(groups, forbidden, items, unit), None
    else:
        # Of those that win as much, the one with the fewest elements.
        level = [one for one in allowed if one.won.value > allowed[0].won.value - LITTLE]
        best = min(level, key=lambda one: bound[one.name].order or float("inf"))
        chosen, reason, command = best.name, with_group(best, unit), next_command(trial, best.name, best.spread)
        planar = bound[chosen].planar is not None
        others = [one for one in allowed if one is not best and not (planar and bound[one.name].planar is not None)]
        if others:
            each = ", ".join(f"{one.name} {one.won.value:.1f}" for one in others)
            caveats.append(f"Worth it too, where that happens to your {unit} (points to win back at best): {each}.")
    if forbidden:
        each = ", ".join(f"{one.name} {one.won.value:.1f}" for one in forbidden)
        caveats.append(
            f"Not what changes labels, {named_changes(forbidden)}: no canonicalizer can keep them. If a person finds "
            f"that so, it is for data without these classes only (points to win back at best): {each}."
        )
    candidates = [groups[chosen]] if chosen else worth
    for one in [one for one in candidates if one.spread][:1]:
        assert one.poses is not None
        (upright, usual), *others_too = one.poses.items()
        name, share = max(others_too, key=lambda pose: pose[1])
        less = "Upright ones would lose more than the table says, and a" if trial.labelled else "A"
        caveats.append(
            f"These {unit} do not seem to come upright: {100 * usual:.0f} % {upright}, {100 * share:.0f} % "
            f"{name}. {less} canonicalizer that takes them to be upright learns wrong poses: train on upright ones, "
            'or with the prior "predictor", which asks the checkpoint.'
        )
    if items < 300 / LITTLE:
        caveats.append(f"{items} {unit} are few: nothing can be called harmless with fewer than {300 / LITTLE:.0f}.")
    return Advice(chosen, reason, command, tuple(caveats))


def with_group(group: AuditedGroup, unit: str) -> str:
    worst = group.worst
    lost = f"It costs the checkpoint {group.loss.value:.1f} points on average, {worst.loss.value:.1f} at worst "
    ratio = group.cost.latency_ratio
    time = f"for {ratio:.2f} x the time" if ratio >= 1.05 else "for less time than a few passes can tell"
    return (
        f"{group.name} ({group.meaning}), if that can happen to your {unit}. {lost}({worst.name}); "
        f"{group.won.value:.1f} can be won back at best [{group.won.low:.1f}, {group.won.high:.1f}], {time}."
    )


def without_group(groups: dict[str, AuditedGroup], forbidden: list[AuditedGroup], items: int, unit: str) -> str:
    if forbidden:
        return f"no group: those that win back {LITTLE:.0f} points or more change labels."
    best = max(groups.values(), key=lambda one: one.won.value)
    if best.won.high < LITTLE:
        return f"no group: none can win back {LITTLE:.0f} points. The checkpoint does not mind, or cannot be helped."
    return (
        f"no group: with {items} {unit}, none is sure to win back {LITTLE:.0f} points; {best.name} may ({best.won})."
    )


def named_changes(groups: list[AuditedGroup]) -> str:
    """Which classes become which, and under what."""
    found: dict[str, list[str]] = {}
    for group in groups:
        for element in group.elements:
            for change in element.changes:
                pairs = found.setdefault(element.name, [])
                pair = f"{change.label} -> {change.becomes}"
                pairs += [] if pair in pairs else [pair]
    return "; ".join(f"{', '.join(pairs)} under {name}" for name, pairs in found.items())


def next_command(trial: Trial, group: str, spread: bool) -> str:
    known = trial.model.config.base_name_or_path is not None
    checkpoint = name_of(trial.model) if known else "CHECKPOINT"
    if isinstance(trial.model.group.kind, Images):
        prior = " --prior predictor" if spread else ""
        return f"hf-canon train {shlex.quote(checkpoint)} --data DATA --group {shlex.quote(group)}{prior}"
    return f"model = CanonicalizedModel.wrap({checkpoint!r}, group={group!r})  # for CanonicalizationTrainer"
