"""The elements of a group in the order of their probability; of a continuous one, its modes."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..groups import Group


@dataclass(frozen=True)
class Ranking:
    """What may have happened to each input, likeliest first.

    Args:
        element: `(batch, k)`: every element of a finite group; of a continuous one the modes of the posterior.
        probability: `(batch, k)`; of a mode, all that lies around its highest bin, within the tolerance of the group.
            Zero behind the last mode of an input.
        place: `(batch, |G|)` long: for each element or bin of the posterior, which one it is, or to which mode it
            belongs.
    """

    element: Tensor
    probability: Tensor
    place: Tensor

    @property
    def confidence(self) -> Tensor:
        """How sure the posterior is of the likeliest element, `(batch,)`: what thresholds are compared with."""
        return self.probability[:, 0]


def rank(probabilities: Tensor, group: Group, element: Tensor, most: int | None = None) -> Ranking:
    """Rank a posterior.

    Args:
        probabilities: `(batch, |G|)`; over evenly spread bins for a continuous group.
        group: whose posterior it is.
        element: `(batch,)`, the likeliest, as the canonicalizer says it, which may lie between bins. It comes first.
        most: how many modes of a continuous group are wanted, by default all; the last one has the bins of the others.

    Example:
        >>> from hf_canon import get_group
        >>> ranking = rank(torch.tensor([[0.2, 0.5, 0.0, 0.3]]), get_group("c4"), torch.tensor([1]))
        >>> ranking.element, ranking.place
        (tensor([[1, 3, 0, 2]]), tensor([[2, 0, 3, 1]]))
    """
    if not group.finite:
        return _rank_modes(probabilities, group, element, most)
    first = probabilities.scatter(1, element.unsqueeze(1), torch.inf)  # whatever argmax does with ties
    order = first.sort(descending=True, stable=True).indices
    return Ranking(order, probabilities.gather(1, order), order.argsort())


def _rank_modes(probabilities: Tensor, group: Any, element: Tensor, most: int | None) -> Ranking:
    """The highest bin takes those within the tolerance of the group, then the highest of the others does, and so on.

    Two elements that are no farther apart count as one: to ask the predictor about both would be a waste.
    """
    batch, bins = probabilities.shape
    parameters = group.grid(bins).to(probabilities)
    near = group.wrap(parameters - parameters.unsqueeze(1)).abs() <= group.tolerance + 1e-6  # (bins, bins)
    left = probabilities.clone()
    place = torch.zeros(batch, bins, dtype=torch.long, device=probabilities.device)
    elements, masses = [], []
    reach = int(near[0].sum()) if group.period is None else int(near[0].sum() + 1) // 2  # bins to one side, and itself
    modes_at_most = (bins - 1) // reach + 1  # two tops lie at least so far apart
    for mode in range(modes_at_most if most is None else most):
        top = left.argmax(1)
        taken = near[top] & (left >= 0)
        masses.append((left * taken).sum(1))
        elements.append(parameters[top])
        place = torch.where(taken, mode, place)
        left = left.masked_fill(taken, -1.0)
    mass = torch.stack(masses, 1)
    modes = torch.cat([element.to(mass).unsqueeze(1), *(one.unsqueeze(1) for one in elements[1:])], 1)
    # The first stays first; a broad mode further down may weigh more than a narrow one.
    order = torch.cat(
        [torch.zeros_like(mass[:, :1], dtype=torch.long), 1 + mass[:, 1:].argsort(1, descending=True)], 1
    )
    return Ranking(modes.gather(1, order), mass.gather(1, order), order.argsort().gather(1, place))
