"""How far incoming data are from reference data, and how much of that a canonicalizer can remove, and does."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers.utils import logging

from ...groups import Group, Waveforms
from ...modeling_canonicalized import CanonicalizedModel
from ...outputs import Inputs
from ...predictors.untouched import as_found, evaluating
from ...reports.distribution_shift import Distance, ShiftReport
from ...reports.interval import Interval
from ..asking import name_of, shareable, wrapped
from .energy import dealt_out, drawn_again, mean_distances, samples, squared_energy
from .features import LastHidden
from .samples import Drawn, Features, all_of, members_of

RESAMPLES = 1000


def distribution_shift(
    reference: Iterable[Any],
    incoming: Iterable[Any],
    group: str | Group | None = None,
    *,
    model: Any,
    processor: Callable[..., Any] | None = None,
    batch_size: int = 32,
    permutations: int = 1000,
    seed: int = 0,
) -> ShiftReport:
    """Measure how far incoming data are from reference data, for the predictor, and how much of that is pose.

    What is compared is the predictor's last hidden layer, of which its answer is a linear function, by the energy
    distance of Székely and Rizzo (2013). Labels are not looked at. Three distances are measured, each with a
    permutation test:

    - as they came;
    - canonicalized, where the model has a canonicalizer: incoming data as the adapter hands them on, against the
      reference as it came. Were the reference canonicalized too, a canonicalizer that turns everything at random
      would seem to remove the shift;
    - modulo the group: between the distributions in which every pose of an item is equally likely (Birrell et al.,
      arXiv 2202.01129; Chen et al., arXiv 2305.13517). A canonicalizer transforms inputs within their orbits and
      leaves these distributions as they are: a shift between them stays behind every canonicalizer over the group, and
      |G| members of each item show it the earlier.

    What is said rests on the tests. There is no share of the shift that is pose, because no ratio of the first and the
    last distance is one. Averaging over poses shrinks a distance also where the shift is none of pose, such as a tint
    that looks different in every pose; and the last distance is above the first where the predictor notices a shift in
    other poses more than upright. Nor is a shift that is no longer seen modulo the group proved to be pose: whatever
    is smaller than chance is not seen. What the adapter removes is a ratio of distances in one and the same space, and
    has an interval: where a share s of the inputs has transformed, the distance is s times what it is where all have.

    Where a group resamples (turns by 45 degrees), what that does to corners and to sharpness counts as shift.

    Args:
        reference: data as they should be, such as those of the validation: as in `evaluate_robustness`. Of more than
            500 items, 500 are drawn.
        incoming: other data of that kind; no transformed copies of the same items, which the tests would take for
            others.
        group: what counts as pose, by default the model's own; necessary for a checkpoint without adapter. Of groups
            with more than 16 elements, and of continuous ones, 16 are drawn for each item.
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave; or a checkpoint, as in `audit`: a Hub id, a
            folder, or a live model. It is left as it is.
        processor: makes what the predictor reads; by default the one that was saved with it.
        batch_size: how many inputs a pass takes.
        permutations: how often items are dealt out at random: the smallest p-value is 1 / (1 + permutations).
        seed: of every draw.

    Returns:
        The report; `print` shows a table and what it means, `save` writes JSON.

    Raises:
        ValueError: there are fewer than 20 items on a side, or no inputs in them; both sides are the same, or have
            inputs of different shapes; there is no group, it is another one than the model's, or it does not fit;
            there is no processor; or the predictor tells no input from another, or cannot be asked for its last
            hidden layer.
        OSError: there is no such checkpoint.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import distribution_shift
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16, patch_size=4)
        >>> _ = torch.manual_seed(1)
        >>> lit = torch.rand(60, 3, 16, 16) + torch.linspace(2, 0, 16).unsqueeze(-1)  # from above
        >>> upright = [{"pixel_values": image} for image in lit[:30]]
        >>> turned = [{"pixel_values": image.rot90(i % 4, (1, 2))} for i, image in enumerate(lit[30:])]
        >>> report = distribution_shift(upright, turned, "c4", model=ViTForImageClassification(tiny))
        >>> report.plain.seen, report.modulo.seen
        (True, False)
    """
    if incoming is reference:
        raise ValueError(
            "The incoming data are the reference itself, and nothing is away from itself. Give two data sets, such as "
            "that of the validation and what has come in since."
        )
    if permutations < 19:
        raise ValueError(
            f"With {permutations} permutations no p-value can be below 5 %; give 1,000, or 19 at the very least."
        )
    with as_found(model):
        asked = ready_to_ask(model, group, processor)
        rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
        with evaluating(asked), torch.inference_mode():
            old = Drawn(reference, "The reference", asked, processor, batch_size, rng)
            new = Drawn(incoming, "What is incoming", asked, processor, batch_size, rng)
            require_alike(old, new)
            reading = LastHidden(asked, old.first)
            adapted = isinstance(model, CanonicalizedModel)
            poses = members_of(asked.group) + (not all_of(asked.group))  # and as they came
            passes = (old.batches + new.batches) * poses + new.batches * adapted
            # Silent where transformers' own bars are.
            with logging.tqdm(total=passes, unit=" passes", desc="shift", leave=False) as bar:

                def look(inputs: Inputs) -> Tensor:
                    bar.update()
                    return reading(inputs)

                kept, came = (side.read(look, generator, adapted and side is new) for side in (old, new))
    unit = asked.group.kind.unit
    return ShiftReport(
        model=shareable(name_of(asked)),
        group=asked.group.name,
        reference=old.side,
        incoming=new.side,
        unit=unit,
        features=reading.described,
        members=members_of(asked.group),
        permutations=permutations,
        **compared(kept, came, permutations, seed, unit),
    )


def ready_to_ask(model: Any, group: str | Group | None, processor: Any) -> CanonicalizedModel:
    """The model, or the checkpoint behind an untrained canonicalizer that is not asked.

    Raises:
        ValueError: there is no group, or another one than the model's.
    """
    if isinstance(model, CanonicalizedModel):
        name = group if isinstance(group, str | None) else group.name
        if name not in (None, model.group.name):
            raise ValueError(
                f"This model canonicalizes over {model.group.name}, and would be compared modulo {name}. Leave out "
                f"group, or pass model=model.predictor to compare modulo {name} without the adapter."
            )
        return model
    if group is None:
        raise ValueError(
            "A checkpoint without adapter does not say what counts as pose. Give a group, such as group='c4'."
        )
    return wrapped(model, group, processor)


def require_alike(old: Drawn, new: Drawn) -> None:
    """Raise ValueError if the inputs of two data sets differ in shape; waveforms are of any length."""
    one, other = (tuple(side.first.x.shape[1:]) for side in (old, new))
    if one != other and not isinstance(old.model.group.kind, Waveforms):
        raise ValueError(
            f"An input of the reference has the shape {one}, and one that is incoming {other}: they would differ by "
            "that alone. Prepare both with the same processor."
        )


def compared(kept: Features, came: Features, permutations: int, seed: int, unit: str) -> dict[str, Any]:
    """The distances between two samples, and what the adapter removes: fields of a `ShiftReport`.

    Raises:
        ValueError: the features are not finite, do not tell the items of the reference from each other, or are the
            same on both sides.
    """
    first = len(kept.plain)
    plain = between(kept.plain, came.plain)
    unit_length = plain[:first, :first].sum() / (first * (first - 1))
    if not np.isfinite(unit_length) or not np.isfinite(plain).all():
        raise ValueError(
            "The last hidden layer has NaN or infinite numbers in it, and they have no distance. Look "
            "for such numbers in the inputs, or give the model in another dtype."
        )
    if unit_length <= 1e-5 * float(kept.plain.norm(dim=1).mean()):
        raise ValueError(
            f"The last hidden layer is the same for all {unit} of the reference, which therefore have no distance. "
            f"Give a model that tells them apart, and {unit} that differ."
        )
    if (plain[first:, :first].min(1) < 1e-4 * unit_length).all():
        raise ValueError(
            f"All incoming {unit} are in the reference too, and the test takes them for others. Give {unit} that are "
            "on one side only."
        )
    modulo = between(kept.orbit, came.orbit)
    found = [plain / unit_length, modulo / unit_length]
    if came.canonicalized is not None:
        found.append(between(kept.plain, came.canonicalized) / unit_length)
    distances = [measured(one, first, permutations, seed) for one in found]
    report: dict[str, Any] = dict(zip(("plain", "modulo", "canonicalized"), (*distances, None), strict=False))
    if came.canonicalized is not None and distances[0].seen:
        report["removed"] = nearer(found[0], found[2], first, seed)
    return report


def between(one: Tensor, other: Tensor) -> np.ndarray:
    """`(items, items)` of both sides, one after the other."""
    members = torch.cat([one, other])
    return mean_distances(members if members.ndim == 3 else members.unsqueeze(1))


def measured(distances: np.ndarray, first: int, permutations: int, seed: int) -> Distance:
    """The distance between the first items and the others, against that of items dealt out at random."""
    squared = float(squared_energy(distances, *samples(first, len(distances) - first))[0])
    dealt = dealt_out(distances, first, permutations, seed)
    # What is equal but for rounding is equal.
    p_value = (1 + int((dealt >= squared - 1e-12).sum())) / (1 + permutations)
    return Distance(squared, float(max(0.0, np.quantile(dealt, 0.95))) ** 0.5, p_value)


def nearer(before: np.ndarray, after: np.ndarray, first: int, seed: int) -> Interval | None:
    """By how many per cent one distance is below another; None where the larger one might be none."""

    def percent(squares: list[np.ndarray]) -> np.ndarray:
        was, now = (np.sqrt(one.clip(0)) for one in squares)
        return 100 * (1 - now / was)

    several = [before, after]
    drawn = drawn_again(several, first, RESAMPLES, seed)
    if (drawn[0] <= 0).any():
        return None
    (value,) = percent([squared_energy(one, *samples(first, len(one) - first)) for one in several])
    low, high = np.percentile(percent(drawn), [2.5, 97.5])
    return Interval(float(value), float(low), float(high))
