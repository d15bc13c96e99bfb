"""How an answer is judged: a score from 0 to 1 for each input, in the way that is usual for the task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Move, Rows, carry_back
from .transforms import Step

Answer = dict[str, Tensor]
"""The fields of an output that are judged."""

CONFIDENT = 0.5
"""Boxes are answers from this probability on, as `post_process_object_detection` has it."""

OVERLAP = 0.5
"""How much of the union of two boxes their intersection has to be for them to be the same."""

NEAR = 3.0
"""How many pixels apart two keypoints may be and still be the same."""


@dataclass(frozen=True)
class Place:
    """Where an image has gone: what happened to it, step by step, and its height and width."""

    steps: Sequence[Step]
    size: tuple[int, int]

    def carry(self, answer: Answer, rows: Rows, config: Any) -> Answer:
        """An answer for the image as it came, where it belongs now."""
        for group, element in self.steps:
            batch = len(next(iter(answer.values())))
            answer = carry_back(answer, rows, Move(group, _each(element, batch), self.size, config))
        return answer

    def carry_maps(self, labels: Tensor) -> Tensor:
        """Maps `(batch, height, width)` of what is known to be there."""
        for group, element in self.steps:
            labels = group.act_maps(labels, _each(element, len(labels)), "nearest")
        return labels

    def carry_boxes(self, boxes: Tensor) -> Tensor:
        """Boxes `(n, 4)` of one image."""
        for group, element in self.steps:
            boxes = group.act_boxes(boxes.unsqueeze(0), _each(element, 1)).squeeze(0)
        return boxes

    def inside(self, height: int, width: int) -> Tensor:
        """Which places of a map show what the upright image had: all, or not the corners. Bool `(height, width)`."""
        rows, columns = (torch.arange(height) + 0.5) / height, (torch.arange(width) + 0.5) / width
        places = torch.stack([columns.expand(height, width), rows.unsqueeze(1).expand(height, width)], -1).unsqueeze(0)
        for group, element in reversed(self.steps):
            places = group.act_points(places, group.inverse(_each(element, 1)))
        return ((places > -1e-6) & (places < 1 + 1e-6)).all(-1).squeeze(0)


def _each(element: int | float, batch: int) -> Tensor:
    return torch.full((batch,), element)


class Measure(ABC):
    """What counts as a good answer of a task."""

    name: str
    """As tables call it."""
    graded: bool = True
    """Whether there is something between right and wrong."""
    labels: Literal["classes", "maps", "boxes"] | None = None
    """What is known of an input, where something is."""

    @abstractmethod
    def read(self, output: Any) -> Answer:
        """What is judged of a predictor's output."""

    @abstractmethod
    def agreement(self, answer: Answer, expected: Answer, place: Place) -> Tensor:
        """How near an answer is to another one, `(batch,)`."""

    @abstractmethod
    def accuracy(self, answer: Answer, labels: Any, place: Place) -> Tensor:
        """How near an answer is to what is known of the image as it came, `(batch,)`."""


class Classes(Measure):
    """The likeliest class, right or wrong. Labels are lists of the classes that are right, one for each input."""

    name = "accuracy"
    labels = "classes"
    graded = False

    def read(self, output: Any) -> Answer:
        return {"logits": output.logits.float()}

    def agreement(self, answer: Answer, expected: Answer, place: Place) -> Tensor:
        return answer["logits"].argmax(-1) == expected["logits"].argmax(-1)

    def accuracy(self, answer: Answer, labels: Any, place: Place) -> Tensor:
        answers = answer["logits"].argmax(-1).tolist()
        return torch.tensor([said in right for said, right in zip(answers, labels, strict=True)])


class Maps(Measure):
    """Intersection over union, averaged over the classes that the expected map of an image has.

    A class that is only in the answer counts through the places that it takes from the others. Labels are maps
    `(batch, height, width)`, to whose size the logits are brought.

    Args:
        ignored: the label of places that do not count; so do numbers that are no class.
    """

    name = "mean IoU"
    labels = "maps"

    def __init__(self, ignored: int = 255):
        self.ignored = ignored

    def read(self, output: Any) -> Answer:
        return {"logits": output.logits.float()}

    def scores(self, answer: Answer) -> Tensor:
        """A score for each class at each place, `(batch, classes, height, width)`."""
        logits = answer["logits"]
        return torch.cat([torch.zeros_like(logits), logits], 1) if logits.shape[1] == 1 else logits

    def agreement(self, answer: Answer, expected: Answer, place: Place) -> Tensor:
        found, wanted = self.scores(answer), self.scores(expected)
        classes = wanted.shape[1]
        counted = place.inside(*wanted.shape[-2:]).to(wanted.device)
        return overlaps(found.argmax(1), wanted.argmax(1), counted, classes)

    def accuracy(self, answer: Answer, labels: Any, place: Place) -> Tensor:
        found = self.scores(answer)
        labels = place.carry_maps(labels.to(found.device))
        known = (labels >= 0) & (labels < found.shape[1]) & (labels != self.ignored)
        counted = known & place.inside(*labels.shape[-2:]).to(found.device)
        if found.shape[-2:] != labels.shape[-2:]:
            found = F.interpolate(found, labels.shape[-2:], mode="bilinear")
        return overlaps(found.argmax(1), labels, counted, found.shape[1])


class QueriedMaps(Maps):
    """The same, of the map that the masks of segmenters with queries add up to, as
    `post_process_semantic_segmentation` adds them."""

    def __init__(self, classes: int, ignored: int = 255):
        super().__init__(ignored)
        self.classes = classes

    def read(self, output: Any) -> Answer:
        names = [("class_queries_logits", "masks_queries_logits"), ("logits", "pred_masks")]
        pair = next(pair for pair in names if all(getattr(output, name, None) is not None for name in pair))
        return {name: output[name].float() for name in pair}

    def scores(self, answer: Answer) -> Tensor:
        classes, masks = answer.values()
        return torch.einsum("bqc,bqhw->bchw", probabilities(classes, self.classes), masks.sigmoid())


class Depth(Measure):
    """The share of places whose depth is within a factor of 1.25.

    Labels are maps `(batch, height, width)`, in the sense of `predicted_depth` (near is small, or near is large) and
    with 0 where nobody knows; the median of the answer is brought to theirs first.
    """

    name = "depth within 25 %"
    labels = "maps"

    def read(self, output: Any) -> Answer:
        return {"predicted_depth": output.predicted_depth.float()}

    def agreement(self, answer: Answer, expected: Answer, place: Place) -> Tensor:
        found, wanted = answer["predicted_depth"], expected["predicted_depth"]
        return near_depth(found, wanted, place.inside(*wanted.shape[-2:]).to(wanted.device).expand_as(wanted))

    def accuracy(self, answer: Answer, labels: Any, place: Place) -> Tensor:
        found = answer["predicted_depth"]
        labels = place.carry_maps(labels.to(found))
        counted = (labels > 0) & place.inside(*labels.shape[-2:]).to(found.device)
        found = F.interpolate(found.unsqueeze(1), labels.shape[-2:], mode="bilinear").squeeze(1)
        scaled = [
            one * (known[here].median() / one[here].median()) if here.any() else one
            for one, known, here in zip(found, labels, counted, strict=True)
        ]
        return near_depth(torch.stack(scaled), labels, counted)


class Boxes(Measure):
    """F1 of the boxes of which the detector is sure, matched one to one within a class.

    Labels are a dictionary for each image, with `class_labels` and `boxes` as detectors take them. Boxes whose
    centre has left the image do not count.
    """

    name = "F1 of boxes"
    labels = "boxes"

    def __init__(self, classes: int):
        self.classes = classes

    def read(self, output: Any) -> Answer:
        if output.pred_boxes.shape[-1] != 4:
            raise ValueError("This detector answers with quadrilaterals, and only boxes are scored yet.")
        return {"logits": output.logits.float(), "pred_boxes": output.pred_boxes.float()}

    def agreement(self, answer: Answer, expected: Answer, place: Place) -> Tensor:
        return torch.stack([f1(same(a, b)) for a, b in zip(self._sure(answer), self._sure(expected), strict=True)])

    def accuracy(self, answer: Answer, labels: Any, place: Place) -> Tensor:
        wanted = [
            within((torch.as_tensor(one["class_labels"]), place.carry_boxes(torch.as_tensor(one["boxes"]).float())))
            for one in labels
        ]
        return torch.stack([f1(same(a, b)) for a, b in zip(self._sure(answer), wanted, strict=True)])

    def _sure(self, answer: Answer) -> list[tuple[Tensor, Tensor]]:
        """Classes and boxes of each image."""
        likely, classes = probabilities(answer["logits"], self.classes).max(-1)
        found = zip(likely >= CONFIDENT, classes, answer["pred_boxes"], strict=True)
        return [within((one[sure].cpu(), boxes[sure].cpu())) for sure, one, boxes in found]


class Points(Measure):
    """F1 of keypoints, matched one to one: two are the same if they are no more than three pixels apart."""

    name = "F1 of keypoints"

    def read(self, output: Any) -> Answer:
        mask = getattr(output, "mask", None)
        found = output.keypoints.float()
        return {"keypoints": found, "mask": torch.ones(found.shape[:-1]) if mask is None else mask}

    def agreement(self, answer: Answer, expected: Answer, place: Place) -> Tensor:
        size = torch.tensor(place.size[::-1])
        scores = []
        for a, b in zip(self._points(answer), self._points(expected), strict=True):
            scores.append(f1((NEAR - torch.cdist(a * size, b * size)).clamp(min=-1) + 1e-6))
        return torch.stack(scores)

    def accuracy(self, answer: Answer, labels: Any, place: Place) -> Tensor:
        raise ValueError("Keypoints have no labels here; remove the column to measure agreement alone.")

    def _points(self, answer: Answer) -> list[Tensor]:
        found = zip(answer["keypoints"].cpu(), answer["mask"].cpu().bool(), strict=True)
        return [points[mask & ((points >= 0) & (points <= 1)).all(-1)] for points, mask in found]


def probabilities(logits: Tensor, classes: int) -> Tensor:
    """Of each query and class, without that of "nothing", which some detectors have as a class of its own."""
    return logits.softmax(-1)[..., :-1] if logits.shape[-1] == classes + 1 else logits.sigmoid()


def overlaps(found: Tensor, wanted: Tensor, counted: Tensor, classes: int) -> Tensor:
    """Mean intersection over union of each pair of maps `(batch, height, width)`, where `counted`."""
    scores = []
    for a, b, here in zip(found, wanted, counted.expand_as(wanted), strict=True):
        a, b = a[here], b[here].long()
        both = torch.bincount(b[a == b], minlength=classes).double()
        there = torch.bincount(b, minlength=classes)
        either = torch.bincount(a, minlength=classes) + there - both
        present = there > 0
        # A map of which nothing counts has nothing wrong with it.
        scores.append((both / either)[present].mean() if present.any() else both.new_tensor(1.0))
    return torch.stack(scores)


def near_depth(found: Tensor, wanted: Tensor, counted: Tensor) -> Tensor:
    ratio = torch.maximum(found / wanted, wanted / found)
    near = ((ratio < 1.25) & (found > 0) & (wanted > 0)) | (found == wanted)
    return (near & counted).flatten(1).sum(1) / counted.flatten(1).sum(1).clamp(min=1)


def within(found: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Those boxes whose centre is in the image."""
    classes, boxes = found
    inside = ((boxes[:, :2] >= 0) & (boxes[:, :2] <= 1)).all(-1)
    return classes[inside], boxes[inside]


def same(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> Tensor:
    """How alike boxes are, `(a, b)`: above 0 if they are of one class and overlap enough."""
    (class_a, boxes_a), (class_b, boxes_b) = a, b
    low_a, high_a = boxes_a[:, :2] - boxes_a[:, 2:] / 2, boxes_a[:, :2] + boxes_a[:, 2:] / 2
    low_b, high_b = boxes_b[:, :2] - boxes_b[:, 2:] / 2, boxes_b[:, :2] + boxes_b[:, 2:] / 2
    sides = torch.minimum(high_a[:, None], high_b) - torch.maximum(low_a[:, None], low_b)
    shared = sides.clamp(min=0).prod(-1)
    union = boxes_a[:, 2:].prod(-1)[:, None] + boxes_b[:, 2:].prod(-1) - shared
    alike = shared / union.clamp(min=1e-12)
    return torch.where((alike >= OVERLAP) & (class_a[:, None] == class_b), alike, -1.0)


def f1(alike: Tensor) -> Tensor:
    """From how alike `(found, expected)` things are, above 0 if they may be the same: the most alike are matched
    first. Nothing where nothing is expected is right."""
    total = sum(alike.shape)
    if total == 0:
        return torch.tensor(1.0)
    matched = 0
    alike = alike.clone()
    while alike.numel() and alike.max() > 0:
        row, column = divmod(int(alike.argmax()), alike.shape[1])
        alike[row], alike[:, column] = -1.0, -1.0
        matched += 1
    return torch.tensor(2 * matched / total)


METRICS: dict[str, Callable[[Any], Measure]] = {
    "accuracy": lambda config: Classes(),
    "mean_iou": lambda config: Maps(ignored_label(config)),
    "query_mean_iou": lambda config: QueriedMaps(config.num_labels, ignored_label(config)),
    "depth": lambda config: Depth(),
    "boxes": lambda config: Boxes(config.num_labels),
    "keypoints": lambda config: Points(),
}
"""By the name that a task has for it: from the predictor's configuration."""


def measure_for(model: CanonicalizedModel) -> Measure:
    """How the answers of a model are judged.

    Raises:
        ValueError: nobody has said how.
    """
    if model.metric is None:
        raise ValueError(
            f"This report is about classifiers, segmenters, depth estimators and detectors, and this is a model for "
            f"{model.task}. check_equivariance(model) says how far its answers are from transforming with the input."
        )
    return METRICS[model.metric](model.predictor.config)


def ignored_label(config: Any) -> int:
    index = getattr(config, "semantic_loss_ignore_index", None)
    return 255 if index is None else index
