"""A low-rank quadratic part for the frozen layers of a checkpoint: ReLinear (arXiv 2110.06081) as fine-tuning.

    y = (W x + b) * (1 + G_up G_down x) + S_up S_down (x * x)

with quadratic neurons (2303.06316) whose weights of second order have rank r. Both `up` start at zero, so that the
checkpoint's answers stay its own to the bit until something is learned. A layer of n inputs and m outputs gets
2 r (n + m) parameters, as many as from LoRA (2106.09685) of rank 2 r; for a convolution n is channels x kernel size.
LoRA is linear and can be merged into the weights; this is not, and never is.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers.utils import cached_file

from ..added import LIFT, added_names, freeze_statistics, norms_with_statistics
from ..fingerprint import differ, fingerprint
from ..loading import UNREADABLE, because
from ..peft import unwrap_peft
from ..quadratic.neuron import SecondOrder
from .targets import Layer, layers_of_names, plain_name, target_layers

CONFIG_FILE = f"{LIFT}.json"
WEIGHTS_FILE = f"{LIFT}.safetensors"


class LowRankQuadratic(SecondOrder):
    """The quadratic part of one layer, to be called as its forward hook: the layer itself stays what it is."""

    def __init__(self, layer: Layer, rank: int):
        super().__init__()
        out_features, *inputs = layer.weight.shape
        self.enabled = True
        for name in ("gain", "square"):
            down = nn.Parameter(torch.empty(rank, *inputs, device=layer.weight.device))
            nn.init.kaiming_uniform_(down, a=5**0.5)  # as LoRA begins
            up = nn.Parameter(torch.zeros(out_features, rank, device=layer.weight.device))
            self.register_parameter(f"{name}_down", down)
            self.register_parameter(f"{name}_up", up)

    def forward(self, layer: Any, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> Tensor:
        """What the layer answers once its quadratic part is there, in the layer's own precision; float32 between."""
        if not self.enabled:
            return output
        if getattr(layer, "_is_replica", False):  # its hook is still that of the layer it was copied from
            raise RuntimeError(
                "A quadratic lift cannot be copied to several devices by nn.DataParallel, which Trainer uses where it "
                "sees many. Start one process for each with torchrun or accelerate launch, or show it one device."
            )
        x = args[0] if args else kwargs["input"]
        precision = torch.promote_types(output.dtype, torch.float32)
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(precision)
            gain = 1 + project(layer, x, self.gain_down, self.gain_up)
            squares = project(layer, x * x, self.square_down, self.square_up)
            return (output.to(precision) * gain + squares).to(output.dtype)

    def second_order(self) -> Iterator[nn.Parameter]:
        return self.parameters(recurse=False)


def project(layer: Any, x: Tensor, down: Any, up: Any) -> Tensor:
    """What the layer would answer if `up` times `down` were its weights, and it had no bias."""
    down, up = down.to(x.dtype), up.to(x.dtype)
    if isinstance(layer, nn.Linear):
        return F.linear(F.linear(x, down), up)
    narrow = layer._conv_forward(x, down, None)  # strided and padded as the layer is
    if isinstance(layer, nn.Conv1d):
        return F.conv1d(narrow, up[:, :, None])
    return F.conv2d(narrow, up[:, :, None, None])


class QuadraticLift(nn.Module):
    """What `quadratic_lift` has attached to a model: to be trained, looked at, switched off, saved, and taken off.

    It is a child of the model, whose own modules and their names stay what they are. The quadratic parts are hooks on
    the layers that are lifted.

    Attributes:
        rank: of the weights of second order.
        layers: the names of the layers that are lifted, in the checkpoint.
    """

    def __init__(self, model: nn.Module, layers: dict[str, Layer], rank: int):
        super().__init__()
        self.rank = rank
        self.layers = tuple(map(plain_name, layers))
        # Numbered: by their layers' names PEFT and transformers would take them for layers.
        self.parts = nn.ModuleList(LowRankQuadratic(layer, rank) for layer in layers.values())
        self._model = (model,)  # in a tuple: it is the parent, not a child
        self._trained_before = {plain_name(name): p.requires_grad for name, p in model.named_parameters()}
        norms = norms_with_statistics(model)
        self._frozen_norms = {name for name, norm in norms if model.training and not norm.training}
        self._handles: list[RemovableHandle] = [
            layer.register_forward_hook(part, with_kwargs=True)
            for layer, part in zip(layers.values(), self.parts, strict=True)
        ]
        self._handles.append(model.register_forward_pre_hook(keep_statistics))
        model.requires_grad_(False)
        model.add_module(LIFT, self)

    def forward(self, x: Any) -> Any:
        """Nothing: in a `Sequential` it is one of the modules that are called in turn."""
        return x

    @classmethod
    def of(cls, model: nn.Module) -> "QuadraticLift":
        """The lift that a model carries; of a `CanonicalizedModel`, its predictor's.

        Raises:
            ValueError: it carries none.
        """
        model = predictor_of(model)
        lift = getattr(model, LIFT, None)
        if lift is None:
            raise ValueError(
                f"This {type(model).__name__} carries no quadratic lift. Call quadratic_lift(model) first."
            )
        return lift

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """How many parameters of the model are trained, and how many it has, the lift's included."""
        numbers = [(p.numel(), p.requires_grad) for p in self._model[0].parameters()]
        return sum(number for number, trained in numbers if trained), sum(number for number, _ in numbers)

    def print_trainable_parameters(self) -> None:
        """Print how many parameters are trained, as PEFT does."""
        trained, total = self.get_nb_trainable_parameters()
        print(f"trainable params: {trained:,d} || all params: {total:,d} || trainable%: {100 * trained / total:.4f}")

    @contextmanager
    def disabled(self) -> Iterator[None]:
        """Within it the model answers as the checkpoint does, to the bit; in every thread."""
        parts: Any = self.parts
        before = [part.enabled for part in parts]
        try:
            for part in parts:
                part.enabled = False
            yield
        finally:
            for part, enabled in zip(parts, before, strict=True):
                part.enabled = enabled

    def remove(self) -> None:
        """Leave the model as it was: its modules, hooks and state dict, and which of its parameters are trained. Norms
        follow the model's mode again, but for those that were frozen by themselves before."""
        model = self._model[0]
        if getattr(model, LIFT, None) is not self:
            return
        for handle in self._handles:
            handle.remove()
        delattr(model, LIFT)
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(self._trained_before.get(plain_name(name), parameter.requires_grad))
        for name, norm in norms_with_statistics(model):
            norm.train(model.training and name not in self._frozen_norms)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Save the lift alone, as `quadratic_lift.json` and `quadratic_lift.safetensors`. What else is in the folder
        stays: it may be that of the checkpoint, whose own `from_pretrained` brings back no lift.

        Args:
            save_directory: made if it does not exist.

        Raises:
            ValueError: PEFT has replaced a layer that is lifted.
            OSError: the folder cannot be written.
        """
        folder, model = Path(save_directory), self._model[0]
        settings = {
            **(lift_settings(model) or {}),
            "base_name_or_path": getattr(getattr(model, "config", None), "_name_or_path", None),
            "base_fingerprint": fingerprint(model),
        }
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder, prefix=".saving-") as staging:  # a full disk leaves what was there
            state = {name: value.contiguous() for name, value in self.state_dict().items()}
            save_file(state, Path(staging) / WEIGHTS_FILE, metadata={"format": "pt"})
            (Path(staging) / CONFIG_FILE).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            for name in (CONFIG_FILE, WEIGHTS_FILE):
                os.replace(Path(staging) / name, folder / name)

    @classmethod
    def from_pretrained(
        cls, model: nn.Module, name_or_path: str | os.PathLike[str], **hub_kwargs: Any
    ) -> "QuadraticLift":
        """Attach a saved lift to the checkpoint that it was trained on.

        Args:
            model: a transformers model, or a `CanonicalizedModel`, whose predictor is lifted.
            name_or_path: a folder, or the id of a repository.
            hub_kwargs: `revision`, `token`, `cache_dir`, `local_files_only`, as in `from_pretrained` of transformers.

        Raises:
            ValueError: it was trained on other weights, or the model carries a lift already.
            OSError: there is no lift.
        """
        model, where = predictor_of(model), os.fspath(name_or_path)
        try:
            config, weights = (str(cached_file(where, name, **hub_kwargs)) for name in (CONFIG_FILE, WEIGHTS_FILE))
        except UNREADABLE as error:
            raise OSError(f"{where!r} holds no quadratic lift that can be read: {because(error, where)}") from error
        try:
            settings = json.loads(Path(config).read_text(encoding="utf-8"))
            rank, layers, base = settings["rank"], settings["layers"], settings["base_fingerprint"]
            state = load_file(weights)
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ValueError(
                f"The quadratic lift {where} is damaged ({error!r}). Save or download it again."
            ) from error
        if differ(fingerprint(model), base):
            other = settings.get("base_name_or_path") or "another checkpoint"
            raise ValueError(
                f"The quadratic lift {where} was trained on {other}, and means nothing on these weights. Load that "
                "one, or train a lift of this one with quadratic_lift."
            )
        require_at_hand(model)
        lift = add_lift(model, {"rank": rank, "layers": layers})
        wanted = {name: value.shape for name, value in lift.state_dict().items()}
        if wanted != {name: value.shape for name, value in state.items()}:
            lift.remove()
            raise ValueError(f"{WEIGHTS_FILE} of {where} does not fit its {CONFIG_FILE}. Save or download both again.")
        lift.load_state_dict(state)
        return lift


def quadratic_lift(
    model: nn.Module, rank: int = 4, target_modules: Sequence[str] | str | None = None
) -> QuadraticLift:
    """Freeze a model, and give its Linear and Conv layers a low-rank quadratic part, which alone is trained.

    The model goes on as it is, in any trainer: its answers are the checkpoint's to the bit until something is learned,
    and again after `remove()`. Running statistics stay the checkpoint's as well. LoRA of rank 2 r has as many
    parameters: compare them. Layers whose weights a model reads without calling them (the attention of WavLM) learn
    nothing.

    Args:
        model: any transformers model, or a `CanonicalizedModel`, whose predictor is lifted, and whose adapter then
            holds the lift.
        rank: of the weights of second order.
        target_modules: ends of layers' names (`["q_proj", "fc1"]`), or one regular expression that the whole name
            matches, as in PEFT; every Linear, and every Conv1d and Conv2d that is not in groups, if None.

    Returns:
        The lift, to be saved (`save_pretrained`), switched off (`with lift.disabled():`) or taken off (`remove()`).

    Raises:
        ValueError: the model carries a lift already or is offloaded, there is no such layer or one that cannot be
            lifted, or the rank is not positive.
        RuntimeError: in a forward pass, if the model was copied by `nn.DataParallel`.

    Example:
        >>> from transformers import ViTConfig, ViTForImageClassification
        >>> from hf_canon.adaptation import quadratic_lift
        >>> vit = ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=1,
        ...     intermediate_size=16, image_size=16, patch_size=8)).eval()
        >>> x = torch.randn(1, 3, 16, 16)
        >>> before = vit(x).logits
        >>> lift = quadratic_lift(vit, rank=2, target_modules=["fc1", "fc2"])
        >>> lift.print_trainable_parameters()
        trainable params: 256 || all params: 5,202 || trainable%: 4.9212
        >>> torch.equal(vit(x).logits, before)
        True
    """
    model = predictor_of(model)
    require_rank(rank)
    require_plain(model)
    require_at_hand(model)
    return QuadraticLift(model, target_layers(model, target_modules, added_names(model)), rank)


def add_lift(model: nn.Module, settings: dict[str, Any]) -> QuadraticLift:
    """Give a plain model the lift that `lift_settings` described, with weights yet to be loaded.

    Raises:
        ValueError: it carries a lift already, or has no such layers.
    """
    require_plain(model)
    require_rank(settings["rank"])
    return QuadraticLift(model, layers_of_names(model, settings["layers"]), settings["rank"])


def lift_settings(model: nn.Module) -> dict[str, Any] | None:
    """What `add_lift` needs to make the same parts again, in what JSON can hold; None without a lift.

    Raises:
        ValueError: a part of the model carries a lift, and not the whole; or PEFT has replaced a layer that is lifted.
    """
    lift = getattr(model, LIFT, None)
    for name, module in model.named_modules():
        hooked = any(isinstance(hook, LowRankQuadratic) for hook in module._forward_hooks.values())
        if hooked and "original_module" in name.split("."):
            raise ValueError(
                f"PEFT has put its own copy in the place of {name.partition('.original_module')[0]!r}, which was "
                "lifted before. Lift the model after add_adapter, or leave that layer out of target_modules."
            )
        if isinstance(module, QuadraticLift) and module is not lift:
            raise ValueError(
                f"Only a part of this {type(model).__name__}, {name.rpartition('.')[0]!r}, carries a quadratic lift, "
                "which an adapter would not find again. Take it off, and lift the whole model: target_modules says "
                "which layers."
            )
    return {"rank": lift.rank, "layers": list(lift.layers)} if isinstance(lift, QuadraticLift) else None


def predictor_of(model: Any) -> nn.Module:
    """A `CanonicalizedModel`'s predictor, or the model inside a `PeftModel`; any other model as it is."""
    wrapped = getattr(getattr(model, "config", None), "model_type", "") == "canonicalized"
    return unwrap_peft(model.predictor if wrapped else model)


def require_plain(model: nn.Module) -> None:
    """Raise ValueError if a model carries a lift already."""
    if hasattr(model, LIFT):
        raise ValueError(
            f"This {type(model).__name__} carries a quadratic lift already. Take it off with "
            "QuadraticLift.of(model).remove(), or go on with that one."
        )


def require_at_hand(model: nn.Module) -> None:
    """Raise ValueError if weights of a model are elsewhere."""
    if any(parameter.device.type == "meta" for parameter in model.parameters()):
        raise ValueError(
            f"Weights of this {type(model).__name__} are offloaded, and a lift of them could not be trained. Load it "
            "without device_map, or with one that keeps every layer on a device."
        )


def require_rank(rank: Any) -> None:
    """Raise ValueError if that is no rank."""
    if not isinstance(rank, int) or rank < 1:
        raise ValueError(f"A quadratic lift has a whole rank of 1 or more, and this is {rank!r}. Give rank=4, say.")


def keep_statistics(model: nn.Module, args: Any) -> None:
    """Before a forward pass: training must not move what would not be saved."""
    freeze_statistics(model)
