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

from ..configuration_canonicalized import CanonicalizedConfig
from ..groups import get_group
from ..hub.folder import is_repository
from ..loading import because, load_base_config
from ..modeling_canonicalized import CanonicalizedModel
from ..tasks import class_for
from .offered import Offered

KEPT = 3
"""How many models that visitors named stay in memory, beside those that are offered."""
LARGEST = 2_000_000_000
"""Bytes of weights that a visitor may have loaded."""

HARMLESS: dict[str, Any] = {"use_safetensors": True, "trust_remote_code": False}
"""Of `from_pretrained`: no pickles, and no code of the repository's."""

Senses = Literal["picture", "sound"]

MOST_ELEMENTS = 48
"""Of a group that a visitor names: each costs a pass."""

TASKS: dict[str, Senses] = {"image-classification": "picture", "audio-classification": "sound"}
DEFAULT_GROUPS: dict[Senses, str] = {"picture": "c4", "sound": "reverse"}
"""Of checkpoints without adapter, whose own confidence says what happened."""


@dataclass(frozen=True)
class Opened:
    """A checkpoint behind a canonicalizer, ready to answer.

    Args:
        name: by which it was asked for.
        model: in evaluation mode.
        processor: of its pictures or sounds.
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
        """Its name as a page shows it: of a folder, the last two parts of its path."""
        return "/".join(Path(self.name).parts[-2:]) if Path(self.name).is_dir() else self.name


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

    @cached_property
    def at_first(self) -> dict[Senses, Opened]:
        """What is open when a visitor comes: the first that looks, and the first that listens."""
        found: dict[Senses, Opened] = {}
        for name in self.offered.checkpoints:
            opened = self.open(name, self.offered.group)
            found.setdefault(opened.senses, opened)
        return found

    def open(self, name: str, group: str = "") -> Opened:
        """A checkpoint, from memory if it is there.

        Args:
            name: a Hub id or, where that is allowed, a folder: of an adapter, or of a checkpoint without one.
            group: what happens to its inputs, for a checkpoint without adapter; by default quarter turns of pictures
                and reversed sound.

        Raises:
            ValueError: this page does not open it, or does not show what it does.
            OSError: it cannot be read.
        """
        name, group = name.strip(), group.strip()
        self._require_allowed(name)
        key = (name, group)
        if (opened := self._found(key)) is not None:
            return opened
        with self._loading:  # one at a time: two visitors who name the same wait for one download
            if (opened := self._found(key)) is None:
                opened = self._load(name, group)
                self._keep(key, opened)
        return opened

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

    def _load(self, name: str, group: str) -> Opened:
        config, base, _ = load_base_config(name, {}, trust_remote_code=False)
        adapter = isinstance(config, CanonicalizedConfig)
        base = config.base_name_or_path or name if adapter else base
        task = config.task if adapter else class_for(config.architectures, name).task
        if task not in TASKS:
            raise ValueError(
                f"{name!r} is a model for {task}, and this page shows what classifiers of pictures and sounds say. "
                f"Use it in Python: CanonicalizedModel, or transformers.pipeline({task!r}, ...)."
            )
        if adapter and group:
            raise ValueError(f"{name!r} is an adapter and knows its group. Leave the group empty.")
        if self.offered.public and name not in self.offered.checkpoints:
            for repository in {name, base, *named_in(config)}:
                require_moderate(repository)
        if self.offered.public and group and (get_group(group).order or 0) > MOST_ELEMENTS:
            raise ValueError(
                f"{group} has {get_group(group).order:,} elements, and the checkpoint would be asked about each. This "
                f"page takes {MOST_ELEMENTS} at most."
            )
        if adapter:
            model = CanonicalizedModel.from_pretrained(name, **HARMLESS)
        else:
            model = CanonicalizedModel.wrap(
                name,
                group=group or DEFAULT_GROUPS[TASKS[task]],
                canonicalizer="predictor",
                **HARMLESS,
            )
        device = torch.accelerator.current_accelerator(check_available=True)
        model = model.eval() if device is None else model.eval().to(device)
        return Opened(name, model, processor_of(name, base, TASKS[task]), adapter)


def is_remote(name: str) -> bool:
    """Whether a name can only be that of a repository on the Hub: transformers takes what exists here for a path."""
    return is_repository(name) and not Path(name).exists()


def named_in(config: PreTrainedConfig) -> list[str]:
    """The other repositories that an adapter of a visitor would have loaded."""
    if not isinstance(config, CanonicalizedConfig):
        return []
    settings = config.canonicalizer_settings or {}
    return [name for name in (config.base_name_or_path, settings.get("backbone")) if name is not None]


def require_moderate(name: str) -> None:
    """Raise ValueError if what a visitor names is no repository, or is too large to be loaded for a visitor."""
    if not is_remote(name):
        raise ValueError(f"It belongs to {name!r}, which is no repository on the Hub, and this page opens no folders.")
    if constants.HF_HUB_OFFLINE:
        return  # it is in the cache, or cannot be had
    try:
        files = HfApi().model_info(name, files_metadata=True).siblings or []
    except (HfHubHTTPError, HFValidationError, HTTPError) as error:
        raise OSError(f"No checkpoint could be read from {name!r}: {because(error, name)}") from error
    size = sum(file.size or 0 for file in files if file.rfilename.endswith(".safetensors"))
    if size > LARGEST:
        raise ValueError(
            f"{name!r} has {size / 1e9:.1f} GB of weights, and this page loads {LARGEST / 1e9:g} GB at most. Open it "
            f"on a machine of your own: hf-canon demo {name}"
        )


def processor_of(name: str, base: str, senses: Senses) -> Any:
    """The processor beside an adapter, or else that of its checkpoint.

    Raises:
        OSError: neither has one.
    """
    auto: Any = AutoImageProcessor if senses == "picture" else AutoFeatureExtractor
    for where in (name, base):
        try:
            return auto.from_pretrained(where, trust_remote_code=False)
        except (OSError, ValueError):
            continue
    raise OSError(
        f"{name!r} has no preprocessor_config.json that says how its inputs are prepared. Save the checkpoint's "
        "processor there, with processor.save_pretrained."
    )
