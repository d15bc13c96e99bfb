"""The forward passes of every measurement: batch by batch, each in any pose, and how good the answers are."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from transformers.utils import logging

from ..data.batches import Batch, Batches
from ..groups import Group
from ..modeling_canonicalized import CanonicalizedModel
from ..outputs import Inputs
from ..predictors.untouched import evaluating
from .metrics import Answer, Measure, Place
from .transforms import AnyTransform, CustomTransform


class Passes:
    """Reads a data set and passes it, in evaluation mode and without gradients.

    Args:
        model: that is measured.
        metric: how its answers are judged; None where nobody judges them.
        dataset: as in `evaluate_robustness`, and so are `processor`, `batch_size` and `label_column`.

    Raises:
        ValueError: as `Batches`.
    """

    def __init__(
        self,
        model: CanonicalizedModel,
        metric: Measure | None,
        dataset: Iterable[Any],
        processor: Callable[..., Any] | None = None,
        batch_size: int = 32,
        label_column: str | None = None,
    ):
        self.model, self.metric = model, metric
        labels, checkpoint = None if metric is None else metric.labels, model.checkpoint
        self.batches = Batches(
            dataset,
            processor,
            batch_size,
            label_column,
            checkpoint.config,
            labels,
            model.group.kind,
            checkpoint.input_name,
        )

    @contextmanager
    def run(self, what: str, unit: str = "batches", each: int | None = 1) -> Iterator[tuple[Iterator["Poses"], Any]]:
        """The batches, and a bar of the progress.

        Args:
            what: is done, in a word.
            unit: what is counted.
            each: how many of them a batch is; None where that is not known yet.
        """
        total = None if self.batches.total is None or each is None else self.batches.total * each
        with (
            evaluating(self.model),
            torch.inference_mode(),
            # Silent where transformers' own bars are.
            logging.tqdm(total=total, unit=f" {unit}", desc=what, leave=False) as bar,
        ):
            yield (Poses(self.model, self.metric, batch) for batch in self.batches), bar


class Poses:
    """One batch, in any pose.

    Args:
        model: that is asked.
        metric: how answers are judged.
        batch: as it came.
    """

    def __init__(self, model: CanonicalizedModel, metric: Measure | None, batch: Batch):
        self.model, self.batch, self.labels = model, batch, batch.labels
        self._metric = metric
        self.inputs = model.inputs(batch.inputs)

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def metric(self) -> Measure:
        assert self._metric is not None
        return self._metric

    @cached_property
    def upright(self) -> Answer:
        """The untouched answer to the inputs as they came."""
        return self.untouched(self.inputs)

    def transformed(self, transform: AnyTransform) -> Inputs:
        if isinstance(transform, CustomTransform):
            return self.model.inputs(self.batch.transformed(transform.transform.function))
        return transformed(self.inputs, transform)

    def untouched(self, inputs: Inputs) -> Answer:
        """What the predictor alone says, as far as it is judged."""
        return self.metric.read(self.model.predict(inputs))

    def canonicalized(self, inputs: Inputs, **more: Any) -> Any:
        """The model's output."""
        return self.model.predict(inputs, lambda **arguments: self.model(**arguments, **more))

    def oracle(self, inputs: Inputs, element: int | float, model: CanonicalizedModel | None = None) -> Answer:
        """What a model (this one, by default) says that is told the element."""
        elements = torch.full((len(inputs),), element, device=inputs.x.device)
        return (self.model if model is None else model).ask(inputs, elements, read=self.metric.read)

    def expected(self, transform: AnyTransform) -> Answer:
        """The untouched answer to the inputs as they came, where it belongs now."""
        return self.place(transform).carry(self.upright, self.model.rows, self.model.predictor.config)

    def judged(self, answer: Answer, transform: AnyTransform, expected: Answer) -> dict[str, Tensor]:
        """How near an answer is to the expected one ("agreement"), and to the label if there is one ("accuracy"),
        `(batch,)` each."""
        place = self.place(transform)
        scores = {"agreement": self.metric.agreement(answer, expected, place)}
        if self.labels is not None:
            scores["accuracy"] = self.metric.accuracy(answer, self.labels, place)
        return scores

    def place(self, transform: AnyTransform) -> Place:
        """Where the images have gone."""
        height, width = self.inputs.x.shape[-2:]
        return Place(transform.steps, (height, width))


def transformed(inputs: Inputs, transform: AnyTransform) -> Inputs:
    """A batch to which the same has happened everywhere."""
    assert not isinstance(transform, CustomTransform)
    x = transform(inputs.x, inputs.lengths)
    return replace(inputs, x=x, lengths=transform.lengths(inputs.lengths, x))


def acted(inputs: Inputs, group: Group, element: int | float | Tensor) -> Inputs:
    """A batch on which one element has acted."""
    return inputs.transformed(group, torch.as_tensor(element).expand(len(inputs)).to(inputs.x.device))
