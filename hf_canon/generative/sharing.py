"""A generator's folder: its samples, its card, and the way to the Hub."""

import os
from functools import partial
from pathlib import Path
from typing import Any

from httpx2 import HTTPError
from huggingface_hub import HfApi, ModelCardData
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from transformers.utils import SAFE_WEIGHTS_NAME

from ..groups import Pictures, Waveforms, get_group
from ..hub.card import sign
from ..hub.folder import CARD_FILE, may_renew
from ..hub.push import may_renew_remote, require_ours_remotely, why_not
from .configuration_generator import GeneratorConfig
from .grids import draw_samples

SAMPLES_FILE = "samples.png"
FILES = ("config.json", SAFE_WEIGHTS_NAME, SAMPLES_FILE, CARD_FILE)
NOUNS = {Pictures: "pictures", Waveforms: "sounds"}


def add_card(generator: Any, folder: Path, name: str) -> None:
    """Draw samples into a generator's folder, and write its card, unless somebody has edited the one that is there."""
    draw_samples(generator, folder / SAMPLES_FILE)
    if may_renew(folder / CARD_FILE):
        (folder / CARD_FILE).write_text(render_card(generator.config, generator.num_parameters(), name), "utf-8")


def render_card(config: GeneratorConfig, parameters: int, name: str) -> str:
    """The README.md of a generator's repository: from facts that its configuration holds, and nothing else.

    Example:
        >>> card = render_card(GeneratorConfig(group="d4"), 1000, "me/digits-d4")
        >>> "InvariantGenerator.from_pretrained" in card, "mirror images" in card
        (True, True)
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    training = config.training
    body = environment.get_template("card.md.jinja").render(
        config=config,
        name=name,
        meaning=get_group(config.group).meaning,
        noun=NOUNS.get(type(config.sample_kind), "spectrograms"),
        shape=" x ".join(str(side) for side in config.shape),
        parameters=parameters,
        training=None if training is None else {"data": {}, "trouble": None, **training},
    )
    data = (config.training or {}).get("data", {})
    task = "unconditional-image-generation" if isinstance(config.sample_kind, Pictures) else None
    tags = ["hf_canon", "gan", "equivariance", config.group]
    head = ModelCardData(library_name="hf_canon", pipeline_tag=task, datasets=data.get("id"), tags=tags)
    return sign(f"---\n{head.to_yaml()}\n---\n{body}")


def push(
    folder: str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool | None,
    token: str | bool | None,
    revision: str | None,
    commit_message: str | None,
    create_pr: bool,
) -> Any:
    """Upload a generator that was saved in a folder, in one commit. For the arguments see `push_to_hub`."""
    api, folder = HfApi(token=token), Path(folder)
    try:
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        if revision is not None and not revision.startswith("refs/"):
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        require_ours_remotely(api, repo_id, revision, GeneratorConfig.model_type, "a generator")
        upload = partial(api.upload_folder, repo_id=repo_id, folder_path=folder, revision=revision)
        return upload(
            commit_message=commit_message or "Upload a generator with hf_canon",
            create_pr=create_pr,
            allow_patterns=list(FILES),
            ignore_patterns=[] if may_renew_remote(api, repo_id, revision) else [CARD_FILE],
        )
    except (HfHubHTTPError, HTTPError, HFValidationError, OSError) as error:
        raise OSError(f"{repo_id!r} was not pushed to, and is what it was before: {why_not(error)}") from error
