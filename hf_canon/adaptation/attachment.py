"""The contract of what is attached to a frozen checkpoint: how it starts, is switched off, saved, and taken off."""

import json
import os
from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn
from torch.utils.hooks import RemovableHandle
from transformers.utils import cached_file

from ..predictors.additions import freeze_statistics, norms_with_statistics
from ..predictors.fingerprint import differ, fingerprint
from ..predictors.hub_files import UNREADABLE, because
from ..predictors.peft import unwrap_peft
from .targets import plain_name


class Part(nn.Module):
    """What an attachment does at one layer, called as that layer's hook: the layer itself stays what it is."""

    enabled = True
    reads = False
    """Whether it changes what the layer reads, which PEFT would read beside it."""

    @staticmethod
    def require_original(layer: nn.Module) -> None:
        """Raise RuntimeError in a copy of a model on another device, whose hooks are those of the original."""
        if getattr(layer, "_is_replica", False):
            raise RuntimeError(
                "What is attached to a model cannot be copied to several devices by nn.DataParallel, which Trainer "
                "uses where it sees many. Start one process for each with torchrun or accelerate launch, or show it "
                "one device."
            )


class Attachment(nn.Module):
    """Something small that is attached to a model: trained, looked at, switched off, saved, and taken off.

    It is a child of the model, whose own modules and their names stay what they are. Its parts are hooks on layers.
    """

    kind: ClassVar[str]
    """The name of the child, and of the files."""
    noun: ClassVar[str]
    made_by: ClassVar[str]
    """What a user calls to get one."""

    parts: nn.ModuleList
    """`Part`s, numbered: by their layers' names PEFT and transformers would take them for layers."""

    def _attach(self, model: nn.Module, handles: list[RemovableHandle]) -> None:
        """Become a child of a model, which is frozen: the last thing that a constructor does."""
        self._model = (model,)  # in a tuple: it is the parent, not a child
        self._trained_before = {plain_name(name): p.requires_grad for name, p in model.named_parameters()}
        norms = norms_with_statistics(model)
        self._frozen_norms = {name for name, norm in norms if model.training and not norm.training}
        # First of all: other hooks may run the model themselves.
        self._handles = [*handles, model.register_forward_pre_hook(keep_statistics, prepend=True)]
        model.requires_grad_(False)
        model.add_module(self.kind, self)

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """What `again` needs to attach the same to the same checkpoint, in what JSON can hold."""

    @classmethod
    @abstractmethod
    def again(cls, model: nn.Module, settings: dict[str, Any]) -> Self:
        """Attach to a plain model what `settings` described, with weights yet to be loaded.

        Raises:
            ValueError: the model carries one already, or has no such layers.
            KeyError: a setting is missing.
        """

    @staticmethod
    @abstractmethod
    def describe(settings: dict[str, Any]) -> str:
        """What `settings` described, in a few words for a card."""

    def forward(self, x: Any) -> Any:
        """Nothing: in a `Sequential` it is one of the modules that are called in turn."""
        return x

    @classmethod
    def of(cls, model: nn.Module) -> Self:
        """The one that a model carries; of a `CanonicalizedModel`, its predictor's.

        Raises:
            ValueError: it carries none.
        """
        model = predictor_of(model)
        found = getattr(model, cls.kind, None)
        if found is None:
            raise ValueError(f"This {type(model).__name__} carries no {cls.noun}. Call {cls.made_by} first.")
        return found

    def get_nb_trainable_parameters(self) -> tuple[int, int]:
        """How many parameters of the model are trained, and how many it has, those of this included."""
        numbers = [(p.numel(), p.requires_grad) for p in self._model[0].parameters()]
        return sum(number for number, trained in numbers if trained), sum(number for number, _ in numbers)

    def print_trainable_parameters(self) -> None:
        """Print how many parameters are trained, as PEFT does."""
        trained, total = self.get_nb_trainable_parameters()
        print(f"trainable params: {trained:,d} || all params: {total:,d} || trainable%: {100 * trained / total:.4f}")

    def train_again(self, trained: bool = True) -> None:
        """Let gradients reach what is to be trained of it, or nothing."""
        self.requires_grad_(trained)

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
        if getattr(model, self.kind, None) is not self:
            return
        for handle in self._handles:
            handle.remove()
        children = [child for child in model.children() if isinstance(child, Attachment)]
        later = children[children.index(self) + 1 :]
        delattr(model, self.kind)
        if later:  # which keeps the model frozen, and will leave it as this one found it
            later[0]._trained_before |= self._trained_before
            later[0]._frozen_norms = self._frozen_norms
            return
        for name, parameter in model.named_parameters():
            if name.partition(".")[0] not in attachments_of(model):
                parameter.requires_grad_(self._trained_before.get(plain_name(name), parameter.requires_grad))
        for attachment in attachments_of(model).values():
            attachment.train_again()
        if len(children) == 1:  # the others keep statistics too
            for name, norm in norms_with_statistics(model):
                norm.train(model.training and name not in self._frozen_norms)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Save it alone, as a `.json` and a `.safetensors` of its kind. What else is in the folder stays: it may be
        that of the checkpoint, whose own `from_pretrained` does not bring this back.

        Args:
            save_directory: made if it does not exist.

        Raises:
            ValueError: PEFT has replaced a layer that this is attached to.
            OSError: the folder cannot be written.
        """
        folder, model = Path(save_directory), self._model[0]
        require_whole(model)
        settings = {
            **self.settings(),
            "base_name_or_path": getattr(getattr(model, "config", None), "_name_or_path", None),
            "base_fingerprint": fingerprint(model),
        }
        folder.mkdir(parents=True, exist_ok=True)
        config, weights = f"{self.kind}.json", f"{self.kind}.safetensors"
        with TemporaryDirectory(dir=folder, prefix=".saving-") as staging:  # a full disk leaves what was there
            state = {name: value.contiguous() for name, value in self.state_dict().items()}
            save_file(state, Path(staging) / weights, metadata={"format": "pt"})
            (Path(staging) / config).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
            for name in (config, weights):
                os.replace(Path(staging) / name, folder / name)

    @classmethod
    def from_pretrained(cls, model: nn.Module, name_or_path: str | os.PathLike[str], **hub_kwargs: Any) -> Self:
        """Attach a saved one to the checkpoint that it was trained on.

        Args:
            model: a transformers model, or a `CanonicalizedModel`, to whose predictor it is attached.
            name_or_path: a folder, or the id of a repository.
            hub_kwargs: `revision`, `token`, `cache_dir`, `local_files_only`, as in `from_pretrained` of transformers.

        Raises:
            ValueError: it was trained on other weights, or the model carries one already.
            OSError: there is none.
        """
        model, where = predictor_of(model), os.fspath(name_or_path)
        files = (f"{cls.kind}.json", f"{cls.kind}.safetensors")
        try:
            config, weights = (str(cached_file(where, name, **hub_kwargs)) for name in files)
        except UNREADABLE as error:
            raise OSError(f"{where!r} holds no {cls.noun} that can be read: {because(error, where)}") from error
        try:
            settings = json.loads(Path(config).read_text(encoding="utf-8"))
            base = settings["base_fingerprint"]
            state = load_file(weights)
        except (ValueError, KeyError, TypeError, SafetensorError) as error:
            raise damaged(cls, where, error) from error
        if differ(fingerprint(model), base):
            other = settings.get("base_name_or_path") or "another checkpoint"
            raise ValueError(
                f"The {cls.noun} {where} was trained on {other}, and means nothing on these weights. Load that "
                f"one, or train one of this with {cls.made_by}."
            )
        cls.require_at_hand(model)
        try:
            attachment = cls.again(model, settings)
        except (KeyError, TypeError) as error:
            raise damaged(cls, where, error) from error
        wanted = {name: value.shape for name, value in attachment.state_dict().items()}
        if wanted != {name: value.shape for name, value in state.items()}:
            attachment.remove()
            raise ValueError(f"{files[1]} of {where} does not fit its {files[0]}. Save or download both again.")
        attachment.load_state_dict(state)
        return attachment

    @classmethod
    def ready(cls, model: nn.Module) -> nn.Module:
        """What one is to be attached to, when a user names a model.

        Raises:
            ValueError: it carries one already, or is offloaded.
        """
        model = predictor_of(model)
        cls.require_none(model)
        cls.require_at_hand(model)
        return model

    @classmethod
    def require_none(cls, model: nn.Module) -> None:
        """Raise ValueError if a model carries one already."""
        if hasattr(model, cls.kind):
            raise ValueError(
                f"This {type(model).__name__} carries a {cls.noun} already. Take it off with "
                f"{cls.__name__}.of(model).remove(), or go on with that one."
            )

    @classmethod
    def require_at_hand(cls, model: nn.Module) -> None:
        """Raise ValueError if weights of a model are elsewhere."""
        if any(parameter.device.type == "meta" for parameter in model.parameters()):
            raise ValueError(
                f"Weights of this {type(model).__name__} are offloaded, and a {cls.noun} of it could not be trained. "
                "Load it without device_map, or with one that keeps every layer on a device."
            )


def damaged(cls: type[Attachment], where: str, error: Exception) -> ValueError:
    return ValueError(f"The {cls.noun} {where} is damaged ({error!r}). Save or download it again.")


def attachments_of(model: nn.Module) -> dict[str, Attachment]:
    """By kind, what is attached to a model."""
    return {name: child for name, child in model.named_children() if isinstance(child, Attachment)}


def attachment_settings(model: nn.Module) -> dict[str, dict[str, Any]] | None:
    """By kind, the settings of what is attached to a model; None without anything.

    Raises:
        ValueError: something is attached to a part of the model, and not to the whole; or PEFT has replaced a layer
            that something is attached to.
    """
    require_whole(model)
    return {kind: one.settings() for kind, one in attachments_of(model).items()} or None


def require_whole(model: nn.Module) -> None:
    """Raise ValueError if something is attached to a part of a model, or to a layer that PEFT has replaced."""
    own = set(map(id, attachments_of(model).values()))
    for name, module in model.named_modules():
        hooks = [*module._forward_hooks.values(), *module._forward_pre_hooks.values()]
        if "original_module" in name.split(".") and any(isinstance(hook, Part) for hook in hooks):
            raise ValueError(
                f"PEFT has put its own copy in the place of {name.partition('.original_module')[0]!r}, to which "
                "something was attached before. Attach to the model after add_adapter, or leave that layer out of "
                "target_modules."
            )
        if "base_layer" in name.split(".") and any(isinstance(hook, Part) and hook.reads for hook in hooks):
            raise ValueError(
                f"PEFT has wrapped {name.partition('.base_layer')[0]!r}, whose input is multiplied with gains, and "
                "would read it without them. Leave that layer out of PEFT's target_modules."
            )
        if isinstance(module, Attachment) and id(module) not in own:
            raise ValueError(
                f"Only a part of this {type(model).__name__}, {name.rpartition('.')[0]!r}, carries a {module.noun}, "
                "which an adapter would not find again. Take it off, and attach it to the whole model: "
                "target_modules says to which layers."
            )


def predictor_of(model: Any) -> nn.Module:
    """A `CanonicalizedModel`'s predictor, or the model inside a `PeftModel`; any other model as it is."""
    wrapped = getattr(getattr(model, "config", None), "model_type", "") == "canonicalized"
    return unwrap_peft(model.predictor if wrapped else model)


def keep_statistics(model: nn.Module, args: Any) -> None:
    """Before a forward pass: training must not move what would not be saved."""
    freeze_statistics(model)
