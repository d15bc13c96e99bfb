"""How a model answers when its inputs are turned: before and after canonicalization, beside what else one could do."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers.utils import logging

from ..groups import FinitePlanar, Planar
from ..modeling_canonicalized import CanonicalizedModel
from ..provenance import describe_dataset
from .data import Answer, Batches
from .report import BASELINES, Cost, Interval, RobustnessReport, Score, TransformResult, TransformSet
from .transforms import UPRIGHT, Shift, Transforms, check_shape, parse_transforms

RESAMPLES = 2000
TIMED_PASSES = 9
TIMED_SECONDS = 20.0


def evaluate_robustness(
    model: CanonicalizedModel,
    dataset: Iterable[Any],
    transforms: Transforms = "c8",
    *,
    processor: Callable[..., Any] | None = None,
    batch_size: int = 32,
    label_column: str | None = None,
    baselines: bool = True,
) -> RobustnessReport:
    """Measure a model on transformed inputs, untouched and canonicalized, in one run.

    Shifts are made with bicubic interpolation and undone by the model with bilinear, so that no evaluation rests on an
    inverse that real pictures do not have; quarter turns and mirrors permute pixels. Upright pictures are always
    measured too. A pose is right if the predicted element is the applied one; for an angle between two elements, if it
    is off by no more than half a step; over `so2`, by no more than 22.5 degrees.

    The baselines answer for the same pictures: the mean of the logits over the model's orbit (test-time augmentation),
    the most confident member of that orbit, and the oracle, which is told the element, or the nearest one where the
    group does not have it (a mirror image that it lacks stays one). Over `so2` the orbit is that of `c8`. An orbit
    costs one predictor pass for each element; `baselines=False` leaves all three out.

    Args:
        model: what `CanonicalizedModel.wrap` or `from_pretrained` gave.
        dataset: a `datasets.Dataset` (streaming or not) or any other iterable of dicts with `image` or `pixel_values`
            and `label`; or an iterable of finished batches of `pixel_values` and `labels`. A label may be a list of
            classes that are all right. Without labels, agreement with the untouched model's upright answers counts.
        transforms: a group, whose elements are the shifts; an angle in degrees; or a sequence of groups and angles.
        processor: makes `pixel_values` from pictures, as `AutoImageProcessor` does.
        batch_size: how many pictures a pass takes, where `dataset` gives single ones.
        label_column: where the labels are, if not in `label` or `labels`.
        baselines: whether to measure the three baselines.

    Returns:
        The report; `print` shows it as a table, `save` writes JSON.

    Raises:
        ValueError: there is nothing in the data set, or no pictures; labels are on some items only; a transform is
            unknown; or a group does not fit the shape of the pictures.

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
    group = model.group
    if not isinstance(group, Planar):
        raise ValueError(
            f"{group.name} does not act on the image plane, and these transforms do; there is no report yet."
        )
    if model.task != "image-classification":
        raise ValueError(
            f"This report is about image classifiers, and this is a model for {model.task}. "
            "check_equivariance(model) says how far its answers are from moving with the picture."
        )
    sets = parse_transforms(transforms)
    shifts = list(dict.fromkeys([UPRIGHT, *(shift for members in sets.values() for shift in members)]))
    batches = Batches(dataset, processor, batch_size, label_column, model.predictor.config)
    observations = Observations()
    sample: Tensor | None = None
    total = None if batches.total is None else batches.total * len(shifts)
    with (
        evaluating(model),
        torch.inference_mode(),
        # Silent where transformers' own bars are.
        logging.tqdm(total=total, unit=" batches", desc="evaluate", leave=False) as bar,
    ):
        for batch in batches:
            x = batch.pixel_values.to(model.device, model.dtype)
            group.check_shape(x.shape)
            for name in sets:
                check_shape(name, x.shape)
            upright = predict(model, x).argmax(-1)
            accepted = None if batch.answers is None else accepted_classes(batch.answers, model.predictor.config)
            orbits = OrbitLogits(model, group, x)
            for shift in shifts:
                shifted = shift(x)
                after = model(pixel_values=shifted)
                logits = {"before": predict(model, shifted)} if not baselines else orbits.answers(shift, shifted)
                logits["after"] = after.logits
                for method, values in logits.items():
                    observations.add(shift, method, values.argmax(-1), upright, accepted)
                observations.add_pose(shift, shift.recovered(after.canonicalization.element, group))
                bar.update()
            if sample is None:  # every transform in turn, so that the time holds what turned pictures need
                sample = torch.cat([shifts[i % len(shifts)](x[i : i + 1]) for i in range(len(x))])
        assert sample is not None
        cost = measure_cost(model, sample)
    return replace(summarize(model, observations, sets, cost), dataset=describe_dataset(dataset) or None)


def name_of(model: CanonicalizedModel) -> str:
    """What a reader calls the predictor: its Hub id, its folder from here, or its class."""
    name = model.config.base_name_or_path or type(model.predictor).__name__
    folder = Path(name)
    return str(folder.relative_to(Path.cwd())) if folder.is_relative_to(Path.cwd()) else name


def predict(model: CanonicalizedModel, x: Tensor) -> Tensor:
    """The untouched predictor's logits `(batch, classes)`."""
    return model.predictor(pixel_values=x).logits.float()


def accepted_classes(answers: list[Answer], config: Any) -> np.ndarray:
    """Which classes are right, bool `(batch, classes)`."""
    accepted = np.zeros((len(answers), config.num_labels), dtype=bool)
    for row, answer in zip(accepted, answers, strict=True):
        row[list(answer)] = True
    return accepted


class OrbitLogits:
    """The predictor's logits for the orbit of every shifted version of one batch.

    A turn that the group does exactly permutes the orbit of a picture, so that versions that differ by one share an
    orbit: the eight elements of `c8` need two.
    """

    def __init__(self, model: CanonicalizedModel, group: Planar, x: Tensor):
        self.model = model
        self.group = group
        self.x = x
        self.members = group if isinstance(group, FinitePlanar) else FinitePlanar(8, reflections=False)
        exact_turns = [element for element in self.members.exact_elements.tolist() if element < self.members.n]
        self.exact_step = 360 / len(exact_turns)
        self.computed: dict[Shift, Tensor] = {}

    def answers(self, shift: Shift, shifted: Tensor) -> dict[str, Tensor]:
        """Logits (or their like) of the untouched model and of each baseline, `(batch, classes)`."""
        orbit = self.orbit(shift)
        most_confident = orbit.softmax(-1).amax(-1).argmax(1)
        return {
            "before": orbit[:, 0],
            "orbit_mean": orbit.mean(1),
            "most_confident": orbit[torch.arange(len(orbit)), most_confident],
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
        if isinstance(self.group, FinitePlanar):
            return orbit[:, int(element)]
        return predict(self.model, self.group.act(shifted, self.group.inverse(torch.full((len(shifted),), element))))


class Observations:
    """What was seen, a bool for each picture."""

    def __init__(self) -> None:
        self._seen: dict[tuple[Shift, str, str], list[np.ndarray]] = defaultdict(list)

    def add(self, shift: Shift, method: str, answer: Tensor, upright: Tensor, accepted: np.ndarray | None) -> None:
        """Record the answers `(batch,)` of one method."""
        self._seen[shift, method, "agreement"].append((answer == upright).cpu().numpy())
        if accepted is not None:
            self._seen[shift, method, "accuracy"].append(accepted[np.arange(len(answer)), answer.cpu().numpy()])

    def add_pose(self, shift: Shift, recovered: Tensor) -> None:
        self._seen[shift, "after", "pose"].append(recovered.cpu().numpy())

    @property
    def labelled(self) -> bool:
        return (UPRIGHT, "after", "accuracy") in self._seen

    @property
    def methods(self) -> list[str]:
        return ["before", "after", *(name for name in BASELINES if (UPRIGHT, name, "agreement") in self._seen)]

    def get(self, shift: Shift, method: str, what: str) -> np.ndarray:
        """Bool `(items,)`; `what` is 'agreement', 'accuracy' or 'pose'."""
        return np.concatenate(self._seen[shift, method, what])

    def judged(self, shift: Shift, method: str) -> np.ndarray:
        """Whether each answer was right; without labels, whether it was the untouched model's upright answer."""
        return self.get(shift, method, "accuracy" if self.labelled else "agreement")

    def score(self, shift: Shift, method: str) -> Score:
        accuracy = float(self.get(shift, method, "accuracy").mean()) if self.labelled else None
        return Score(float(self.get(shift, method, "agreement").mean()), accuracy)


def summarize(
    model: CanonicalizedModel, seen: Observations, sets: dict[str, list[Shift]], cost: Cost
) -> RobustnessReport:
    """From single pictures to the report."""

    def result(shift: Shift) -> TransformResult:
        scores = {method: seen.score(shift, method) for method in seen.methods}
        pose = float(seen.get(shift, "after", "pose").mean())
        return TransformResult(shift.name, shift.angle, shift.mirrored, scores, pose)

    before, after = seen.judged(UPRIGHT, "before"), seen.judged(UPRIGHT, "after")
    differences = [before.astype(float) - after]
    for shifts in sets.values():
        gains = [seen.judged(shift, "after").astype(float) - seen.judged(shift, "before") for shift in shifts]
        differences.append(np.mean(gains, axis=0))
    tax, *gained = bootstrap(np.stack(differences, 1))

    found = {}
    for (name, shifts), gain in zip(sets.items(), gained, strict=True):
        results = tuple(result(shift) for shift in shifts)
        pairs = [(seen.judged(shift, "before"), seen.judged(shift, "after")) for shift in shifts]
        found[name] = TransformSet(
            name=name,
            transforms=results,
            mean={method: _over(np.mean, results, method) for method in seen.methods},
            worst={method: _over(np.min, results, method) for method in seen.methods},
            pose_accuracy=float(np.mean([each.pose_accuracy for each in results])),
            gain=gain,
            right_to_wrong=sum(int((was & ~now).sum()) for was, now in pairs),
            wrong_to_right=sum(int((~was & now).sum()) for was, now in pairs),
        )
    return RobustnessReport(
        model=name_of(model),
        group=model.group.name,
        canonicalizer=model.canonicalizer.name,
        items=len(before),
        labelled=seen.labelled,
        upright=result(UPRIGHT),
        upright_tax=tax,
        upright_right_to_wrong=int((before & ~after).sum()),
        upright_wrong_to_right=int((~before & after).sum()),
        sets=found,
        cost=cost,
    )


def _over(reduce: Callable[[list[float]], Any], results: tuple[TransformResult, ...], method: str) -> Score:
    scores = [result.scores[method] for result in results]
    accuracies = [score.accuracy for score in scores if score.accuracy is not None]
    agreement = float(reduce([score.agreement for score in scores]))
    return Score(agreement, float(reduce(accuracies)) if accuracies else None)


def bootstrap(values: np.ndarray) -> list[Interval]:
    """The mean of each column of `(items, columns)` and its 95 % percentile interval, in percentage points.

    Items are drawn with replacement, whole rows at a time, so that what is compared stays paired. The seed is fixed.

    Example:
        >>> interval, = bootstrap(np.array([[0.0], [1.0], [1.0], [0.0]]))
        >>> interval.value, interval.low, interval.high
        (50.0, 0.0, 100.0)
    """
    items = len(values)
    rng = np.random.default_rng(0)
    rows = max(1, min(RESAMPLES, 5_000_000 // items))  # bounds the memory that one round of draws takes
    means = []
    for start in range(0, RESAMPLES, rows):
        n = min(rows, RESAMPLES - start)
        drawn = rng.integers(items, size=(n, items)) + np.arange(n)[:, None] * items
        counts = np.bincount(drawn.ravel(), minlength=n * items).reshape(n, items)
        means.append(counts @ values / items)
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5], axis=0)
    middle = values.mean(axis=0)
    return [Interval(*(100 * float(bound) for bound in bounds)) for bounds in zip(middle, low, high, strict=True)]


def measure_cost(model: CanonicalizedModel, x: Tensor) -> Cost:
    """Time and memory of the canonicalized model beside the bare one, on one batch."""
    runs = (lambda: model.predictor(pixel_values=x), lambda: model(pixel_values=x))
    peaks = [peak_memory(run, x.device) for run in runs]  # and the passes that warm up
    seconds: list[list[float]] = [[], []]
    deadline = time.perf_counter() + TIMED_SECONDS
    for i in range(TIMED_PASSES):
        # In turns, and each first every other time: what else the machine does hits both alike.
        for which in (0, 1) if i % 2 else (1, 0):
            seconds[which].append(wall_clock(runs[which], x.device))
        if time.perf_counter() > deadline:
            break
    bare, canonicalized = (np.array(times) for times in seconds)
    own, whole = (
        sum(t.numel() * t.element_size() for t in [*module.parameters(), *module.buffers()])
        for module in (model.predictor, model)
    )
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


def peak_memory(run: Callable[[], Any], device: torch.device) -> int | None:
    """Bytes allocated at the peak of a run; None on a device that does not count them."""
    if device.type != "cuda":
        run()
        return None
    torch.cuda.synchronize(device)
    torch.cuda.reset_peak_memory_stats(device)
    run()
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and every module's own mode again afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
