"""Examples for the page of a report, kept while an evaluation runs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..groups import Images, Spectrograms, Waveforms
from ..modeling_canonicalized import CanonicalizedModel
from ..reports.page.examples import SMALL, Example, Examples, Said, data_uri
from ..reports.robustness import NOTABLE
from ..selection import Action
from .display import displayed, drawn_audio
from .metrics import Answer, Measure
from .transforms import AnyTransform

MOST = 8
"""Examples of a kind."""

Key = tuple[float, int, int]


class Galleries:
    """Keeps a few examples of each kind while an evaluation runs, and nothing else: an input once at most.

    The examples do not depend on the size of batches. Harmed and fixed are those about which the canonicalizer was
    surest (of scores between right and wrong, those that changed most), unsure those with the least confidence.

    Args:
        model: that is evaluated.
        measure: how its answers are judged.
        processor: of its inputs, which says how to show them.
    """

    def __init__(self, model: CanonicalizedModel, measure: Measure, processor: Callable[..., Any] | None):
        self.model = model
        self.measure = measure
        self.processor = processor
        self.totals = {"harmed": 0, "fixed": 0}
        """How many answers there were of each kind, shown or not."""
        self._kept: dict[str, dict[int, tuple[Key, Example]]] = {"harmed": {}, "fixed": {}, "unsure": {}}

    @property
    def examples(self) -> Examples:
        """What was kept, the most telling first."""
        kept = {
            name: tuple(example for _, example in sorted(found.values(), key=lambda pair: pair[0]))
            for name, found in self._kept.items()
        }
        return Examples(**kept, totals=self.totals)

    def add(
        self,
        transform: AnyTransform,
        place: tuple[int, int],
        x: Tensor,
        lengths: Tensor | None,
        output: Any,
        answers: dict[str, Answer],
        judged: dict[str, Tensor],
        expected: Sequence[str] | None,
    ) -> None:
        """Look at a batch, after a transform.

        Args:
            transform: that happened.
            place: which of the transforms it is, and which input of the data set the first of the batch.
            x: `(batch, ...)`, as the predictor reads it.
            lengths: `(batch,)`, how much of it is audio.
            output: of the model.
            answers: of the untouched predictor, "before", and of the model, "after".
            judged: how right they are, `(batch,)` each.
            expected: the right answers, in words.
        """
        said = output.canonicalization
        change = (judged["after"].double() - judged["before"].double()).cpu().numpy()
        # Rounded: the last bits depend on the batch.
        confidence = said.confidence.double().cpu().numpy().round(4)
        notable = NOTABLE + 1e-9 if self.measure.graded else 0.0
        telling = -np.abs(change).round(4) if self.measure.graded else -confidence
        for name, values, counted in (
            ("harmed", telling, change < -notable),
            ("fixed", telling, change > notable),
            ("unsure", confidence, np.ones_like(change, dtype=bool)),
        ):
            (chosen,) = counted.nonzero()
            if name in self.totals:
                self.totals[name] += len(chosen)
            for i in chosen[np.argsort(values[chosen], kind="stable")][:MOST].tolist():
                key = (float(values[i]), place[1] + i, place[0])
                if self._wanted(name, place[1] + i, key):
                    example = self._example(transform, place[1] + i, i, x, lengths, output, answers, judged, expected)
                    self._keep(name, place[1] + i, key, example)

    def _wanted(self, name: str, item: int, key: Key) -> bool:
        kept = self._kept[name]
        if item in kept:
            return key < kept[item][0]
        return len(kept) < MOST or key < max(other for other, _ in kept.values())

    def _keep(self, name: str, item: int, key: Key, example: Example) -> None:
        kept = self._kept[name]
        kept[item] = (key, example)
        if len(kept) > MOST:
            del kept[max(kept, key=lambda other: kept[other][0])]

    def _example(
        self,
        transform: AnyTransform,
        item: int,
        i: int,
        x: Tensor,
        lengths: Tensor | None,
        output: Any,
        answers: dict[str, Answer],
        judged: dict[str, Tensor],
        expected: Sequence[str] | None,
    ) -> Example:
        said, group = output.canonicalization, self.model.group
        shown = self._images(x[i], said.canonical[i], None if lengths is None else int(lengths[i]))
        likeliest = self.model.canonicalizer.element(said.logits[i : i + 1]).item()
        before, after = (self._said(answers[name], judged[name], i) for name in ("before", "after"))
        return Example(
            number=item + 1,
            pose="as it came" if transform.identity else f"given at {transform.name}",
            image=data_uri(shown[0]),
            canonical=data_uri(shown[1]),
            small=isinstance(group.kind, Images) and max(shown[0].shape[:2]) < SMALL,
            found=group.describe(likeliest),
            confidence=float(said.confidence[i]),
            posterior=tuple(said.probabilities[i].tolist()),
            action=Action(int(said.action[i])).words,
            before=before,
            after=after,
            expected=None if expected is None else expected[i],
        )

    def _said(self, answer: Answer, judged: Tensor, i: int) -> Said:
        if self.measure.graded:
            return Said(f"{self.measure.name} {float(judged[i]):.2f}", None, None)
        sure, number = answer["logits"][i].softmax(-1).max(-1)
        return Said(class_name(self.model, int(number)), float(sure), bool(judged[i]))

    def _images(self, given: Tensor, canonical: Tensor, length: int | None) -> list[np.ndarray]:
        kind = self.model.group.kind
        if isinstance(kind, Images):
            show = displayed(given, self.processor, kind)
            return [show(given), show(canonical)]
        assert isinstance(kind, Waveforms | Spectrograms)
        if isinstance(kind, Waveforms):
            given, canonical = given[..., :length], canonical[..., :length]
        loudest, faintest = (float(pick(given.float())) for pick in (torch.max, torch.min))
        if isinstance(kind, Waveforms):
            loudest = max(loudest, -faintest)
        return [drawn_audio(one, kind, loudest, faintest) for one in (given, canonical)]


def class_name(model: CanonicalizedModel, number: int) -> str:
    """What a class is called: of several synonyms, as ImageNet has them, the first."""
    names: dict[Any, str] = model.predictor.config.id2label or {}
    return str(names.get(number, number)).split(",")[0]
