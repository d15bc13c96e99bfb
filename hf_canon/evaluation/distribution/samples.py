"""Some items of a data set, and what a predictor makes of each of them: as it came, in every pose, canonicalized."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from ...data.batches import Batches
from ...data.provenance import describe_dataset
from ...groups import Group
from ...modeling_canonicalized import CanonicalizedModel
from ...outputs import Inputs
from ...reports.distribution_shift import Side

ITEMS = 500
"""How many items of each side are compared, at most."""
FEWEST = 20
"""With fewer on a side, hardly any shift could be told from chance."""
MEMBERS = 16
"""How many members stand for the orbit of an item, at most."""


@dataclass(frozen=True)
class Features:
    """Of some items.

    Args:
        plain: `(items, features)`, as they came.
        orbit: `(items, members, features)`.
        canonicalized: `(items, features)`; None where nobody asked.
    """

    plain: Tensor
    orbit: Tensor
    canonicalized: Tensor | None


class Drawn:
    """Some items of a data set, which can be read once.

    Args:
        dataset: all of them.
        name: what it is to the user.
        model: that is asked.
        processor: makes what the predictor reads.
        batch_size: how many inputs a pass takes.
        rng: draws, where there are too many.

    Raises:
        ValueError: there are too few, no inputs in them, or no processor; or the model's group does not fit them.
    """

    def __init__(
        self,
        dataset: Any,
        name: str,
        model: CanonicalizedModel,
        processor: Callable[..., Any] | None,
        batch_size: int,
        rng: np.random.Generator,
    ):
        self.model = model
        about: dict[str, Any] = {"model_config": model.predictor.config, "labels": None}
        about |= {"kind": model.group.kind, "name": model.checkpoint.input_name, "batch_size": batch_size}
        rows, items, of = drawn(dataset, Batches(dataset, **about), rng)
        if items < FEWEST:
            raise ValueError(
                f"{name} has {items} items, among which hardly any shift could be told from chance. Give "
                f"{FEWEST} or more, and better some hundreds."
            )
        self.side = Side(items, of, describe_dataset(dataset) or None)
        batches = Batches(rows, processor, **about)
        if processor is None and not batches.ready:
            batches.processor = model.checkpoint.processor
        self.batches = -(-items // batch_size)
        inputs = (model.inputs(batch.inputs) for batch in batches)
        self.first = next(inputs)
        model.group.check_shape(self.first.x.shape)
        self._inputs = chain([self.first], inputs)

    def read(self, look: Callable[[Inputs], Tensor], generator: torch.Generator, adapted: bool) -> Features:
        """What the predictor makes of each item: as it came, in every pose, and perhaps canonicalized.

        Args:
            look: gives the features of a batch, `(batch, features)`.
            generator: draws elements, where not all are taken.
            adapted: whether to canonicalize them too.
        """
        group = self.model.group
        plain, orbit, canonicalized = [], [], []
        for inputs in self._inputs:
            group.check_shape(inputs.x.shape)
            elements = some_elements(group, len(inputs.x), generator).to(inputs.x.device)
            orbit.append(torch.stack([look(inputs.transformed(group, element)) for element in elements], 1))
            # The identity comes first, and leaves an input as it is.
            plain.append(orbit[-1][:, 0] if all_of(group) else look(inputs))
            if adapted:
                found = self.model.canonicalize(inputs.x, inputs.lengths).element
                canonicalized.append(look(inputs.transformed(group, group.inverse(found))))
        return Features(torch.cat(plain), torch.cat(orbit), torch.cat(canonicalized) if adapted else None)


def drawn(dataset: Any, whole: Batches, rng: np.random.Generator) -> tuple[Iterable[Any], int, int]:
    """Items of a data set, at most `ITEMS` of them; how many these are, and how many there are.

    Args:
        dataset: as the user gave it.
        whole: the same, looked into.
        rng: draws without replacement.
    """
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if sized and not whole.finished and not isinstance(dataset, IterableDataset):
        of = len(dataset)
        chosen = sorted(rng.choice(of, min(of, ITEMS), replace=False).tolist())
        return (dataset[i] for i in chosen), len(chosen), of
    # Nobody knows how many come: Vitter's reservoir (1985).
    kept: list[Any] = []
    of = 0
    for of, row in enumerate(single(whole), 1):
        place = len(kept) if len(kept) < ITEMS else int(rng.integers(of))
        kept[place : place + 1] = [row] if place < ITEMS else kept[place : place + 1]
    return kept, len(kept), of


def single(whole: Batches) -> Iterator[Any]:
    """The items, one by one where the data set holds batches of them."""
    for item in whole.items:
        if whole.finished:
            names = [name for name in (whole.input_column, "attention_mask") if item.get(name) is not None]
            yield from ({name: item[name][i] for name in names} for i in range(len(item[whole.input_column])))
        else:
            yield item


def all_of(group: Group) -> bool:
    """Whether every element is taken."""
    return group.order is not None and group.order <= MEMBERS


def members_of(group: Group) -> int:
    return group.order if group.order is not None and group.order <= MEMBERS else MEMBERS


def some_elements(group: Group, items: int, generator: torch.Generator) -> Tensor:
    """Elements in which items are looked at, `(members, items)`: each of them or, of many, some for each item."""
    if all_of(group):
        return group.elements.unsqueeze(1).expand(-1, items)
    return group.sample(MEMBERS * items, generator).view(MEMBERS, items)
