"""Joins a predictor and a canonicalizer: where the checkpoint is, how the pair is described, and whether it fits."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.utils import logging

from ..adaptation.attachment import attachment_settings
from ..canonicalizers import Canonicalizer, OrbitCanonicalizer, build_canonicalizer
from ..configuration_canonicalized import CanonicalizedConfig
from ..groups import BUILDERS, Group, Pictures, Spectrograms, get_group
from ..groups.kinds import describe_kind, kind_from
from ..predictors.fingerprint import differ, fingerprint
from ..predictors.hub_files import (
    HUB_ARGUMENTS,
    Normalization,
    load_base_config,
    load_config,
    load_predictor,
    load_weights,
    normalization,
    only_cached_commit,
    pinned,
    processor_files,
    where_of,
    within_reach,
)
from ..predictors.inputs import input_channels, input_name, kind_of
from ..predictors.peft import peft_settings, unwrap_peft
from ..selection import RULES, Calibration
from .architectures import class_for

logger = logging.get_logger(__name__)


def find_predictor(
    checkpoint: "str | os.PathLike[str] | PreTrainedModel", kwargs: dict[str, Any]
) -> "tuple[Any, Source]":
    """The checkpoint, loaded, and where it came from; a live model as it is.

    Raises:
        ValueError: it is no checkpoint that can be wrapped.
        OSError: there is none.
    """
    if isinstance(checkpoint, nn.Module):
        if kwargs:
            raise ValueError(f"{', '.join(kwargs)} load a checkpoint, and this predictor is loaded already.")
        class_for([type(unwrap_peft(checkpoint)).__name__], "This predictor")
        return live_predictor(checkpoint)
    where = where_of(checkpoint)
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
    predictor = load_predictor(class_for(config.architectures, base).auto_class, where, kwargs)
    subfolder = kwargs.get("subfolder") or None
    at_commit = {**within_reach(kwargs), "revision": commit, "subfolder": subfolder or ""}
    return unwrap_peft(predictor), Source(base, commit, subfolder, processor_files(base, at_commit))


def live_predictor(predictor: nn.Module) -> "tuple[Any, Source]":
    """A loaded checkpoint, and where it came from. It does not say itself at which commit."""
    inner: Any = unwrap_peft(predictor)
    name = origin(inner)
    if name is None or Path(name).is_dir():
        return inner, Source(name, None, None, processor_files(name, {}))
    commit = only_cached_commit(name)
    if commit is None:
        logger.warning(
            f"It is not known at which commit {name} was loaded, and an adapter of it will follow its main branch. "
            f"CanonicalizedModel.wrap({name!r}, revision=...) loads it and records the commit."
        )
    return inner, Source(name, commit, None, processor_files(name, {"revision": commit}))


@dataclass(frozen=True)
class Source:
    """Where a predictor came from, as far as that is known.

    Args:
        name: a folder, or the id of a repository.
        commit: of the repository.
        subfolder: of either.
        processor: the files, by name, that say how its inputs are made.
    """

    name: str | None
    commit: str | None
    subfolder: str | None
    processor: dict[str, bytes]


def origin(predictor: PreTrainedModel) -> str | None:
    """Where a predictor can be found again: its folder from any working directory, or its Hub id."""
    name = predictor.config._name_or_path or None
    return name if name is None else where_of(name)


def bound_group(group: str | Group | None, predictor: PreTrainedModel, source: Source) -> Group:
    """The group, acting on what a predictor reads; where none is asked for, quarter turns, or speeds of sound.

    Raises:
        ValueError: it does not act on that.
    """
    kind = kind_of(predictor.config, input_name(predictor), source.processor)
    if not isinstance(group, Group):
        group = get_group(group or ("c4" if isinstance(kind, Pictures) else "speed12"))
    if not isinstance(kind, group.acts_on):
        fitting = [pattern for pattern, build in BUILDERS.items() if isinstance(kind, build(4).acts_on)]
        raise ValueError(
            f"{group.name} ({group.meaning}) does not act on what {type(predictor).__name__} reads, {kind.noun}. "
            f"Groups that do: {', '.join(fitting)}."
        )
    if isinstance(kind, Spectrograms) and not kind.decibel and "gain" in group.name.split("*"):
        raise ValueError(
            f"The feature extractor of {type(predictor).__name__} makes every sound equally loud, and {group.name} "
            "would find nothing to undo. Leave out gain."
        )
    return group.on(kind)


def describe_pair(
    predictor: PreTrainedModel,
    source: Source,
    task: str,
    group: Group,
    canonicalizer: str,
    settings: dict[str, Any],
    **more: Any,
) -> CanonicalizedConfig:
    """The configuration of a predictor behind a canonicalizer."""
    described = {**predictor.config.to_dict(), "architectures": [type(predictor).__name__]}
    described.pop("_name_or_path", None)  # said once, below
    settings = dict(settings)
    if settings.get("backbone") is not None:  # its configuration builds it again, wherever it was
        settings["backbone"] = (
            Path(settings["backbone"]).name if Path(settings["backbone"]).is_dir() else settings["backbone"]
        )
        settings["backbone_config"] = {k: v for k, v in settings["backbone_config"].items() if k != "_name_or_path"}
    return CanonicalizedConfig(
        base_config=described,
        base_name_or_path=source.name,
        base_revision=source.commit,
        base_subfolder=source.subfolder,
        base_fingerprint=fingerprint(predictor),
        input_kind=describe_kind(group.kind),
        group=group.name,
        canonicalizer=canonicalizer,
        canonicalizer_settings=settings,
        predictor_peft=peft_settings(predictor),
        predictor_attachments=attachment_settings(predictor),
        task=task,
        **more,
    )


def require_adapter(where: str, config: PreTrainedConfig | None, hub_kwargs: dict[str, Any]) -> CanonicalizedConfig:
    """The configuration of an adapter, read unless it is given.

    Raises:
        ValueError: what is there is a checkpoint of another kind.
        OSError: there is nothing that can be read.
    """
    config = load_config(where, hub_kwargs) if config is None else config
    if not isinstance(config, CanonicalizedConfig):
        raise ValueError(
            f"{where} holds a {getattr(config, 'model_type', 'different')} checkpoint, not an hf_canon adapter. "
            "Use CanonicalizedModel.wrap to put a canonicalizer in front of it."
        )
    return config


def describe_move(
    predictor: PreTrainedModel,
    source: Source,
    task: str,
    where: str,
    adapter: CanonicalizedConfig,
    hub_kwargs: dict[str, Any],
) -> CanonicalizedConfig:
    """The configuration of an adapter's canonicalizer in front of a predictor that it was perhaps not trained with.

    Raises:
        ValueError: the predictor takes other pictures than the canonicalizer.
    """
    settings = dict(adapter.canonicalizer_settings or {})
    group = bound_group(adapter.group, predictor, source)
    learned = kind_from(adapter.input_kind)
    if type(learned) is not type(group.kind) or (not isinstance(learned, Pictures) and learned != group.kind):
        raise ValueError(
            f"The canonicalizer of the adapter {where} was made for {learned}, and {type(predictor).__name__} reads "
            f"{group.kind}. Train one for it: CanonicalizedModel.wrap without adapter=, and CanonicalizationTrainer."
        )
    channels, wanted = settings.get("channels", 3), input_channels(predictor.config)
    if channels != wanted:
        raise ValueError(
            f"The adapter {where} looks at pictures of {channels} channels, and {type(predictor).__name__} takes "
            f"{wanted}. Train one for it: CanonicalizedModel.wrap without adapter=, and CanonicalizationTrainer."
        )
    files = processor_files(where, hub_kwargs)
    theirs, ours = normalization(files, channels), normalization(source.processor, channels)
    pictures = isinstance(group.kind, Pictures)
    if pictures and files != source.processor and (theirs is None or ours is None):
        logger.warning(
            f"It is not known how the pictures of {where} or those of {source.name} are normalized, and the adapter "
            "takes them to be alike. If they are not, pass pixel_values as the adapter's own checkpoint takes them."
        )
    config = describe_pair(
        predictor,
        source,
        task,
        group,
        adapter.canonicalizer,
        settings,
        training=adapter.training,
        canonicalizer_input=renormalized(adapter.canonicalizer_input, ours, theirs),
    )
    calibration = None if adapter.calibration is None else Calibration.from_dict(adapter.calibration)
    if calibration is None or still_holds(calibration, None, predictor):
        config.calibration, config.decision = adapter.calibration, adapter.decision
    else:
        logger.warning(
            f"The adapter {where} was calibrated with another checkpoint, and how much harm it does to this one is "
            "not known: its calibration is left out. Call hf_canon.calibrate."
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
    """What turns pictures normalized our way into pictures normalized as the canonicalizer learned them."""
    if ours is None or theirs is None or ours == theirs:
        return learned
    scale = [b / a for a, b in zip(ours[0], theirs[0], strict=True)]
    shift = [b - a * factor for a, b, factor in zip(ours[1], theirs[1], scale, strict=True)]
    if learned is not None:  # their pictures were not the ones it learned from either
        shift = [a * b + c for a, b, c in zip(learned["scale"], shift, learned["shift"], strict=True)]
        scale = [a * b for a, b in zip(learned["scale"], scale, strict=True)]
    return {"scale": scale, "shift": shift}


def make_canonicalizer(
    canonicalizer: str | nn.Module, group: Group, channels: int, settings: dict[str, Any], again: bool = False
) -> Canonicalizer:
    """A canonicalizer from its name, a scoring network, or itself; `again` when its settings were saved."""
    seen = {"channels": channels} if isinstance(group.kind, Pictures) else {}
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


def require_same_base(predictor: PreTrainedModel, config: CanonicalizedConfig, where: str) -> None:
    """Raise ValueError if a checkpoint has other weights than the one that an adapter was saved for."""
    if differ(fingerprint(predictor), config.base_fingerprint):
        base = config.base_name_or_path
        raise ValueError(
            f"The adapter {where} was saved for other weights than those that are in {base} now. Bring the old ones "
            f"back; or put it on the new ones with CanonicalizedModel.wrap({base!r}, adapter={where!r})."
        )


def require_complete(loading: dict[str, Any], config: CanonicalizedConfig, where: str) -> None:
    """Raise ValueError if a checkpoint that came with its predictor had not all weights, or had others."""
    kinds = ("missing_keys", "unexpected_keys", "mismatched_keys")
    odd = sorted(str(name) for kind in kinds for name in loading.get(kind) or ())
    if odd:
        raise misfit(where, config, odd)


def misfit(where: str, config: CanonicalizedConfig, odd: list[str]) -> ValueError:
    return ValueError(
        f"The weights in {where} do not fit its configuration, a {config.canonicalizer!r} canonicalizer "
        f"with {config.canonicalizer_settings}: see {', '.join(odd[:3])}. Restore the config.json that was "
        "saved with them; if the canonicalizer was a module of yours, pass it again as canonicalizer=."
    )


def fill(model: Any, names: list[str], where: str, hub_kwargs: dict[str, Any]) -> None:
    """Load the weights of those names from an adapter. What else came with it is of no use here.

    Raises:
        ValueError: they are not the ones that the configuration describes.
        OSError: they cannot be read.
    """
    state = model.state_dict()
    wanted = {name: state[name].shape for name in names}
    saved = {
        name: value
        for name, value in load_weights(where, hub_kwargs).items()
        if name in wanted or name.startswith("canonicalizer.")
    }
    found = {name: value.shape for name, value in saved.items()}
    if wanted != found:
        odd = sorted(name for name in wanted | found if wanted.get(name) != found.get(name))
        raise misfit(where, model.config, odd)
    model.load_state_dict(saved, strict=False)
    model.canonicalizer.to(model.predictor.device)
    model.name_or_path = where
