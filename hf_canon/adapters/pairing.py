"""A predictor and a canonicalizer: where the predictor is, whether the two fit, and how the pair is described."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedModel
from transformers.utils import logging

from ..adaptation.attachment import attachment_settings
from ..canonicalizers import Canonicalizer, OrbitCanonicalizer, build_canonicalizer
from ..canonicalizers.base import channels_of
from ..configuration_canonicalized import CanonicalizedConfig
from ..groups import Group, Images, get_group
from ..groups.kinds import describe_kind, kind_from
from ..predictors.fingerprint import differ, fingerprint
from ..predictors.hub_files import (
    HUB_ARGUMENTS,
    Normalization,
    load_base_config,
    load_predictor,
    normalization,
    only_cached_commit,
    pinned,
    processor_files,
    saved_files,
    where_of,
    within_reach,
)
from ..predictors.peft import peft_settings, unwrap_peft
from ..predictors.predictor import Predictor, Source
from ..selection import RULES, Calibration
from .architectures import class_for
from .saved import SavedAdapter

logger = logging.get_logger(__name__)


def find_predictor(
    checkpoint: str | os.PathLike[str] | PreTrainedModel, kwargs: dict[str, Any], processor: Any = None
) -> Predictor:
    """The checkpoint, loaded; a live model as it is.

    Args:
        checkpoint: a Hub id, a folder, or a live model.
        kwargs: of `from_pretrained`.
        processor: in place of the one that is beside it.

    Raises:
        ValueError: it is no checkpoint that can be wrapped.
        OSError: there is none.
    """
    if isinstance(checkpoint, nn.Module):
        if kwargs:
            raise ValueError(f"{', '.join(kwargs)} load a checkpoint, and this predictor is loaded already.")
        class_for([type(unwrap_peft(checkpoint)).__name__], "This predictor")
        predictor = live_predictor(checkpoint)
    else:
        predictor = loaded_predictor(where_of(checkpoint), kwargs)
    if processor is not None:
        predictor.source = replace(predictor.source, processor=saved_files(processor))
    return predictor


def live_predictor(module: nn.Module) -> Predictor:
    """A loaded checkpoint, and where it came from. It does not say itself at which commit."""
    inner: Any = unwrap_peft(module)
    name = inner.config._name_or_path or None
    if name is None:
        return Predictor(inner)
    name = where_of(name)
    commit = None
    if not Path(name).is_dir():
        commit = only_cached_commit(name)
        if commit is None:
            logger.warning(
                f"It is not known at which commit {name} was loaded, and an adapter of it will follow its main "
                f"branch. CanonicalizedModel.wrap({name!r}, revision=...) loads it and records the commit."
            )
    return Predictor(inner, Source(name, commit, None, processor_files(name, {"revision": commit} if commit else {})))


def loaded_predictor(where: str, kwargs: dict[str, Any]) -> Predictor:
    """A checkpoint from a folder or the Hub, with all that `from_pretrained` was told."""
    kwargs = pinned(where, kwargs)
    hub_kwargs = {name: value for name, value in kwargs.items() if name in HUB_ARGUMENTS}
    config, base, commit = load_base_config(where, hub_kwargs, kwargs.get("trust_remote_code"))
    if isinstance(config, CanonicalizedConfig):
        raise ValueError(
            f"{where} is an adapter of hf_canon already. Load it with CanonicalizedModel.from_pretrained, or put it "
            "on another checkpoint with wrap(checkpoint, adapter=...)."
        )
    if kwargs.get("ignore_mismatched_sizes"):
        raise ValueError(
            "ignore_mismatched_sizes gives the checkpoint new weights that it was not saved with, and an adapter "
            "would not find them again. Load it so yourself, save it with save_pretrained, and wrap the new folder."
        )
    module = load_predictor(class_for(config.architectures, base).auto_class, where, kwargs)
    subfolder = kwargs.get("subfolder") or None
    at_commit = {**within_reach(kwargs), "revision": commit, "subfolder": subfolder or ""}
    return Predictor(unwrap_peft(module), Source(base, commit, subfolder, processor_files(base, at_commit)))


def describe_pair(
    predictor: Predictor, task: str, group: Group, canonicalizer: str, settings: dict[str, Any], **more: Any
) -> CanonicalizedConfig:
    """The configuration of a predictor behind a canonicalizer."""
    described = {**predictor.config.to_dict(), "architectures": [predictor.architecture]}
    described.pop("_name_or_path", None)  # said once, below
    settings = dict(settings)
    if settings.get("backbone") is not None:  # its configuration builds it again, wherever it was
        settings["backbone"] = (
            Path(settings["backbone"]).name if Path(settings["backbone"]).is_dir() else settings["backbone"]
        )
        settings["backbone_config"] = {k: v for k, v in settings["backbone_config"].items() if k != "_name_or_path"}
    return CanonicalizedConfig(
        base_config=described,
        base_name_or_path=predictor.source.name,
        base_revision=predictor.source.commit,
        base_subfolder=predictor.source.subfolder,
        base_fingerprint=predictor.fingerprint,
        input_kind=describe_kind(group.kind),
        group=group.name,
        canonicalizer=canonicalizer,
        canonicalizer_settings=settings,
        predictor_peft=peft_settings(predictor.module),
        predictor_attachments=attachment_settings(predictor.module),
        task=task,
        **more,
    )


def describe_transfer(saved: SavedAdapter, predictor: Predictor, task: str) -> CanonicalizedConfig:
    """The configuration of an adapter's canonicalizer in front of a predictor that it was perhaps not trained with.

    Raises:
        ValueError: the predictor reads other inputs than the canonicalizer.
    """
    adapter, settings = saved.config, dict(saved.config.canonicalizer_settings or {})
    train = "Train one for it: CanonicalizedModel.wrap without adapter=, and CanonicalizationTrainer."
    group = predictor.bind(adapter.group)
    learned = kind_from(adapter.input_kind)
    images = isinstance(learned, Images)
    if type(learned) is not type(group.kind) or (not images and learned != group.kind):
        raise ValueError(
            f"The canonicalizer of the adapter {saved.where} was made for {learned}, and {predictor.architecture} "
            f"reads {group.kind}. {train}"
        )
    channels = settings.get("channels", 3)
    if channels != predictor.channels:
        raise ValueError(
            f"The adapter {saved.where} reads images of {channels} channels, and {predictor.architecture} takes "
            f"{predictor.channels}. {train}"
        )
    files = saved.processor_files
    theirs, ours = normalization(files, channels), normalization(predictor.source.processor, channels)
    if images and files != predictor.source.processor and (theirs is None or ours is None):
        logger.warning(
            f"It is not known how the images of {saved.where} or those of {predictor.source.name} are normalized, "
            "and the adapter takes them to be alike. If they are not, pass pixel_values as the adapter's own "
            "checkpoint takes them."
        )
    config = describe_pair(
        predictor,
        task,
        group,
        adapter.canonicalizer,
        settings,
        training=adapter.training,
        canonicalizer_input=renormalized(adapter.canonicalizer_input, ours, theirs),
    )
    calibration = None if adapter.calibration is None else Calibration.from_dict(adapter.calibration)
    if calibration is None or still_holds(calibration, None, predictor.module):
        config.calibration, config.decision = adapter.calibration, adapter.decision
    else:
        logger.warning(
            f"The adapter {saved.where} was calibrated with another checkpoint, and how much harm it does to this one "
            "is not known: its calibration is left out. Call hf_canon.calibrate."
        )
        config.decision = adapter.decision if RULES[adapter.decision].needs is None else "argmax"
    return config


def still_holds(calibration: Calibration, canonicalizer: nn.Module | None, predictor: nn.Module) -> bool:
    """Whether these are the weights that were calibrated, as far as anybody can tell; None for a canonicalizer that is
    known to be."""
    if canonicalizer is not None and differ(fingerprint(canonicalizer), calibration.canonicalizer):
        return False
    return not differ(fingerprint(predictor, with_added=True), calibration.predictor)


def renormalized(
    learned: dict[str, Any] | None, ours: Normalization | None, theirs: Normalization | None
) -> dict[str, Any] | None:
    """What turns images normalized our way into images normalized as the canonicalizer learned them."""
    if ours is None or theirs is None or ours == theirs:
        return learned
    scale = [b / a for a, b in zip(ours[0], theirs[0], strict=True)]
    offset = [b - a * factor for a, b, factor in zip(ours[1], theirs[1], scale, strict=True)]
    if learned is not None:  # their images were not the ones it learned from either
        offset = [a * b + c for a, b, c in zip(learned["scale"], offset, learned["offset"], strict=True)]
        scale = [a * b for a, b in zip(learned["scale"], scale, strict=True)]
    return {"scale": scale, "offset": offset}


def make_canonicalizer(
    canonicalizer: str | nn.Module, group: Group, channels: int, settings: dict[str, Any], again: bool = False
) -> Canonicalizer:
    """A canonicalizer from its name, a scoring network, or itself; `again` when its settings were saved."""
    seen = channels_of(group, channels)
    if isinstance(canonicalizer, str):
        return build_canonicalizer(canonicalizer, group, **{**seen, **settings})
    if not isinstance(canonicalizer, Canonicalizer):
        return OrbitCanonicalizer(group, network=canonicalizer, **{**seen, **settings})
    if canonicalizer.group != group:
        raise ValueError(
            f"This canonicalizer was made for {canonicalizer.group.name}, and the group asked for is {group.name}."
        )
    if settings and not again:
        raise ValueError(f"This canonicalizer is made already, and {', '.join(settings)} would change nothing.")
    return canonicalizer


def remake_canonicalizer(module: nn.Module | None, config: CanonicalizedConfig) -> Canonicalizer | None:
    """The module that a saved canonicalizer was made from, with its saved settings."""
    if module is None:
        return None
    settings = dict(config.canonicalizer_settings or {})
    channels = settings.pop("channels", 3)
    group = get_group(config.group).on(kind_from(config.input_kind))
    return make_canonicalizer(module, group, channels, settings, again=True)
