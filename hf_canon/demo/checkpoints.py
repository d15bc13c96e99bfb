"""The checkpoints of a demo: those that its operator offers, and any that a visitor names.

A visitor may name what the Hub has, and nothing else: no folder of the server, no file of pickles, no code. Several
visitors share one model, which holds nothing of any of them.
"""

from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from httpx2 import HTTPError
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from transformers import AutoFeatureExtractor, AutoImageProcessor, PreTrainedConfig
from transformers.utils import find_adapter_config_file

from ..configuration_canonicalized import CanonicalizedConfig
from ..groups import get_group
from ..hub.folder import is_repository
from ..modeling_canonicalized import CanonicalizedModel
from ..predictors.hub_files import because, load_base_config, load_config
from ..tasks import class_for, class_of
from .offered import Offered

KEPT = 3
"""How many models that visitors named stay in memory, beside those that are offered."""
SIDE = 1024
"""Pixels of the side of an image that a visitor's checkpoint may look at."""
LARGEST = 2_000_000_000
"""Bytes of weights that a visitor may have loaded."""

HARMLESS: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
"""Of `from_pretrained`: no pickles, and no code of the repository's."""

Senses = Literal["image", "audio"]

MOST_ELEMENTS = 96
"""Of a group: each may cost a pass."""

TASKS: dict[str, Senses] = {"image-classification": "image", "audio-classification": "audio"}
DEFAULT_GROUPS: dict[Senses, str] = {"image": "c4", "audio": "reverse"}
"""Of checkpoints without adapter, whose own confidence says what happened."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint behind a canonicalizer, ready to answer.

    Args:
        name: by which it was asked for.
        model: in evaluation mode.
        processor: of its images or clips.
        trained: whether its canonicalizer was trained, and not made on the spot from the checkpoint's own confidence.
    """

    name: str
    model: CanonicalizedModel
    processor: Any
    trained: bool

    @cached_property
    def senses(self) -> Senses:
        return TASKS[self.model.task]

    @property
    def title(self) -> str:
        """Its name as a page shows it."""
        return title_of(self.name)


def title_of(name: str) -> str:
    """Of a folder, the last two parts of its path: strangers need not know the others."""
    return "/".join(Path(name).parts[-2:]) if Path(name).is_dir() else name


class Checkpoints:
    """Opens checkpoints, each once, and keeps them.

    Args:
        offered: by the operator. Where the public visits, its folders are the only ones that are opened.

    Example:
        >>> from hf_canon.demo import Offered
        >>> Checkpoints(Offered(("me/vit-d4",))).open("/etc")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: '/etc' is no id of a repository on the Hub, and this page opens no folders. Give one such as ...
    """

    def __init__(self, offered: Offered):
        self.offered = offered
        self._opened: OrderedDict[tuple[str, str], Opened] = OrderedDict()
        self._lock, self._loading = Lock(), Lock()
        self.named = {title_of(name): name for name in offered.checkpoints}
        """What is offered, by the names that a page shows."""

    @cached_property
    def at_first(self) -> dict[Senses, Opened]:
        """What is open when a visitor comes: the first that looks, and the first that reads audio."""
        found: dict[Senses, Opened] = {}
        for name in self.offered.checkpoints:
            opened = self.open(name)
            found.setdefault(opened.senses, opened)
        return found

    def open(self, name: str, group: str = "") -> Opened:
        """A checkpoint, from memory if it is there.

        Args:
            name: a Hub id or, where that is allowed, a folder: of an adapter, or of a checkpoint without one.
            group: what happens to its inputs, for a checkpoint without adapter; by default quarter turns of images
                and reversed audio.

        Raises:
            ValueError: this page does not open it, or does not show what it does.
            OSError: it cannot be read.
        """
        key = name, group = self._key(name, group)
        self._require_allowed(name)
        if (opened := self._found(key)) is not None:
            return opened
        with self._loading:  # one at a time: two visitors who name the same wait for one download
            if (opened := self._found(key)) is None:
                opened = self._load(name, group)
                self._keep(key, opened)
        return opened

    def _key(self, name: str, group: str) -> tuple[str, str]:
        """What was meant, by a visitor who may use the names that the page shows."""
        name, group = self.named.get(name.strip(), name.strip()), group.strip()
        return name, group or (self.offered.group if name in self.offered.checkpoints else "")

    def _found(self, key: tuple[str, str]) -> Opened | None:
        with self._lock:
            if key not in self._opened:
                return None
            self._opened.move_to_end(key)
            return self._opened[key]

    def _keep(self, key: tuple[str, str], opened: Opened) -> None:
        """In memory, and of what visitors named only the last few."""
        with self._lock:
            self._opened[key] = opened
            offered = {(name, self.offered.group) for name in self.offered.checkpoints}
            for old in [one for one in self._opened if one not in offered][:-KEPT]:
                del self._opened[old]

    def _require_allowed(self, name: str) -> None:
        """Raise ValueError if this page does not open what has such a name."""
        if name in self.offered.checkpoints or is_remote(name):
            return
        if self.offered.public or not name:
            raise ValueError(
                f"{name!r} is no id of a repository on the Hub{', and this page opens no folders' if name else ''}. "
                "Give one such as google/vit-base-patch16-224."
            )
        if not Path(name).is_dir():
            raise ValueError(
                f"There is no folder {name!r}, and ids on the Hub look like owner/name. Give one of them."
            )

    def opened(self, name: str, group: str) -> Opened:
        """A checkpoint that was opened before: answers do not wait for downloads.

        Raises:
            ValueError: it was not, or so long ago that it was closed since.
        """
        found = self._found(self._key(name, group))
        if found is None:
            raise ValueError(
                f"{name!r} is not open here, or not any more. Open it first, under 'Another checkpoint' or by /open."
            )
        return found

    def _load(self, name: str, group: str) -> Opened:
        visitor = self.offered.public and name not in self.offered.checkpoints
        if visitor:
            require_harmless(name, None)
        config, base, _ = load_base_config(name, {}, trust_remote_code=False)
        adapter = config if isinstance(config, CanonicalizedConfig) else None
        model_class = class_of(adapter, name) if adapter else class_for(config.architectures, name)
        base, revision = (adapter.base_name_or_path or name, adapter.base_revision) if adapter else (base, None)
        if model_class.task not in TASKS:
            raise ValueError(
                f"{name!r} is a model for {model_class.task}, and this page shows what classifiers of images and "
                f"clips say. In Python: CanonicalizedModel, or transformers.pipeline({model_class.task!r}, ...)."
            )
        if adapter and group:
            raise ValueError(f"{name!r} is an adapter and knows its group. Leave the group empty.")
        acting = adapter.group if adapter else group or DEFAULT_GROUPS[TASKS[model_class.task]]
        if self.offered.public and (get_group(acting).order or 0) > MOST_ELEMENTS:
            raise ValueError(
                f"{acting} has {get_group(acting).order:,} elements, each of which may have to be looked at. This "
                f"page takes {MOST_ELEMENTS} at most."
            )
        if visitor:
            for other, its_revision in named_in(config):
                require_harmless(other, its_revision)
            own = load_config(base, {"revision": revision or "main"}) if adapter and base != name else config
            require_moderate(name, model_class, own)
        if adapter:
            model = CanonicalizedModel.from_pretrained(name, **HARMLESS)
        else:
            model = CanonicalizedModel.wrap(name, group=acting, canonicalizer="predictor", **HARMLESS)
        senses = TASKS[model_class.task]
        processor = processor_of(name, base, revision, senses)
        if visitor:
            require_moderate_inputs(name, processor)
        device = torch.accelerator.current_accelerator(check_available=True)
        model = model.eval() if device is None else model.eval().to(device)
        return Opened(name, model, processor, adapter is not None)


def is_remote(name: str) -> bool:
    """Whether a name can only be that of a repository on the Hub: transformers takes what exists here for a path."""
    return is_repository(name) and not Path(name).exists()


def named_in(config: PreTrainedConfig) -> list[tuple[str, str | None]]:
    """The other repositories that an adapter of a visitor would have loaded, and at which revision."""
    if not isinstance(config, CanonicalizedConfig):
        return []
    backbone = (config.canonicalizer_settings or {}).get("backbone")
    named = [(config.base_name_or_path, config.base_revision), (backbone, None)]
    return [(name, revision) for name, revision in named if name is not None]


def require_harmless(name: str, revision: str | None) -> None:
    """Raise an error if what a visitor names is no repository, or leads to another, or is large, before anything of it
    is read."""
    if not is_remote(name):
        raise ValueError(f"It belongs to {name!r}, which is no repository on the Hub, and this page opens no folders.")
    if constants.HF_HUB_OFFLINE:  # it is in the cache, or cannot be had
        peft, size = find_adapter_config_file(name, revision=revision, local_files_only=True) is not None, 0
    else:
        try:
            files = HfApi().model_info(name, revision=revision, files_metadata=True).siblings or []
        except (HfHubHTTPError, HFValidationError, HTTPError) as error:
            raise OSError(f"No checkpoint could be read from {name!r}: {because(error, name)}") from error
        peft = any(file.rfilename == "adapter_config.json" for file in files)
        size = sum(file.size or 0 for file in files if file.rfilename.endswith((".safetensors", ".json")))
    if peft:
        raise ValueError(
            f"{name!r} is a PEFT adapter, which names another repository and may be a pickle. This page opens none. "
            f"Open it on a machine of your own: hf-canon demo {name}"
        )
    if size > LARGEST:
        raise too_large(name, size)


def require_moderate(name: str, model_class: type[CanonicalizedModel], config: PreTrainedConfig) -> None:
    """Raise ValueError if a checkpoint is larger than its files: weights that they lack are made from its
    configuration."""
    with torch.device("meta"):
        predictor = model_class.auto_class.from_config(config, trust_remote_code=False)
    size = sum(parameter.numel() * parameter.element_size() for parameter in predictor.parameters())
    if size > LARGEST:
        raise too_large(name, size)


def require_moderate_inputs(name: str, processor: Any) -> None:
    """Raise ValueError if a processor makes images that are larger than this page looks at."""
    sizes = [getattr(processor, where, None) or {} for where in ("size", "crop_size")]
    sides = [side for size in sizes if not isinstance(size, int) for side in dict(size).values() if side]
    if any(side > SIDE for side in sides):
        raise ValueError(f"{name!r} reads images of {max(sides)} pixels, and this page shows {SIDE} at most.")


def too_large(name: str, size: int) -> ValueError:
    return ValueError(
        f"{name!r} has {size / 1e9:.1f} GB of weights, and this page loads {LARGEST / 1e9:g} GB at most. Open it on a "
        f"machine of your own: hf-canon demo {name}"
    )


def processor_of(name: str, base: str, revision: str | None, senses: Senses) -> Any:
    """The processor beside an adapter, or else that of its checkpoint.

    Raises:
        OSError: neither has one.
    """
    auto: Any = AutoImageProcessor if senses == "image" else AutoFeatureExtractor
    reasons = []
    for where, its_revision in ((name, None), (base, revision)):
        try:
            return auto.from_pretrained(where, revision=its_revision or "main", trust_remote_code=False)
        except (OSError, ValueError) as error:
            reasons.append(because(error, where))
    raise OSError(
        f"{name!r} has no preprocessor_config.json that says how its inputs are prepared ({reasons[0]}) Save the "
        "checkpoint's processor there, with processor.save_pretrained."
    )
