"""How a model answers when its inputs are transformed: before and after canonicalization, beside what else one could
do."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..data.provenance import describe_dataset
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Inputs
from ..reports.page import require_report_folder, write_page
from ..reports.robustness import BASELINES, NOTABLE, Cost, RobustnessReport, Score, TransformResult, TransformSet
from .asking import name_of, shareable
from .baselines import Baselines
from .cost import measure_cost, mixed
from .decision_log import DecisionLog
from .distribution.comparison import distribution_shift
from .galleries import Galleries, class_name
from .metrics import Answer, Measure, measure_for
from .observations import Observations
from .passes import Passes
from .statistics import bootstrap
from .transforms import UPRIGHT, AnyTransform, Transforms, check_shape, parse_transforms


def evaluate_robustness(
    model: CanonicalizedModel,
    dataset: Iterable[Any],
    transforms: Transforms | None = None,
    *,
    processor: Callable[..., Any] | None = None,
    batch_size: int = 32,
    label_column: str | None = None,
    baselines: bool = True,
    report: str | Path | None = None,
    reference: Iterable[Any] | None = None,
) -> RobustnessReport:
    """Measure a model on transformed inputs, untouched and canonicalized, in one run.

    Turns are made with bicubic interpolation and undone by the model with bilinear, so that no evaluation rests on an
    inverse that real images do not have; quarter turns and mirrors permute pixels. Colours and clips are transformed
    as their group transforms them: give a `Transform` of your own to move them otherwise. Inputs as they came are
    always measured too. A pose is right if the predicted element is the applied one; for an angle between two
    elements, if it is off by no more than half a step; over a continuous group, by no more than its tolerance (22.5
    degrees of `so2`). It is left out for what the model's group does not undo.

    Every answer has a score from 0 to 1. A classifier's is right or wrong. A segmenter's is the mean intersection over
    union of the classes in the expected map, a depth estimator's the share of places within a factor of 1.25, a
    detector's the F1 of its boxes (or keypoints). What is expected is the label, and for agreement the untouched
    model's answer to the input as it came, both carried to where the image has gone; what a turn by 45 degrees has
    brought into the corners does not count.

    The baselines answer for the same inputs: the mean of the logits over the model's orbit (test-time augmentation),
    the most confident member of that orbit, and the oracle, which is told the element, or the nearest one where the
    group does not have it (a mirror image that it lacks stays one). Over `so2` the orbit is that of `c8`, over other
    continuous groups that of nine elements. An orbit costs one predictor pass for each element; `baselines=False`
    leaves all three out. Maps and boxes have the oracle alone.

    Args:
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave.
        dataset: a `datasets.Dataset` (streaming or not) or any other iterable of dicts with `image` or `pixel_values`
            (for clips: `audio`, `input_values` or `input_features`) and `label`; or an iterable of finished batches
            of `pixel_values` and `labels`. A label may be a list of classes that are all right; that of a segmenter is
            a map, that of a detector a dictionary with `class_labels` and `boxes`. Without labels, agreement with the
            untouched model's own answers counts.
        transforms: a group, for its elements (nine of a continuous one, evenly spread over its reach); an angle in
            degrees; a `Transform` of your own; a sequence of them; or a dictionary, in which the name of a
            group leads to some of its elements, as in `{"pitch12": [-7, 0, 7]}` (degrees, for circles such as `hue`),
            and a title of yours to your own transforms. By default `c8` for a model that turns images, and the
            model's own group for others.
        processor: makes `pixel_values` from images, as `AutoImageProcessor` does, or prepares clips.
        batch_size: how many inputs a pass takes, where `dataset` gives single ones.
        label_column: where the labels are, if not in `label` or `labels`.
        baselines: whether to measure the baselines.
        report: a folder, for a page to decide from (`index.html`, which needs nothing beside it) and the same figures
            as `report.json`, which `RobustnessReport.load` reads. The page shows some of the inputs.
        reference: a data set to compare the inputs with, such as that of the validation: as `distribution_shift` takes
            it, whose report is then part of this one. `dataset` is read a second time for that.

    Returns:
        The report; `print` shows it as a table, `save` writes JSON.

    Raises:
        ValueError: there is nothing in the data set, or no inputs; labels are on some items only; a transform is
            unknown; a group does not act on such inputs or does not fit their shape; the task has no score; the
            folder for the page cannot be written, or holds somebody else's; or the inputs cannot be compared with
            `reference`, as they can be read but once, or for what `distribution_shift` says.

    Example:
        >>> import torch
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> items = [{"pixel_values": torch.rand(3, 16, 16), "label": i % 2} for i in range(4)]
        >>> report = evaluate_robustness(model, items, transforms=["c4", 10, 200])
        >>> report.items, len(report.sets["c4"].transforms), len(report.sets["angles"].transforms)
        (4, 4, 2)
    """
    folder = None if report is None else require_report_folder(report)
    group, metric = model.group, measure_for(model)
    if reference is not None:
        require_rereadable(dataset)
    usual = "c8" if group.planar is group else group.name
    sets = parse_transforms(usual if transforms is None else transforms, group)
    named = [transform for members in sets.values() for transform in members if not transform.identity]
    shifts: list[AnyTransform] = list(dict.fromkeys([UPRIGHT, *named]))
    passes = Passes(model, metric, dataset, processor, batch_size, label_column)
    apart = None
    if reference is not None:
        apart = distribution_shift(reference, dataset, model=model, processor=processor, batch_size=batch_size)
    scores, decisions = Scores(), DecisionLog(model, classes=not metric.graded)
    galleries = None if folder is None else Galleries(model, metric, processor)
    seen = 0
    sample: Inputs | None = None
    with passes.run("evaluate", each=len(shifts)) as (batches, bar):
        for poses in batches:
            group.check_shape(poses.inputs.x.shape)
            for members in sets.values():
                check_shape(members, poses.inputs.x.shape)
            decisions.add_classes(poses.labels, poses.upright)
            words = None if galleries is None else expected_words(model, metric, poses.labels, poses.upright)
            answers = Baselines(poses) if baselines else None
            for number, transform in enumerate(shifts):
                shifted = poses.transformed(transform)
                after = poses.canonicalized(shifted)
                found = {"before": poses.untouched(shifted)} if answers is None else answers(transform, shifted)
                found["after"] = metric.read(after)
                expected = poses.expected(transform)
                judged = {}
                for method, answer in found.items():
                    columns = poses.judged(answer, transform, expected)
                    scores.add((transform, method), columns)
                    judged[method] = columns.get("accuracy", columns["agreement"])
                recovered = transform.recovered(after.canonicalization.element, group)
                if recovered is not None:
                    scores.add((transform, "after"), {"pose": recovered})
                decisions.add(transform, after)
                if galleries is not None:
                    galleries.add(transform, (number, seen), shifted.x, shifted.lengths, after, found, judged, words)
                bar.update()
            if sample is None:  # every transform in turn, so that the time holds what turned images need
                sample = mixed(poses.inputs, shifts)
            seen += len(poses)
        assert sample is not None
        cost = measure_cost(model, sample)
    summary = replace(
        summarize(model, metric, scores, sets, cost),
        dataset=describe_dataset(dataset) or None,
        diagnosis=decisions.diagnose(scores.judged, bootstrap),
        shift=apart,
    )
    if folder is not None:
        write_page(summary, folder, None if galleries is None else galleries.examples)
    return summary


def require_rereadable(dataset: Any) -> None:
    """Raise ValueError if a data set is gone when it has been read."""
    if isinstance(dataset, Iterator):
        raise ValueError(
            f"A comparison with a reference reads the inputs a second time, and a {type(dataset).__name__} can be "
            "read but once. Give a list or a datasets.Dataset, or leave out reference."
        )


def expected_words(model: CanonicalizedModel, measure: Measure, labels: Any, upright: Answer) -> list[str] | None:
    """The right answer to each input of a batch, in words, or without labels the untouched one to it as it came; None
    for what is no class."""
    if measure.graded:
        return None
    right = [[number] for number in upright["logits"].argmax(-1).tolist()] if labels is None else labels
    return [" or ".join(class_name(model, number) for number in one[:3]) for one in right]


class Scores(Observations):
    """How good each answer was, from 0 to 1, by transform and method."""

    @property
    def labelled(self) -> bool:
        return ((UPRIGHT, "after"), "accuracy") in self

    @property
    def methods(self) -> list[str]:
        return ["before", "after", *(name for name in BASELINES if ((UPRIGHT, name), "agreement") in self)]

    def of(self, transform: AnyTransform, method: str, what: str) -> np.ndarray[Any, Any]:
        """`(items,)`; `what` is 'agreement', 'accuracy' or 'pose'. The identity of every group was measured once."""
        return self.get((UPRIGHT if transform.identity else transform, method), what).astype(float)

    def judged(self, transform: AnyTransform, method: str) -> np.ndarray[Any, Any]:
        """How right each answer was; without labels, how near to the untouched model's upright answer."""
        return self.of(transform, method, "accuracy" if self.labelled else "agreement")

    def score(self, transform: AnyTransform, method: str) -> Score:
        accuracy = float(self.of(transform, method, "accuracy").mean()) if self.labelled else None
        return Score(float(self.of(transform, method, "agreement").mean()), accuracy)

    def pose(self, transform: AnyTransform) -> float | None:
        """How often the pose was found; None where there was none to find."""
        known = ((UPRIGHT if transform.identity else transform, "after"), "pose") in self
        return float(self.of(transform, "after", "pose").mean()) if known else None


def summarize(
    model: CanonicalizedModel, measure: Measure, seen: Scores, sets: dict[str, list[AnyTransform]], cost: Cost
) -> RobustnessReport:
    """From single inputs to the report."""

    def result(transform: AnyTransform) -> TransformResult:
        scores = {method: seen.score(transform, method) for method in seen.methods}
        return TransformResult(
            transform.name, transform.angle, transform.mirrored, scores, seen.pose(transform), transform.parameter
        )

    notable = NOTABLE if measure.graded else 0.0

    def worse(was: np.ndarray, now: np.ndarray) -> int:
        return int((was - now > notable + 1e-9).sum())

    before, after = seen.judged(UPRIGHT, "before"), seen.judged(UPRIGHT, "after")
    differences = [before - after]
    for shifts in sets.values():
        gains = [seen.judged(transform, "after") - seen.judged(transform, "before") for transform in shifts]
        differences.append(np.mean(gains, axis=0))
    tax, *gained = bootstrap(np.stack(differences, 1))

    found = {}
    for (name, shifts), gain in zip(sets.items(), gained, strict=True):
        results = tuple(result(transform) for transform in shifts)
        if all(seen.pose(transform) is None for transform in shifts if not transform.identity) and len(shifts) > 1:
            results = tuple(replace(each, pose_accuracy=None) for each in results)  # the identity alone says nothing
        pairs = [(seen.judged(transform, "before"), seen.judged(transform, "after")) for transform in shifts]
        poses = [each.pose_accuracy for each in results if each.pose_accuracy is not None]
        found[name] = TransformSet(
            name=name,
            transforms=results,
            mean={method: _over(np.mean, results, method) for method in seen.methods},
            worst={method: _over(np.min, results, method) for method in seen.methods},
            pose_accuracy=float(np.mean(poses)) if len(poses) == len(results) else None,
            gain=gain,
            right_to_wrong=sum(worse(was, now) for was, now in pairs),
            wrong_to_right=sum(worse(now, was) for was, now in pairs),
        )
    return RobustnessReport(
        model=shareable(name_of(model)),
        group=model.group.name,
        canonicalizer=model.canonicalizer.name,
        items=len(before),
        labelled=seen.labelled,
        upright=result(UPRIGHT),
        upright_tax=tax,
        upright_right_to_wrong=worse(before, after),
        upright_wrong_to_right=worse(after, before),
        sets=found,
        cost=cost,
        measure=measure.name,
        unit=model.group.kind.unit,
    )


def _over(reduce: Callable[[list[float]], Any], results: tuple[TransformResult, ...], method: str) -> Score:
    scores = [result.scores[method] for result in results]
    accuracies = [score.accuracy for score in scores if score.accuracy is not None]
    agreement = float(reduce([score.agreement for score in scores]))
    return Score(agreement, float(reduce(accuracies)) if accuracies else None)
