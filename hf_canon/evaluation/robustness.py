"""How a model answers when its inputs are moved: before and after canonicalization, beside what else one could do."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers.utils import logging

from ..data.batches import Batches
from ..data.provenance import describe_dataset
from ..groups import FinitePlanar, Group, Pictures, Planar
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Move, moved
from ..predictors.inputs import input_name
from ..predictors.untouched import evaluating
from ..reports.page import require_report_folder, write_page
from ..reports.robustness import (
    BASELINES,
    NOTABLE,
    Cost,
    RobustnessReport,
    Score,
    TransformResult,
    TransformSet,
)
from .asking import Inputs, name_of, shareable
from .decision_log import DecisionLog
from .distribution.shift import distribution_shift
from .galleries import Galleries, class_name
from .memory import peak_memory, size_of
from .metrics import Answer, Measure, measure_for
from .statistics import bootstrap
from .transforms import UPRIGHT, AnyShift, Own, Shift, Transforms, check_shape, parse_transforms, tried

TIMED_PASSES = 9
TIMED_SECONDS = 20.0


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
    inverse that real pictures do not have; quarter turns and mirrors permute pixels. Colours and sounds are moved as
    their group moves them: give a `Transform` of your own to move them otherwise. Inputs as they came are always
    measured too. A pose is right if the predicted element is the applied one; for an angle between two elements, if it
    is off by no more than half a step; over a continuous group, by no more than its tolerance (22.5 degrees of
    `so2`). It is left out for what the model's group does not undo.

    Every answer has a score from 0 to 1. A classifier's is right or wrong. A segmenter's is the mean intersection over
    union of the classes in the expected map, a depth estimator's the share of places within a factor of 1.25, a
    detector's the F1 of its boxes (or keypoints). What is expected is the label, and for agreement the untouched
    model's answer to the input as it came, both carried to where the picture has gone; what a turn by 45 degrees has
    brought into the corners does not count.

    The baselines answer for the same inputs: the mean of the logits over the model's orbit (test-time augmentation),
    the most confident member of that orbit, and the oracle, which is told the element, or the nearest one where the
    group does not have it (a mirror image that it lacks stays one). Over `so2` the orbit is that of `c8`, over other
    continuous groups that of nine elements. An orbit costs one predictor pass for each element; `baselines=False`
    leaves all three out. Maps and boxes have the oracle alone.

    Args:
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave.
        dataset: a `datasets.Dataset` (streaming or not) or any other iterable of dicts with `image` or `pixel_values`
            (for sounds: `audio`, `input_values` or `input_features`) and `label`; or an iterable of finished batches
            of `pixel_values` and `labels`. A label may be a list of classes that are all right; that of a segmenter is
            a map, that of a detector a dictionary with `class_labels` and `boxes`. Without labels, agreement with the
            untouched model's own answers counts.
        transforms: a group, whose elements are the shifts (nine of a continuous one, evenly spread over its reach); an
            angle in degrees; a `Transform` of your own; a sequence of them; or a dictionary, in which the name of a
            group leads to some of its elements, as in `{"pitch12": [-7, 0, 7]}` (degrees, for circles such as `hue`),
            and a title of yours to your own transforms. By default `c8` for a model that turns pictures, and the
            model's own group for others.
        processor: makes `pixel_values` from pictures, as `AutoImageProcessor` does, or prepares sounds.
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
    group = model.group
    measure = measure_for(model)
    if reference is not None:
        require_rereadable(dataset)
    usual = "c8" if isinstance(group, Planar) else group.name
    sets = parse_transforms(usual if transforms is None else transforms, group)
    named = [shift for members in sets.values() for shift in members if not shift.identity]
    shifts: list[AnyShift] = list(dict.fromkeys([UPRIGHT, *named]))
    config, name = model.predictor.config, input_name(model.predictor)
    batches = Batches(dataset, processor, batch_size, label_column, config, measure.labels, group.kind, name)
    apart = None
    if reference is not None:
        apart = distribution_shift(reference, dataset, model=model, processor=processor, batch_size=batch_size)
    observations = Observations()
    decisions = DecisionLog(model, classes=not measure.graded)
    galleries = None if folder is None else Galleries(model, measure, processor)
    seen = 0
    sample: Inputs | None = None
    total = None if batches.total is None else batches.total * len(shifts)
    with (
        evaluating(model),
        torch.inference_mode(),
        # Silent where transformers' own bars are.
        logging.tqdm(total=total, unit=" batches", desc="evaluate", leave=False) as bar,
    ):
        for batch in batches:
            asked = Inputs.of(model, batch.inputs)
            group.check_shape(asked.x.shape)
            for members in sets.values():
                check_shape(members, asked.x.shape)
            upright = measure.read(asked.untouched())
            decisions.add_classes(batch.labels, upright)
            words = None if galleries is None else expected_words(model, measure, batch.labels, upright)
            answers = Baselines(model, measure, asked) if baselines else None
            for number, shift in enumerate(shifts):
                if isinstance(shift, Own):
                    shifted = Inputs.of(model, batch.moved(shift.transform.function))
                else:
                    shifted = asked.moved(shift)
                after = shifted.canonicalized()
                found = {"before": measure.read(shifted.untouched())} if answers is None else answers(shift, shifted)
                found["after"] = measure.read(after)
                place = shifted.place(shift)
                expected = place.carry(upright, model.rows, config)
                judged = {}
                for method, answer in found.items():
                    agreement = measure.agreement(answer, expected, place)
                    accuracy = None if batch.labels is None else measure.accuracy(answer, batch.labels, place)
                    observations.add(shift, method, agreement, accuracy)
                    judged[method] = agreement if accuracy is None else accuracy
                observations.add_pose(shift, shift.recovered(after.canonicalization.element, group))
                decisions.add(shift, after)
                if galleries is not None:
                    galleries.add(shift, (number, seen), shifted.x, shifted.lengths, after, found, judged, words)
                bar.update()
            if sample is None:  # every transform in turn, so that the time holds what turned pictures need
                sample = mixed(asked, shifts)
            seen += len(asked.x)
        assert sample is not None
        cost = measure_cost(model, sample)
    summary = replace(
        summarize(model, measure, observations, sets, cost),
        dataset=describe_dataset(dataset) or None,
        diagnosis=decisions.diagnose(observations.judged, bootstrap),
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


def mixed(inputs: Inputs, shifts: list[AnyShift]) -> Inputs:
    """Every input with another shift."""
    made = [shift for shift in shifts if not isinstance(shift, Own)]
    rows = []
    for i in range(len(inputs.x)):
        lengths = None if inputs.lengths is None else inputs.lengths[i : i + 1]
        rows.append(replace(inputs, x=inputs.x[i : i + 1], lengths=lengths).moved(made[i % len(made)]))
    x = pad_sequence([row.x[0] for row in rows], batch_first=True)
    known = [row.lengths for row in rows if row.lengths is not None]
    return replace(inputs, x=x, lengths=torch.cat(known) if known else None)


def predict(model: CanonicalizedModel, x: Tensor) -> Tensor:
    """The untouched predictor's logits `(batch, classes)`."""
    return model.predictor(pixel_values=x).logits.float()


class Baselines:
    """What else one could do with the shifted versions of one batch, without a canonicalizer."""

    def __init__(self, model: CanonicalizedModel, measure: Measure, inputs: Inputs):
        self.model = model
        self.measure = measure
        self.turned = OrbitLogits(model, model.group, inputs.x) if isinstance(model.group, Planar) else None

    def __call__(self, shift: AnyShift, shifted: Inputs) -> dict[str, Answer]:
        """The answers of the untouched model and of each baseline."""
        if self.measure.graded:  # there is no mean of maps in different poses
            return {"before": self.measure.read(shifted.untouched()), "oracle": self._told(shift, shifted)}
        if self.turned is not None and isinstance(shift, Shift):
            found = self.turned.answers(shift, shifted.x)
        else:
            found = self._asked_everything(shift, shifted)
        return {method: {"logits": logits} for method, logits in found.items()}

    def _asked_everything(self, shift: AnyShift, shifted: Inputs) -> dict[str, Tensor]:
        group, members = orbit_members(self.model.group)
        poses = [members[i].expand(len(shifted.x)).to(shifted.x.device) for i in range(len(members))]
        asked = (shifted.acted(group, group.inverse(pose)).untouched() for pose in poses)
        orbit = torch.stack([output.logits.float() for output in asked], 1)
        return {
            "before": orbit[:, int((members == group.identity).nonzero()[0])],
            "orbit_mean": orbit.mean(1),
            "most_confident": most_confident(orbit),
            "oracle": self._told(shift, shifted)["logits"],
        }

    def _told(self, shift: AnyShift, shifted: Inputs) -> Answer:
        """The answer of a model that is told what happened."""
        group = self.model.group
        known = shift.element(group)
        element = torch.full((len(shifted.x),), group.identity if known is None else known, device=shifted.x.device)
        answer = self.measure.read(shifted.acted(group, group.inverse(element)).untouched())
        height, width = shifted.x.shape[-2:]
        move = Move(group, element, (height, width), self.model.predictor.config)
        return moved(answer, self.model.rows, move)


def orbit_members(group: Group) -> tuple[Group, Tensor]:
    """The elements in whose poses a predictor is asked, and their group."""
    if isinstance(group, Planar) and not group.finite:
        group = FinitePlanar(8, reflections=False)
    return group, tried(group)


def most_confident(orbit: Tensor) -> Tensor:
    """Of logits `(batch, poses, classes)`, those with the highest probability: `(batch, classes)`."""
    return orbit[torch.arange(len(orbit)), orbit.softmax(-1).amax(-1).argmax(1)]


class OrbitLogits:
    """The predictor's logits for the orbit of every shifted version of one batch.

    A turn that the group does exactly permutes the orbit of a picture, so that versions that differ by one share an
    orbit: the eight elements of `c8` need two.
    """

    def __init__(self, model: CanonicalizedModel, group: Planar, x: Tensor):
        self.model = model
        self.group = group
        self.x = x
        members, _ = orbit_members(group)
        assert isinstance(members, FinitePlanar)
        self.members = members
        exact_turns = [element for element in self.members.exact_elements.tolist() if element < self.members.n]
        self.exact_step = 360 / len(exact_turns)
        self.computed: dict[Shift, Tensor] = {}

    def answers(self, shift: Shift, shifted: Tensor) -> dict[str, Tensor]:
        """Logits (or their like) of the untouched model and of each baseline, `(batch, classes)`."""
        orbit = self.orbit(shift)
        return {
            "before": orbit[:, 0],
            "orbit_mean": orbit.mean(1),
            "most_confident": most_confident(orbit),
            "oracle": self.oracle(shift, shifted, orbit),
        }

    def orbit(self, shift: Shift) -> Tensor:
        """The logits for every `g^-1 . shift(x)`: `(batch, order, classes)`."""
        turns, rest = divmod(shift.angle, self.exact_step)
        start = Shift(rest, shift.mirrored)
        if start not in self.computed:
            self.computed[start] = self._compute(start(self.x))
        # With s the exact turn that is left, h^-1 s = (s^-1 h)^-1: member h is that member of the orbit of the start.
        exact = torch.tensor(Shift(turns * self.exact_step).element(self.members))
        return self.computed[start][:, self.members.compose(self.members.inverse(exact), self.members.elements)]

    def _compute(self, x: Tensor) -> Tensor:
        # One member a pass: the batch stays as large as the user chose, and the identity's pass is the bare model's.
        undo = self.members.inverse(self.members.elements)
        return torch.stack([predict(self.model, self.members.act(x, g.expand(len(x)))) for g in undo], 1)

    def oracle(self, shift: Shift, shifted: Tensor, orbit: Tensor) -> Tensor:
        element = shift.element(self.group)
        assert element is not None
        if isinstance(self.group, FinitePlanar):
            return orbit[:, int(element)]
        return predict(self.model, self.group.act(shifted, self.group.inverse(torch.full((len(shifted),), element))))


class Observations:
    """What was seen: a score from 0 to 1 for each input."""

    def __init__(self) -> None:
        self._seen: dict[tuple[AnyShift, str, str], list[np.ndarray]] = defaultdict(list)

    def add(self, shift: AnyShift, method: str, agreement: Tensor, accuracy: Tensor | None) -> None:
        """Record how good the answers of one method are, `(batch,)`."""
        self._seen[shift, method, "agreement"].append(agreement.cpu().double().numpy())
        if accuracy is not None:
            self._seen[shift, method, "accuracy"].append(accuracy.cpu().double().numpy())

    def add_pose(self, shift: AnyShift, recovered: Tensor | None) -> None:
        if recovered is not None:
            self._seen[shift, "after", "pose"].append(recovered.cpu().double().numpy())

    @property
    def labelled(self) -> bool:
        return (UPRIGHT, "after", "accuracy") in self._seen

    @property
    def methods(self) -> list[str]:
        return ["before", "after", *(name for name in BASELINES if (UPRIGHT, name, "agreement") in self._seen)]

    def get(self, shift: AnyShift, method: str, what: str) -> np.ndarray:
        """`(items,)`; `what` is 'agreement', 'accuracy' or 'pose'."""
        return np.concatenate(self._seen[self._as_seen(shift), method, what])

    def judged(self, shift: AnyShift, method: str) -> np.ndarray:
        """How right each answer was; without labels, how near to the untouched model's upright answer."""
        return self.get(shift, method, "accuracy" if self.labelled else "agreement")

    def score(self, shift: AnyShift, method: str) -> Score:
        accuracy = float(self.get(shift, method, "accuracy").mean()) if self.labelled else None
        return Score(float(self.get(shift, method, "agreement").mean()), accuracy)

    def pose(self, shift: AnyShift) -> float | None:
        """How often the pose was found; None where there was none to find."""
        seen = (self._as_seen(shift), "after", "pose") in self._seen
        return float(self.get(shift, "after", "pose").mean()) if seen else None

    def _as_seen(self, shift: AnyShift) -> AnyShift:
        # The identity of every group was measured once.
        return UPRIGHT if shift.identity else shift


def summarize(
    model: CanonicalizedModel, measure: Measure, seen: Observations, sets: dict[str, list[AnyShift]], cost: Cost
) -> RobustnessReport:
    """From single inputs to the report."""

    def result(shift: AnyShift) -> TransformResult:
        scores = {method: seen.score(shift, method) for method in seen.methods}
        return TransformResult(shift.name, shift.angle, shift.mirrored, scores, seen.pose(shift), shift.parameter)

    notable = NOTABLE if measure.graded else 0.0

    def worse(was: np.ndarray, now: np.ndarray) -> int:
        return int((was - now > notable + 1e-9).sum())

    before, after = seen.judged(UPRIGHT, "before"), seen.judged(UPRIGHT, "after")
    differences = [before - after]
    for shifts in sets.values():
        gains = [seen.judged(shift, "after") - seen.judged(shift, "before") for shift in shifts]
        differences.append(np.mean(gains, axis=0))
    tax, *gained = bootstrap(np.stack(differences, 1))

    found = {}
    for (name, shifts), gain in zip(sets.items(), gained, strict=True):
        results = tuple(result(shift) for shift in shifts)
        if all(seen.pose(shift) is None for shift in shifts if not shift.identity) and len(shifts) > 1:
            results = tuple(replace(each, pose_accuracy=None) for each in results)  # the identity alone says nothing
        pairs = [(seen.judged(shift, "before"), seen.judged(shift, "after")) for shift in shifts]
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
        unit="pictures" if isinstance(model.group.kind, Pictures) else "sounds",
    )


def _over(reduce: Callable[[list[float]], Any], results: tuple[TransformResult, ...], method: str) -> Score:
    scores = [result.scores[method] for result in results]
    accuracies = [score.accuracy for score in scores if score.accuracy is not None]
    agreement = float(reduce([score.agreement for score in scores]))
    return Score(agreement, float(reduce(accuracies)) if accuracies else None)


def measure_cost(model: CanonicalizedModel, inputs: Inputs) -> Cost:
    """Time and memory of the canonicalized model beside the bare one, on one batch."""
    x, runs, modules = inputs.x, (inputs.untouched, inputs.canonicalized), (model.predictor, model)
    # And the passes that warm up.
    peaks = [peak_memory(run, module, x.device) for run, module in zip(runs, modules, strict=True)]
    seconds: list[list[float]] = [[], []]
    deadline = time.perf_counter() + TIMED_SECONDS
    for i in range(TIMED_PASSES):
        # In turns, and each first every other time: what else the machine does hits both alike.
        for which in (0, 1) if i % 2 else (1, 0):
            seconds[which].append(wall_clock(runs[which], x.device))
        if time.perf_counter() > deadline:
            break
    bare, canonicalized = (np.array(times) for times in seconds)
    own, whole = (size_of(module) for module in modules)
    return Cost(
        device=x.device.type,
        batch_size=len(x),
        bare_ms=1000 * float(np.median(bare)) / len(x),
        canonicalized_ms=1000 * float(np.median(canonicalized)) / len(x),
        latency_ratio=float(np.median(canonicalized / bare)),
        parameter_ratio=whole / own,
        peak_memory_ratio=None if peaks[0] is None or peaks[1] is None else peaks[1] / peaks[0],
    )


def wall_clock(run: Callable[[], Any], device: torch.device) -> float:
    """Seconds."""
    start = time.perf_counter()
    run()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - start
