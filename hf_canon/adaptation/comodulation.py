"""Task adaptation by stochastic comodulation (arXiv 2311.15053): a frozen checkpoint, and a few numbers for each task.

A task couples units of some layers to a modulator that they share. Units of the last hidden layer that follow the
modulator carry what the coupled units have to say, and are multiplied with a gain; the decision is made with activity
that nothing perturbs. With `gain="deterministic"` the same couplings multiply the units themselves: the baseline.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, Literal

import torch
from torch import Tensor, nn
from transformers.utils import logging

from ..predictors.additions import COMODULATION
from ..predictors.inputs import INPUT_NAMES, input_name
from .attachment import Attachment
from .coupling import Coupled, Coupling, Gain, InputCoupling, Units
from .probing import INPUT, Probe, blocks_of, last_block, output_layer, probe, units_of
from .read_out import Caught, ReadOut, normalized
from .tags import product_tags, sampled_tags
from .targets import matches, modules_of_names, plain_name

logger = logging.get_logger(__name__)

Estimator = Literal["product", "sampling"]


class Comodulation(Attachment):
    """What `comodulate` has attached to a model: any number of tasks, of which one is active.

    Attributes:
        gain: "comodulated" or "deterministic".
        estimator: how gains are estimated, "product" or "sampling"; `noise` is the modulator's standard deviation and
            `samples` the draws for each input, of which the product needs none.
        layers: by name, the units that are coupled.
        read_out: name of the output layer.
        tasks: their names.
    """

    kind, noun, made_by = COMODULATION, "comodulation", "comodulate(model)"

    def __init__(
        self,
        model: nn.Module,
        layers: dict[str, Coupled],
        read_out: tuple[str, int, int],
        gain: Gain,
        estimator: Estimator,
        noise: float,
        samples: int,
    ):
        super().__init__()
        require_known(gain, estimator, noise, samples)
        self.gain, self.estimator, self.noise, self.samples = gain, estimator, noise, samples
        self.layers = dict(layers)
        self.read_out = read_out[0]
        self.tasks: list[str] = []
        self.fixed: list[str] = []
        self._active: int | None = None
        self._trained = True
        self._estimating = False
        self.paused = False
        modules = modules_of_names(model, [self.read_out, *(name for name in layers if name != INPUT)], self.noun)
        self.parts = nn.ModuleList(
            InputCoupling(coupled, gain, input_name(model)) if name == INPUT else Coupling(coupled, gain)
            for name, coupled in layers.items()
        )
        self.parts.append(ReadOut(*read_out[1:]))
        handles = [
            model.register_forward_pre_hook(self._estimate, with_kwargs=True),
            model.register_forward_hook(self._forget, always_call=True),
            modules[self.read_out].register_forward_pre_hook(self.parts[-1], with_kwargs=True),
        ]
        for name, part in zip(layers, self._couplings, strict=True):
            if name == INPUT:
                handles.append(model.register_forward_pre_hook(part, with_kwargs=True))
            else:
                # First of all: what else looks at this layer sees what the next one does.
                handles.append(modules[name].register_forward_hook(part, prepend=True))
        self._attach(model, handles)

    @property
    def _couplings(self) -> list[Coupling]:
        return [part for part in self.parts if isinstance(part, Coupling)]

    @property
    def _output(self) -> ReadOut:
        part = self.parts[-1]
        assert isinstance(part, ReadOut)
        return part

    def settings(self) -> dict[str, Any]:
        return {
            "gain": self.gain,
            "estimator": self.estimator,
            "noise": self.noise,
            "samples": self.samples,
            "layers": {name: asdict(coupled) for name, coupled in self.layers.items()},
            "read_out": [self.read_out, self._output.width, self._output.axis],
            "tasks": list(self.tasks),
            "fixed": list(self.fixed),
            "task": self.task,
        }

    @classmethod
    def again(cls, model: nn.Module, settings: dict[str, Any]) -> "Comodulation":
        cls.require_none(model)
        layers = {
            name: Coupled(
                one["units"],
                one["axis"],
                tuple(one["shape"]),
                None if one["grid"] is None else tuple(one["grid"]),
            )
            for name, one in settings["layers"].items()
        }
        name, width, axis = settings["read_out"]
        tasks, fixed, task = list(settings["tasks"]), list(settings["fixed"]), settings["task"]
        rest = [settings[one] for one in ("gain", "estimator", "noise", "samples")]
        comodulation = cls(model, layers, (name, width, axis), *rest)
        try:
            for one in tasks:
                comodulation._add(one, None, one in fixed)
            comodulation.set_task(task if task in tasks else None)
        except Exception:
            comodulation.remove()
            raise
        return comodulation

    @staticmethod
    def describe(settings: dict[str, Any]) -> str:
        tasks = settings["tasks"]
        names = ", ".join(tasks[:5]) + (", ..." if len(tasks) > 5 else "")
        return f"{len(tasks)} {'task' if len(tasks) == 1 else 'tasks'} ({names}), {settings['gain']} gain"

    @property
    def task(self) -> str | None:
        """The active task; None where the model answers as the checkpoint does."""
        return None if self._active is None else self.tasks[self._active]

    def add_task(self, name: str, region: Tensor | None = None) -> None:
        """Add a task, and make it the active one. It changes no answer yet.

        Args:
            name: of the task.
            region: which places of the canonical input the task is about, `(height, width)`, `(bins, frames)` as the
                model takes spectrograms, or `(length,)`; of any size, from 0 to 1. The couplings are then known and
                not trained: no labels are needed, and for a comodulated gain only `estimating`. By default couplings
                are to be learned.

        Raises:
            ValueError: there is such a task, or a region cannot be laid over the units.
        """
        require_name(name)
        if name in self.tasks:
            raise ValueError(f"There is a task {name!r} already. Take another name, or remove_task({name!r}) first.")
        if region is not None and (not torch.isfinite(region).all() or region.min() < 0 or region.max() <= 0):
            raise ValueError(
                "A region says which share of each place it takes, from 0 to 1, and this one has other values or is "
                "empty. Give a mask."
            )
        self._add(name, region, region is not None)
        self.set_task(name)

    def _add(self, name: str, region: Tensor | None, fixed: bool) -> None:
        like = next(self._model[0].parameters())
        starts = [None if region is None else part.coupled.from_region(region.float()) for part in self._couplings]
        for part, start in zip(self._couplings, starts, strict=True):
            part.add(like, start)
        self._output.add(like)
        self.tasks.append(name)
        if fixed:
            self.fixed.append(name)

    def remove_task(self, name: str) -> None:
        """Forget a task; where it was the active one, none is from then on.

        Raises:
            ValueError: there is no such task.
        """
        index, active = self._index(name), self.task
        self.set_task(None)
        for part in self._couplings:
            part.tasks = nn.ParameterList([one for i, one in enumerate(part.tasks) if i != index])
        del self._output.tasks[index]
        self.tasks.remove(name)
        self.fixed = [one for one in self.fixed if one != name]
        self.set_task(active if active != name else None)

    def set_task(self, name: str | None) -> None:
        """Answer by another task from now on, in every thread; with None as the checkpoint does. Only the couplings of
        the active task are trained.

        Raises:
            ValueError: there is no such task.
        """
        index = None if name is None else self._index(name)
        if self._active is not None and self.task not in self.fixed:
            self._trained = self._couplings[0].tasks[self._active].requires_grad
        for part in self._couplings:
            if self._active is not None:
                part.tasks[self._active].requires_grad_(False)
            part.active = index
        self._output.active = index
        self._active = index
        if self._trained:
            self.train_again()

    def train_again(self, trained: bool = True) -> None:
        """Let gradients reach the couplings of the active task, if they are learned; or none."""
        self._trained = trained
        self.requires_grad_(False)
        if trained and self._active is not None and self.task not in self.fixed:
            for part in self._couplings:
                part.tasks[self._active].requires_grad_(True)

    @contextmanager
    def using(self, name: str | None) -> Iterator[None]:
        """Within it the model answers by that task, and afterwards as it did before.

        Raises:
            ValueError: there is no such task.
        """
        before = self.task
        self.set_task(name)
        try:
            yield
        finally:
            self.set_task(before)

    def _index(self, name: str) -> int:
        if name not in self.tasks:
            raise ValueError(
                f"There is no task {name!r} here. Those there are: {', '.join(self.tasks) or 'none'}; "
                f"add_task({name!r}) adds it."
            )
        return self.tasks.index(name)

    def couplings(self) -> dict[str, Tensor]:
        """By layer, the couplings of the active task.

        Raises:
            ValueError: no task is active.
        """
        index = self._require_active()
        return {name: part.couplings(index).detach() for name, part in zip(self.layers, self._couplings, strict=True)}

    def read_out_gain(self) -> Tensor:
        """The gains `(units,)` of the last hidden layer in the active task: 1 everywhere until they are estimated.

        Raises:
            ValueError: no task is active.
        """
        return self._output.running(self._require_active()).value

    def parameters_per_task(self) -> int:
        """How many numbers one task has: its couplings, and the gains of a comodulated one."""
        couplings = sum(torch.Size(coupled.shape).numel() for coupled in self.layers.values())
        return couplings + (self._output.width if self.gain == "comodulated" else 0)

    def _require_active(self) -> int:
        if self._active is None:
            raise ValueError(
                f"No task is active. Choose one with set_task: {', '.join(self.tasks) or 'none is there'}."
            )
        return self._active

    @contextmanager
    def estimating(self) -> Iterator[None]:
        """Within it every pass of the model, alone or behind its canonicalizer, takes its inputs into the gains of the
        active task, from anew. No labels are needed, and nothing is trained.

        Raises:
            ValueError: no task is active, or the gain is deterministic, which has nothing to estimate.

        Example:
            >>> from transformers import ResNetConfig, ResNetForImageClassification
            >>> from hf_canon.adaptation import comodulate
            >>> resnet = ResNetForImageClassification(ResNetConfig(embedding_size=8, hidden_sizes=[8, 16],
            ...     depths=[1, 1], num_labels=2)).eval()
            >>> comodulation = comodulate(resnet, units="places", inputs=torch.rand(1, 3, 32, 32), task=None)
            >>> left = torch.zeros(2, 2)
            >>> left[:, 0] = 1
            >>> comodulation.add_task("left", region=left)
            >>> with comodulation.estimating(), torch.no_grad():
            ...     _ = resnet(torch.rand(8, 3, 32, 32))
            >>> comodulation.read_out_gain().mean().round(decimals=3)
            tensor(1.)
        """
        index = self._require_active()
        if self.gain != "comodulated":
            raise ValueError("A deterministic gain needs no estimate: its couplings multiply the units themselves.")
        self._output.running(index).batches.zero_()
        self._estimating = True
        try:
            yield
        finally:
            self._estimating = False
        gain = self._output.running(index)
        if gain.batches and bool((gain.value == 1).all()):
            logger.warning(
                f"No unit of the last hidden layer follows the task {self.tasks[index]!r}, and its gains change "
                "nothing: a norm behind the coupled units undoes what scales them, or none of them is active. Couple "
                "others: target_modules='input' or ['v_proj'], say."
            )

    def tags(self, *args: Any, **kwargs: Any) -> Tensor:
        """How much each unit of the last hidden layer follows the modulator of the active task, in a batch.

        Args:
            args: what the model takes, and `kwargs`.

        Returns:
            `(units,)`: cov(h, m) / Var(m), the mean over the batch.

        Raises:
            ValueError: no task is active.
            RuntimeError: the model has no forward derivative, and the estimator is the product.
        """
        self._require_active()
        if not self._output.enabled:
            raise ValueError("A comodulation that is disabled has no tags. Ask outside of disabled().")
        model: Any = self._model[0]
        name = next((name for name in INPUT_NAMES if name in kwargs), None)
        like = kwargs[name] if name is not None else args[0] if args else next(iter(kwargs.values()))
        if torch.is_autocast_enabled(like.device.type):  # a tangent has the precision of what it is a tangent of
            with torch.autocast(like.device.type, enabled=False):
                dtype = next(model.parameters()).dtype
                args = tuple(in_precision(one, dtype) for one in args)
                return self.tags(*args, **{key: in_precision(one, dtype) for key, one in kwargs.items()})

        def read(m: Tensor, variance: float) -> Tensor:
            given, named = args, kwargs
            for part in self._couplings:
                part.modulator, part.variance = m, variance
                if isinstance(part, InputCoupling):
                    given, named = part(model, given, named) or (given, named)
            try:
                model.forward(*given, **named)
            except Caught as caught:
                return caught.activity
            raise RuntimeError(f"{type(model).__name__} did not call its output layer, {self.read_out}, in this pass.")

        self._output.catching = True
        checkpointed = [m for m in model.modules() if getattr(m, "gradient_checkpointing", False)]
        for module in checkpointed:  # it recomputes what has a tangent without one
            module.gradient_checkpointing = False
        try:
            if self.estimator == "sampling":
                tags = sampled_tags(read, len(like), self.samples, self.noise, like)
            else:
                tags = product_tags(read, len(like), like)
        finally:
            self._output.catching = False
            for part in self._couplings:
                part.modulator = None
            for module in checkpointed:
                module.gradient_checkpointing = True
        return tags.movedim(self._output.axis, -1).flatten(0, -2).mean(0)

    @torch.compiler.disable
    def _estimate(self, model: nn.Module, args: Any, kwargs: Any) -> None:
        """Before a pass that is learned from: the gains of this batch."""
        index, learning = self._active, model.training and torch.is_grad_enabled()
        if self.gain != "comodulated" or index is None or not self._output.enabled:
            return
        self._output.require_original(model)
        if learning and self._couplings[0].tasks[index].requires_grad:
            gain = normalized(self.tags(*args, **kwargs))
            self._output.running(index).update(gain)
            self._output.batch_gain = gain
        elif self._estimating and not self.paused:
            with torch.no_grad():
                self._output.running(index).update(normalized(self.tags(*args, **kwargs)))

    def _forget(self, model: nn.Module, args: Any, output: Any) -> None:
        """After a pass, whether or not it came through."""
        self._output.batch_gain = None


def comodulate(
    model: nn.Module,
    target_modules: Sequence[str] | str | None = None,
    units: Units = "channels",
    gain: Gain = "comodulated",
    estimator: Estimator = "product",
    noise: float = 0.1,
    samples: int = 500,
    read_out: str | None = None,
    inputs: Any = None,
    task: str | None = "default",
) -> Comodulation:
    """Freeze a model, and couple units of its layers to a shared modulator: a few kB for each task, and nothing else
    is trained.

    The model goes on as it is, in any trainer: its answers are the checkpoint's to the bit until a task is learned,
    within `disabled()`, and after `remove()`. Couplings have the scale of 1: learning rates around 0.1 suit them.
    `selectivity` says beforehand whether a layer can profit.

    Args:
        model: any transformers model for images or audio with an output layer, or a `CanonicalizedModel`, whose
            predictor is adapted, and whose adapter then holds the tasks.
        target_modules: ends of the names of modules that answer with units (`["blocks.15"]`), or one regular
            expression that the whole name matches; "input" for the model's own input; by default the last block.
        units: what has a coupling: "channels", "heads" of attention (of a `v_proj`), or "places" (tokens, pixels).
        gain: "comodulated": of the last hidden layer, by how its units follow the modulator; or "deterministic": of
            the coupled units themselves.
        estimator: of the former, "product" (of the Jacobian and the modulated activity) or "sampling".
        noise: the modulator's standard deviation, where it is sampled.
        samples: draws of the modulator for each input, where it is sampled.
        read_out: the output layer, by default the one that gives the logits.
        inputs: a batch to look at the layers with: a tensor or the model's arguments; by default noise of the size
            that the model was made for.
        task: the name of the first task; None for none yet.

    Returns:
        The comodulation: `add_task`, `set_task`, `using`, `estimating`, `disabled`, `save_pretrained`, `remove`.

    Raises:
        ValueError: the model carries one already, or is offloaded; a layer, its units or the output layer are not
            found; or an argument is not one of those above.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon.adaptation import comodulate
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        ...     intermediate_size=16, image_size=16, patch_size=8)).eval()
        >>> x = torch.randn(1, 3, 16, 16)
        >>> before = vit(x).logits
        >>> comodulation = comodulate(vit, target_modules=["layers.0"], task="birds")
        >>> comodulation.add_task("food")
        >>> comodulation.print_trainable_parameters()
        trainable params: 16 || all params: 6,674 || trainable%: 0.2397
        >>> with comodulation.using("birds"):
        ...     torch.equal(vit(x).logits, before)
        True
    """
    model = Comodulation.ready(model)
    require_known(gain, estimator, noise, samples)
    if task is not None:
        require_name(task)
    found = probe(model, inputs)
    output = output_layer(found, read_out)
    names = target_names(found, model, target_modules, output)
    layers = {plain_name(name): units_of(found, model, name, units) for name in names}
    comodulation = Comodulation(model, layers, described(found, output), gain, estimator, noise, samples)
    if task is not None:
        comodulation.add_task(task)
    return comodulation


def described(found: Probe, output: str) -> tuple[str, int, int]:
    """The output layer's name in the checkpoint, how many units it reads, and along which axis."""
    layer: Any = found.modules[output]
    if isinstance(layer, nn.Linear):
        return plain_name(output), layer.in_features, -1
    return plain_name(output), layer.in_channels, 1


def in_precision(argument: Any, dtype: torch.dtype) -> Any:
    """A tensor of fractions in another precision; anything else as it is."""
    return argument.to(dtype) if isinstance(argument, Tensor) and argument.is_floating_point() else argument


def target_names(found: Probe, model: nn.Module, target_modules: Sequence[str] | str | None, output: str) -> list[str]:
    """The names of the modules that are chosen.

    Raises:
        ValueError: there are none.
    """
    if target_modules is None:
        return [last_block(found, model, output)]
    names = [name for name in (INPUT, *found.modules) if matches(name, target_modules)]
    if not names:
        known = blocks_of(found, model, output) or list(found.outputs)
        raise ValueError(
            f"No module that is called in a pass matches target_modules={target_modules!r}. There are "
            f"{', '.join(known[-12:])}, and {INPUT!r}."
        )
    return names


def require_name(name: Any) -> None:
    """Raise ValueError if that is no name of a task."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"A task is known by its name, and this is {name!r}. Give a string.")


def require_known(gain: Any, estimator: Any, noise: Any, samples: Any) -> None:
    """Raise ValueError if these are no settings of a comodulation."""
    for what, value, known in (
        ("gain", gain, ("comodulated", "deterministic")),
        ("estimator", estimator, ("product", "sampling")),
    ):
        if value not in known:
            raise ValueError(f"{what}={value!r} is not known. Give one of {', '.join(map(repr, known))}.")
    if not noise > 0 or not isinstance(samples, int) or samples < 2:
        raise ValueError(
            f"A covariance needs noise above 0 and two samples or more, and these are noise={noise!r} and "
            f"samples={samples!r}. Give noise=0.1 and samples=500, say."
        )
