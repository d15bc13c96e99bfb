"""Whether comodulation can pay at a layer, before anything is trained.

Gains of the last hidden layer can single out a task only where its units listen to different units of the coupled
layer. If one of either kind is drawn, how much does it tell about the other? With T[u, j], how much unit u follows
a modulator of unit j alone (Methods of arXiv 2311.15053), and p(j | u) = |T[u, j]| / sum over j:

    selectivity = I(u; j) / log(min(number of u, number of j)),    u uniform

which is 0 where all units of the last hidden layer listen to the same ones in the same proportions (a dense read-out),
and 1 where each reads its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..predictors.untouched import evaluating
from .comodulation import Comodulation, described, target_names
from .coupling import Units
from .probing import blocks_of, output_layer, probe, units_of
from .read_out import Caught
from .tags import above_rounding
from .targets import plain_name

SELECTIVE = 0.3
"""From here on the verdict is "comodulated": between the dense blocks that were looked at (0.07 to 0.21) and places in
front of a local read-out (0.45)."""
READ_UNITS = 64
"""Units of the last hidden layer that are looked at: each is a backward pass."""


@dataclass(frozen=True)
class Selectivity:
    """What is known of a layer before anything is trained.

    Attributes:
        layer: its name.
        units: how many it has.
        value: from 0, a dense read-out, to 1, where every unit of the last hidden layer feeds its own.
        verdict: the gain that is advised: "comodulated" or "deterministic"; or "nothing" where no unit of the last
            hidden layer depends on these at all.
    """

    layer: str
    units: int
    value: float
    verdict: Literal["comodulated", "deterministic", "nothing"]


def selectivity(
    model: nn.Module,
    inputs: Any,
    target_modules: Sequence[str] | str | None = None,
    units: Units = "channels",
    read_out: str | None = None,
) -> list[Selectivity]:
    """Say of every block whether `gain="comodulated"` can pay there. The model is left as it was.

    Args:
        model: as for `comodulate`; it carries no comodulation.
        inputs: a batch of 16 real inputs or more, a tensor or the model's arguments. On noise it means nothing.
        target_modules: as for `comodulate`; by default every block that the model is stacked from.
        units: as for `comodulate`.
        read_out: as for `comodulate`.

    Returns:
        A `Selectivity` for each layer, in the order of the layers.

    Raises:
        ValueError: as `comodulate`.

    Example:
        >>> from hf_canon.adaptation import selectivity
        >>> apart = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> for found in selectivity(apart, torch.randn(32, 4), target_modules=["0", "1"], read_out="2"):
        ...     print(found.layer, found.units, round(found.value, 2), found.verdict)
        0 4 1.0 comodulated
        1 4 1.0 comodulated
    """
    model = Comodulation.ready(model)
    found = probe(model, inputs)
    output = output_layer(found, read_out)
    blocks = blocks_of(found, model, output) if target_modules is None else []
    names = blocks or target_names(found, model, target_modules, output)
    layers = {plain_name(name): units_of(found, model, name, units) for name in names}
    comodulation = Comodulation(model, layers, described(found, output), "deterministic", "product", 0.1, 2)
    comodulation.add_task("all")
    try:
        tables = tag_tables(comodulation, inputs)
    finally:
        comodulation.remove()
    return [judged(name, table) for name, table in tables.items()]


def tag_tables(comodulation: Comodulation, inputs: Any) -> dict[str, Tensor]:
    """By layer, how much units of the last hidden layer follow a modulator of each unit alone, `(read units, units)`.

    Tags are linear in the couplings: they are the derivative by those of a deterministic gain, at none.
    """
    model: Any = comodulation._model[0]
    couplings = [part.tasks[0] for part in comodulation._couplings]
    comodulation._output.catching = True
    try:
        with torch.enable_grad(), evaluating(model):
            model(inputs) if isinstance(inputs, Tensor) else model(**inputs)
        raise RuntimeError(f"{type(model).__name__} did not call its output layer, {comodulation.read_out}.")
    except Caught as caught:
        activity = caught.activity.movedim(comodulation._output.axis, -1).flatten(0, -2).mean(0)
    finally:
        comodulation._output.catching = False
    chosen = torch.linspace(0, len(activity) - 1, min(READ_UNITS, len(activity))).round().long().unique()
    rows = [torch.autograd.grad(activity[unit], couplings, retain_graph=True, allow_unused=True) for unit in chosen]
    tables = {}
    for name, coupling, column in zip(comodulation.layers, couplings, zip(*rows, strict=True), strict=True):
        table = [torch.zeros_like(coupling) if row is None else row.detach() for row in column]
        tables[name] = above_rounding(torch.stack([row.flatten() for row in table]).double(), activity)
    return tables


def judged(name: str, table: Tensor) -> Selectivity:
    """What follows from a layer's tags."""
    value = shared_information(table)
    if value is None:
        return Selectivity(name, table.shape[1], 0.0, "nothing")
    return Selectivity(name, table.shape[1], value, "comodulated" if value >= SELECTIVE else "deterministic")


def shared_information(table: Tensor) -> float | None:
    """I(row; column) of a table of magnitudes, rows uniform, as a share of the most that there can be. None where at
    most one row or column has anything.

    Example:
        >>> shared_information(torch.eye(3)), shared_information(torch.ones(3, 3))
        (1.0, 0.0)
    """
    table = table.abs()
    table = table[table.sum(1) > 0]
    table = table[:, table.sum(0) > 0]
    if min(table.shape) < 2:
        return None
    conditional = table / table.sum(1, keepdim=True)
    ratio = conditional / conditional.mean(0)
    information = torch.xlogy(conditional, ratio).sum(1).mean()
    return float((information / torch.tensor(min(table.shape)).log()).clamp(0, 1))
