"""A generator's folder: its samples, its card, and the way to the Hub."""

from pathlib import Path
from typing import Any

from huggingface_hub import HfApi, ModelCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from transformers.utils import SAFE_WEIGHTS_NAME, logging

from ..groups import Images, Waveforms, get_group
from ..hub.card import sign
from ..hub.folder import CARD_FILE, may_renew
from ..hub.push import may_renew_remote, opened
from .configuration_generator import GeneratorConfig
from .grids import draw_samples

logger = logging.get_logger(__name__)

SAMPLES_FILE = "samples.png"
FILES = ("config.json", SAFE_WEIGHTS_NAME, SAMPLES_FILE, CARD_FILE)
NOUNS = {Images: "images", Waveforms: "clips"}


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
    task = "unconditional-image-generation" if isinstance(config.sample_kind, Images) else None
    tags = ["hf_canon", "gan", "equivariance", config.group]
    head = ModelCardData(library_name="hf_canon", pipeline_tag=task, datasets=data.get("id"), tags=tags)
    return sign(f"---\n{head.to_yaml()}\n---\n{body}")


def push(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None,
    token: str | bool | None,
    revision: str | None,
    commit_message: str | None,
    create_pr: bool,
) -> Any:
    """Upload a generator that was saved in a folder, in one commit. For the arguments see `push_to_hub`."""
    api = HfApi(token=token)
    with opened(api, repo_id, private, revision, GeneratorConfig.model_type, "a generator") as repo_id:
        kept = not may_renew_remote(api, repo_id, revision)
        if kept:
            logger.warning(f"Somebody has edited the card of {repo_id}, and it is kept.")
        return api.upload_folder(
            repo_id=repo_id,
            folder_path=folder,
            revision=revision,
            commit_message=commit_message or "Upload a generator with hf_canon",
            create_pr=create_pr,
            allow_patterns=list(FILES),
            ignore_patterns=[CARD_FILE] if kept else [],
        )
