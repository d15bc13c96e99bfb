"""An adapter's folder on its way to the Hub: one commit, or none."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from huggingface_hub import HfApi
from huggingface_hub.errors import EntryNotFoundError, HFValidationError
from huggingface_hub.utils import httpx
from transformers import AutoConfig
from transformers.utils import SAFE_WEIGHTS_NAME, logging

from ..configuration_canonicalized import CanonicalizedConfig
from ..predictors.hub_files import PROCESSOR_FILES, because
from .card import render_card
from .folder import (
    CARD_FILE,
    OWN,
    SAMPLER_CONFIG,
    SAMPLER_FILES,
    WEIGHTS,
    describe_reference,
    is_repository,
    may_renew,
    model_type,
    read_facts,
)

logger = logging.get_logger(__name__)

FILES = ["config.json", *PROCESSOR_FILES, CARD_FILE, *OWN]
"""What belongs to an adapter: a training's folder also holds checkpoints, logs and a pickle of its arguments."""


def push_folder(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    revision: str | None = None,
    commit_message: str | None = None,
    create_pr: bool = False,
    overwrite_card: bool = False,
    blocking: bool = True,
) -> Any:
    """Upload a saved adapter. A second push of the same files makes no commit.

    Args:
        folder: what `save_pretrained` or a training wrote; what is no part of the adapter stays behind.
        repo_id: `owner/name`, or `name` in your own namespace; made if it does not exist.
        private: whether a new repository is private; the namespace's default if None.
        token: of somebody who may write there; the one of `hf auth login` if None.
        revision: the branch, made if it does not exist; main if None.
        commit_message: of the one commit.
        create_pr: open a pull request in place of a commit.
        overwrite_card: replace a card on the Hub that somebody has edited; one that nobody edited is renewed anyway.
        blocking: wait for the upload; else return a future of what is returned.

    Returns:
        The `CommitInfo` of the upload.

    Raises:
        ValueError: the folder holds no adapter, or one whose checkpoint is a folder of this machine.
        OSError: the Hub cannot be reached, or does not let you write there.
    """
    folder = Path(folder)
    config = read_config(folder)
    require_base_on_hub(config, "push_to_hub(...); or push with full=True.")
    api = HfApi(token=token)
    with opened(api, repo_id, private, revision) as repo_id:
        left_out = []
        # A reference sampler stays on the Hub while it fits: an adapter that is trained again has none beside it.
        theirs = None if (folder / SAMPLER_CONFIG).exists() else download(api, repo_id, SAMPLER_CONFIG, revision)
        reference = None if theirs is None else describe_reference(theirs, config)
        if may_renew(folder / CARD_FILE):
            facts = read_facts(folder, repo_id)
            facts = replace(facts, reference=facts.reference or reference)
            (folder / CARD_FILE).write_text(render_card(facts), encoding="utf-8")
            if not overwrite_card and not may_renew_remote(api, repo_id, revision):
                logger.warning(
                    f"Somebody has edited the card of {repo_id}, and it is kept; overwrite_card=True renews it."
                )
                left_out = [CARD_FILE]
        upload = partial(
            api.upload_folder,
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message or "Upload a canonicalizer with hf_canon",
            create_pr=create_pr,
            allow_patterns=FILES,
            ignore_patterns=left_out,
            # Of what was there before, nothing may be taken for a part of this.
            delete_patterns=[name for name in OWN if reference is None or name not in SAMPLER_FILES],
        )
        return upload() if blocking else api.run_as_future(upload)


@contextmanager
def opened(
    api: HfApi,
    repo_id: str,
    private: bool | None,
    revision: str | None,
    ours: str = CanonicalizedConfig.model_type,
    noun: str = "an adapter",
) -> Iterator[str]:
    """The whole name of a repository and a branch that can be uploaded to, made if they do not exist.

    Args:
        api: of somebody who may write there.
        repo_id: `owner/name`, or `name` in one's own namespace.
        private: whether a new repository is private.
        revision: the branch; main if None.
        ours: the model type that may be there already, and `noun` what is uploaded.

    Raises:
        ValueError: the repository holds another kind of checkpoint.
        OSError: the Hub cannot be reached, or does not take it; the repository is what it was before.
    """
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        require_ours_remotely(api, repo_id, revision, ours, noun)
        yield repo_id
    except (httpx.HTTPError, HFValidationError, OSError) as error:
        raise OSError(f"{repo_id!r} was not pushed to, and is what it was before: {why_not(error)}") from error


def read_config(folder: Path) -> Any:
    """The configuration of the adapter in a folder that is complete.

    Raises:
        ValueError: it holds none.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"{os.fspath(folder)!r} holds no config.json, and so no adapter. Name the folder of one.")
    config = AutoConfig.from_pretrained(folder)
    if not isinstance(config, CanonicalizedConfig):
        raise ValueError(
            f"{os.fspath(folder)!r} holds a {config.model_type} checkpoint and no adapter of hf_canon. Push it with "
            "`hf upload`, or wrap it and train an adapter."
        )
    if not any(path for pattern in WEIGHTS for path in folder.glob(pattern)):
        raise ValueError(f"{os.fspath(folder)!r} holds no {SAFE_WEIGHTS_NAME}. Save the adapter there again.")
    return config


def require_base_on_hub(config: Any, remedy: str) -> None:
    """Raise ValueError if an adapter belongs to a checkpoint that nobody else could load.

    Args:
        config: of the adapter.
        remedy: how the sentence ends that says what to do.
    """
    if not config.includes_predictor and not is_repository(str(config.base_name_or_path)):
        raise ValueError(
            f"The adapter belongs to the checkpoint {config.base_name_or_path!r}, a folder "
            "of this machine that nobody else can load. Push the checkpoint too, and then "
            f"CanonicalizedModel.wrap('owner/checkpoint', adapter=...).{remedy}"
        )


def require_ours_remotely(api: HfApi, repo_id: str, revision: str | None, ours: str, noun: str) -> None:
    """Raise ValueError if the repository holds a checkpoint that is not of our type, which this would replace."""
    config = download(api, repo_id, "config.json", revision)
    if config is not None and model_type(config) != ours:
        raise ValueError(
            f"The repository {repo_id!r} holds a {model_type(config)} checkpoint, which {noun} would replace. "
            "Name another repository, or another branch with revision=."
        )


def may_renew_remote(api: HfApi, repo_id: str, revision: str | None) -> bool:
    """Whether the repository has no card, or one of ours that nobody edited."""
    card = download(api, repo_id, CARD_FILE, revision)
    return card is None or may_renew(card)


def download(api: HfApi, repo_id: str, name: str, revision: str | None) -> Path | None:
    try:
        return Path(api.hf_hub_download(repo_id, name, revision=revision))
    except EntryNotFoundError:
        return None


def why_not(error: BaseException) -> str:
    """Why the Hub did not take an upload."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        return "the Hub does not know who you are; log in with `hf auth login`, or pass token=."
    if status == 403:
        return "your token has no right to write there; use one that has, or name a repository of yours."
    return because(error)
