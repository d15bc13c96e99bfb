"""From held-back data to a temperature and two thresholds, and what they promise.

The promises are those of split conformal prediction and of conformal risk control (Angelopoulos and Bates, arXiv
2107.07511; Angelopoulos et al., arXiv 2208.02814): they need no assumption about the canonicalizer or the predictor,
and one about the data, that those to come are like those of the calibration. They hold on average over calibration
sets. Where the group is exact the posterior of a transformed input is that of the input, transformed, and with it the
promise."""

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging

from ..data.provenance import describe_dataset
from ..evaluation.metrics import measure_for
from ..evaluation.passes import Passes, transformed
from ..evaluation.transforms import UPRIGHT, transformed_by
from ..groups import Group
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Inputs
from ..predictors.fingerprint import fingerprint
from ..reports.robustness import NOTABLE
from ..selection import RULES, Calibration, Ranking, rank
from ..selection.conformal import set_size
from ..selection.thresholds import (
    coverage_threshold,
    fit_temperature,
    harm_threshold,
    items_for_coverage,
    items_for_harm,
    smallest_share,
)
from .monitor import histograms, likeliest

logger = logging.get_logger(__name__)

FITTED = 4
"""One in so many inputs is for the temperature, and not for the thresholds, which have to be found on others."""


def calibrate(
    model: CanonicalizedModel,
    dataset: Iterable[Any],
    alpha: float = 0.1,
    harm: float | None = 0.05,
    *,
    processor: Callable[..., Any] | None = None,
    batch_size: int = 32,
    label_column: str | None = None,
    seed: int = 0,
) -> Calibration:
    """Find out when a model may act, on data that nothing was trained on and that come as they should be.

    Of every four inputs one fits the temperature of the posterior. The others, each transformed by a random element,
    give the threshold of the conformal set: it holds the element that happened with probability 1 - alpha at least.
    The same inputs as they came give the threshold of `identity` and `abstain`: the probability that a right answer
    becomes a wrong one there is at most `harm`. Without labels every answer that changes counts as one that became
    wrong. Of answers between right and wrong, such as maps, those count that lose more than 10 points.

    The record is stored in `model.config.calibration`, and saved with the adapter; training drops it again. The model
    goes on deciding as before: ask for a rule by `model(..., decision="conformal")`, or for good by
    `model.config.decision = "conformal"`.

    Args:
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave, its canonicalizer trained.
        dataset: as in `evaluate_robustness`.
        alpha: how often the set may miss the element, between 0 and 1.
        harm: the bound, between 0 and 1; None to calibrate coverage alone.
        processor: makes what the predictor reads from images or clips.
        batch_size: how many inputs a pass takes, where `dataset` gives single ones.
        label_column: where the labels are, if not in `label` or `labels`.
        seed: draws the elements, and the inputs for the temperature.

    Returns:
        The record; `print` shows what it promises.

    Raises:
        ValueError: alpha or harm are no probabilities, there are too few inputs for them (the sentence says how many
            it takes), the answers of this task have no score and so no bound, or the data cannot be read, as in
            `evaluate_robustness`.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4")
        >>> items = [{"pixel_values": torch.rand(3, 16, 16), "label": i % 2} for i in range(40)]
        >>> calibrate(model, items, alpha=0.2, harm=0.1).items
        30
        >>> int(model(pixel_values=torch.rand(1, 3, 16, 16), decision="conformal").canonicalization.size) >= 1
        True
    """
    require_bounds(alpha, harm)
    if harm is not None:
        require_scores(model)
    measured = measure(model, dataset, harm is not None, processor, batch_size, label_column, seed)
    found = thresholds(measured, alpha, harm, seed)
    model.config.calibration = found.to_dict()
    if harm is None and RULES[model.config.decision].needs == "harm":
        logger.warning(
            f"Nothing bounds the harm any more, and {model.config.decision!r} goes by that: back to 'argmax'."
        )
        model.config.decision = "argmax"
    return found


def require_scores(model: CanonicalizedModel) -> None:
    """Raise ValueError if nobody can say which answers of a model are spoiled."""
    try:
        measure_for(model)
    except ValueError as error:
        raise ValueError(
            f"Answers of a model for {model.task} have no score here, so nobody can say which of them "
            "canonicalization spoils. Calibrate the coverage alone, with harm=None (--harm none in a shell)."
        ) from error


@dataclass(frozen=True)
class Measured:
    """What is known of the inputs of a calibration.

    Args:
        model: that was asked.
        transformed: `(n, |G|)`, what the canonicalizer said of the inputs, each transformed by a random element.
        element: `(n,)`, that element.
        upright: `(n, |G|)`, what it said of them as they came.
        spoiled: bool `(n,)`, whether undoing the likeliest element spoils the answer to the input as it came; None if
            that was not asked.
        labelled: whether there were labels.
        data: what is known of where they came from.
    """

    model: CanonicalizedModel
    transformed: Tensor
    element: Tensor
    upright: Tensor
    spoiled: Tensor | None
    labelled: bool
    data: dict[str, Any]

    def __len__(self) -> int:
        return len(self.element)

    def __getitem__(self, index: Tensor) -> "Measured":
        """Some of them."""
        return replace(
            self,
            transformed=self.transformed[index],
            element=self.element[index],
            upright=self.upright[index],
            spoiled=None if self.spoiled is None else self.spoiled[index],
        )

    def ranked(self, logits: Tensor, temperature: float) -> Ranking:
        element = self.model.canonicalizer.element(logits)
        return rank((logits / temperature).softmax(-1), self.model.group, element)


def measure(
    model: CanonicalizedModel,
    dataset: Iterable[Any],
    answers: bool = True,
    processor: Callable[..., Any] | None = None,
    batch_size: int = 32,
    label_column: str | None = None,
    seed: int = 0,
) -> Measured:
    """Ask a model about the inputs of a calibration; with `answers`, the predictor too. Others as in `calibrate`."""
    group = model.group
    judge = measure_for(model) if answers else None
    passes = Passes(model, judge, dataset, processor, batch_size, label_column)
    digest = hashlib.sha256()
    drawn = torch.Generator().manual_seed(seed)
    transformed: list[Tensor] = []
    upright: list[Tensor] = []
    true: list[Tensor] = []
    spoiled: list[Tensor] = []
    labelled = False
    with passes.run("calibrate") as (batches, bar):
        for poses in batches:
            asked = poses.inputs
            group.check_shape(asked.x.shape)
            digest.update(asked.x.float().cpu().numpy().tobytes() + repr(poses.labels).encode())
            labelled = poses.labels is not None
            element = group.sample(len(asked), drawn)
            transformed.append(transformed_logits(model, asked, element).cpu())
            true.append(element)
            if judge is None:
                upright.append(logits_of(model, asked).cpu())
            else:
                output = poses.canonicalized(asked, decision="argmax")
                upright.append(output.canonicalization.logits.cpu())
                was, now = (
                    poses.judged(answer, UPRIGHT, poses.upright) for answer in (poses.upright, judge.read(output))
                )
                what = "accuracy" if labelled else "agreement"
                notable = NOTABLE if judge.graded else 0.0
                spoiled.append(was[what].cpu().double() - now[what].cpu().double() > notable + 1e-9)
            bar.update()
    return Measured(
        model=model,
        transformed=torch.cat(transformed).clone(),
        element=torch.cat(true).clone(),
        upright=torch.cat(upright).clone(),
        spoiled=torch.cat(spoiled).clone() if spoiled else None,
        labelled=labelled,
        data={**describe_dataset(dataset), "fingerprint": digest.hexdigest()[:16]},
    )


@torch.no_grad()
def thresholds(measured: Measured, alpha: float, harm: float | None, seed: int = 0) -> Calibration:
    """The record that follows from what was measured. Arguments and errors as in `calibrate`."""
    needed = require_bounds(alpha, harm)
    count = len(measured)
    if count - count // FITTED < needed:
        raise too_few(count, needed, alpha, harm)
    group = measured.model.group
    order = torch.randperm(count, generator=torch.Generator().manual_seed(seed))
    fit, hold = measured[order[: count // FITTED]], measured[order[count // FITTED :]]
    bins = measured.transformed.shape[1]
    temperature = fit_temperature(fit.transformed, near(group, fit.element, bins)) if len(fit) else 1.0

    ranking = hold.ranked(hold.transformed, temperature)
    happened = ranking.place.gather(1, group.nearest(hold.element, bins).unsqueeze(1))
    came = hold.ranked(hold.upright, temperature)
    sure = came.confidence
    confidence = None if harm is None or hold.spoiled is None else harm_threshold(hold.spoiled, sure, harm)
    found = Calibration(
        temperature=temperature,
        alpha=alpha,
        threshold=coverage_threshold(ranking.probability.gather(1, happened).squeeze(1), alpha),
        harm=harm,
        confidence=confidence,
        items=len(hold),
        fitted=len(fit),
        labelled=measured.labelled,
        harm_of_argmax=None if hold.spoiled is None else float(hold.spoiled.double().mean()),
        acts_on=None if confidence is None else float((sure > confidence).double().mean()),
        canonicalizer=fingerprint(measured.model.canonicalizer),
        predictor=fingerprint(measured.model.predictor, with_added=True),
        data=measured.data,
        seen={},
    )
    found.seen.update(histograms(sure, set_size(came, found), likeliest(hold.upright, group), group))
    return found


def require_bounds(alpha: float, harm: float | None) -> int:
    """How many inputs the bounds take.

    Raises:
        ValueError: one of them is none.
    """
    examples = {"alpha": "0.1, for sets that hold the pose of 9 in 10 inputs", "harm": "0.02, for 2 answers in 100"}
    for name, share in {"alpha": alpha, "harm": harm}.items():
        if share is not None and not 0 < share < 1:
            raise ValueError(
                f"{name}={share!r} is not a share of inputs that may go wrong, which lies between 0 and 1 and is "
                f"neither. Give {name}={examples[name]}."
            )
    return max(items_for_coverage(alpha), 1 if harm is None else items_for_harm(harm))


def too_few(count: int, needed: int, alpha: float, harm: float | None) -> ValueError:
    total = needed
    while total - total // FITTED < needed:
        total += 1
    bounds = f"alpha={alpha:g}" if harm is None else f"alpha={alpha:g} and harm={harm:g}"
    return ValueError(
        f"{bounds} take {total:,} inputs at least, a quarter of them for the temperature, and there are {count:,}. "
        f"Give more, or bounds of {smallest_share(count - count // FITTED):g} and above."
    )


def logits_of(model: CanonicalizedModel, inputs: Inputs) -> Tensor:
    """What the canonicalizer says, `(batch, |G|)`."""
    with torch.autocast(inputs.x.device.type, enabled=False):
        return model.canonicalizer(inputs.x, inputs.lengths).float()


def transformed_logits(model: CanonicalizedModel, inputs: Inputs, element: Tensor) -> Tensor:
    """The same for inputs that were transformed by an element each, in the way in which evaluations move them."""
    found: dict[int, Tensor] = {}
    for one in element.unique():
        rows = (element == one).nonzero().flatten()
        shift = transformed_by(model.group, one.item())
        found |= dict(zip(rows.tolist(), logits_of(model, transformed(inputs[rows], shift)), strict=True))
    return torch.stack([found[i] for i in range(len(found))])


def near(group: Group, element: Tensor, bins: int) -> Tensor:
    """Which elements are the true one, or of a continuous group bins within its tolerance; bool `(n, |G|)`."""
    return group.distance(group.grid(bins), element.unsqueeze(1)) <= group.tolerance
