"""Reads checkpoints and adapters from folders and the Hub, with one sentence for each way in which that can fail."""

import json
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from warnings import catch_warnings, simplefilter

from huggingface_hub.constants import HF_HUB_CACHE
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import REGEX_COMMIT_HASH, repo_folder_name
from huggingface_hub.utils import httpx
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoFeatureExtractor, AutoImageProcessor, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.feature_extraction_auto import (
    FEATURE_EXTRACTOR_MAPPING_NAMES,
    feature_extractor_class_from_name,
)
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file, find_adapter_config_file
from transformers.utils.hub import resolve_revision

HUB_ARGUMENTS = ("revision", "token", "cache_dir", "local_files_only", "subfolder", "force_download")
"""Of `from_pretrained`: where a file comes from, as opposed to what is done with it."""

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
UNREADABLE = (OSError, ValueError, httpx.HTTPError)

REASONS: dict[type[BaseException], str] = {
    GatedRepoError: "its owner grants access on request; ask on its page, and log in with `hf auth login`.",
    RepositoryNotFoundError: "the Hub has no such repository, or it is private and the token is missing or wrong.",
    RevisionNotFoundError: "the repository has no such branch, tag or commit.",
    OfflineModeIsEnabled: "this process is offline (HF_HUB_OFFLINE).",
    LocalEntryNotFoundError: "it is not in the cache, and the Hub is out of reach or HF_HUB_OFFLINE is set.",
    httpx.TransportError: "the connection to the Hub failed; try again.",
}
"""What the errors of the Hub's client mean, the more particular first."""


def load_config(where: str, hub_kwargs: dict[str, Any]) -> PreTrainedConfig:
    """The configuration of a checkpoint or an adapter.

    Raises:
        OSError: there is none that can be read.
    """
    try:
        return AutoConfig.from_pretrained(where, **hub_kwargs)
    except UNREADABLE as error:
        kind = "folder" if Path(where).is_dir() else "Hub id or folder"
        raise OSError(
            f"No checkpoint could be read from {where!r} as a {kind}: {because(error, where)} "
            "Give a folder with a config.json, or the id of a repository that can be reached."
        ) from error


def load_base_config(
    where: str, hub_kwargs: dict[str, Any], trust_remote_code: bool | None = None
) -> tuple[PreTrainedConfig, str, str | None]:
    """The configuration, the name and the commit of a checkpoint, or of the one that a PEFT repository belongs to.

    Args:
        where: Hub id or folder.
        hub_kwargs: where its files come from.
        trust_remote_code: whether code of the repository's may run; None to ask whoever sits before this process.

    Raises:
        OSError: there is none that can be read.
    """
    try:
        config = load_config(where, {**hub_kwargs, "trust_remote_code": trust_remote_code})
        return config, where, commit_of(hub_kwargs.get("revision"))
    except OSError as error:
        try:
            peft_file = find_adapter_config_file(where, **hub_kwargs)
        except UNREADABLE:
            peft_file = None
        if peft_file is None:
            raise error
    base = json.loads(Path(peft_file).read_text())["base_model_name_or_path"]
    hub_kwargs = pinned(base, within_reach(hub_kwargs))
    config = load_config(base, {**hub_kwargs, "trust_remote_code": trust_remote_code})
    return config, base, commit_of(hub_kwargs.get("revision"))


def load_predictor(auto_class: Any, where: str, kwargs: dict[str, Any], adapter: str | None = None) -> PreTrainedModel:
    """A checkpoint with its weights.

    Args:
        auto_class: the auto class of its task.
        where: Hub id or folder.
        kwargs: of `from_pretrained`.
        adapter: the one that belongs to it, if that is why it is loaded.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return auto_class.from_pretrained(where, **kwargs)
    except (OSError, HFValidationError, httpx.HTTPError, SafetensorError) as error:
        if adapter is None:
            raise OSError(
                f"The weights of the checkpoint {where!r} cannot be read: {because(error, where)}"
            ) from error
        raise OSError(
            f"The adapter {adapter!r} belongs to the checkpoint {where!r}, which cannot be read: "
            f"{because(error, where)} Bring it there, or pass the loaded checkpoint as predictor=."
        ) from error


def load_weights(where: str, hub_kwargs: dict[str, Any]) -> dict[str, Tensor]:
    """The weights of an adapter; of a checkpoint in shards, those files that hold a canonicalizer.

    Raises:
        ValueError: a file is damaged.
        OSError: there is none.
    """
    try:
        weights = cached_file(where, SAFE_WEIGHTS_NAME, _raise_exceptions_for_missing_entries=False, **hub_kwargs)
        if weights is None:
            index = json.loads(Path(str(cached_file(where, SAFE_WEIGHTS_INDEX_NAME, **hub_kwargs))).read_text())
            names = {file for name, file in index["weight_map"].items() if name.startswith("canonicalizer.")}
            files = [str(cached_file(where, name, **hub_kwargs)) for name in sorted(names)]
        else:
            files = [weights]
    except UNREADABLE as error:
        raise OSError(f"The adapter {where!r} has no weights that can be read: {because(error, where)}") from error
    state: dict[str, Tensor] = {}
    for file in files:
        try:
            state |= load_file(file)
        except SafetensorError as error:
            raise ValueError(
                f"The adapter's weights {file} are damaged ({error}). Save or download them again."
            ) from error
    return state


def processor_files(where: str | None, hub_kwargs: dict[str, Any]) -> dict[str, bytes]:
    """The files, by name, that describe a checkpoint's processor; none where there are none, or none within reach."""
    found: dict[str, bytes] = {}
    if where is None:
        return found
    for name in PROCESSOR_FILES:
        try:
            path = cached_file(where, name, _raise_exceptions_for_missing_entries=False, **hub_kwargs)
        except UNREADABLE:
            continue
        if path is not None:
            found[name] = Path(path).read_bytes()
    return found


def saved_files(processor: Any) -> dict[str, bytes]:
    """The files, by name, that describe a live processor."""
    with TemporaryDirectory() as folder:
        processor.save_pretrained(folder)
        return {file.name: file.read_bytes() for file in Path(folder).iterdir() if file.name in PROCESSOR_FILES}


def feature_extractor(files: dict[str, bytes], model_type: str, bins: int | None) -> Any:
    """What makes an audio clip ready for a predictor; the usual one for its model type where there are no files of its
    own.

    Args:
        files: of the predictor's processor.
        model_type: of the predictor.
        bins: frequencies in the spectrograms that the predictor reads, if it does.

    Returns:
        None where none is known.
    """
    with TemporaryDirectory() as folder, catch_warnings():
        simplefilter("ignore")  # that some filters are empty: the extractor says so to whoever uses it
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            if files:
                return AutoFeatureExtractor.from_pretrained(folder)
            usual = feature_extractor_class_from_name(FEATURE_EXTRACTOR_MAPPING_NAMES[model_type])
            return usual(**({} if bins is None else {"num_mel_bins": bins, "feature_size": bins}))
        except (OSError, ValueError, ImportError, KeyError):
            return None


Normalization = tuple[tuple[float, ...], tuple[float, ...]]
"""For each channel: what the values of an image, 0 to 255, are multiplied with, and what is added then."""


def normalization(files: dict[str, bytes], channels: int) -> Normalization | None:
    """What a processor does to the values of an image; None where that is not known, or is more than that."""
    if not files:
        return None
    with TemporaryDirectory() as folder:
        for name, content in files.items():
            (Path(folder) / name).write_bytes(content)
        try:
            processor: Any = AutoImageProcessor.from_pretrained(folder)
        except (OSError, ValueError, ImportError, KeyError):
            return None
    if any(getattr(processor, name, None) for name in ("do_flip_channel_order", "include_top", "rescale_offset")):
        return None
    factor = processor.rescale_factor if getattr(processor, "do_rescale", False) else 1.0
    mean, deviation = [0.0] * channels, [1.0] * channels
    if getattr(processor, "do_normalize", False):
        mean, deviation = (
            list(value) if isinstance(value, list | tuple) else [value] * channels
            for value in (processor.image_mean, processor.image_std)
        )
    if len(mean) != channels or len(deviation) != channels:
        return None
    return tuple(factor / d for d in deviation), tuple(-m / d for m, d in zip(mean, deviation, strict=True))


def because(error: BaseException, where: str = "") -> str:
    """The reason why something could not be read from `where`, or sent, in a sentence."""
    if (where.startswith((".", os.sep)) or where.count("/") > 1) and not Path(where).exists():
        return "there is no such folder."
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for kind, sentence in REASONS.items():
        if any(isinstance(one, kind) for one in chain):
            return sentence
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".:") + "."


def pinned(where: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """The same arguments, for the commit that their revision means now: a branch may move while it is read."""
    revision = resolve_revision(where, kwargs.get("revision"), **within_reach(kwargs))
    return kwargs if revision is None else {**kwargs, "revision": revision}


def commit_of(revision: str | None) -> str | None:
    """The commit that a revision was resolved to, if it was."""
    commit = getattr(revision, "resolved", revision)
    return commit if commit is not None and REGEX_COMMIT_HASH.match(commit) else None


def only_cached_commit(name: str) -> str | None:
    """The commit at which a live model must have been loaded, because no other is in the cache; None if unclear."""
    snapshots = Path(HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type="model") / "snapshots"
    commits = {weights.relative_to(snapshots).parts[0] for weights in snapshots.glob("*/*model*")}
    return commits.pop() if len(commits) == 1 else None


def within_reach(hub_kwargs: dict[str, Any]) -> dict[str, Any]:
    """Of the arguments that say where a repository's files come from: those that hold for another one too."""
    return {key: hub_kwargs[key] for key in ("token", "cache_dir", "local_files_only") if key in hub_kwargs}


def where_of(name: str | os.PathLike[str]) -> str:
    """A folder from any working directory, or a Hub id as it is."""
    return str(Path(name).resolve()) if Path(name).is_dir() else os.fspath(name)
