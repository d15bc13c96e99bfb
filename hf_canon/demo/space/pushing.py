"""A Space on its way to the Hub: one commit, or none."""

from pathlib import Path
from tempfile import TemporaryDirectory

from huggingface_hub import CommitInfo, HfApi
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import httpx

from ...hub.push import why_not
from ..offered import OFFER_FILE, Offered
from .writing import APP_FILE, CARD_FILE, OWN_FOLDERS, is_ours, write_space

NEW = {".gitattributes", CARD_FILE}
"""What the Hub itself puts into a new Space."""


def push_space(
    offered: Offered,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    commit_message: str | None = None,
) -> CommitInfo:
    """Upload the demo of what is offered as a Space. A second push of the same makes no commit.

    Of an earlier push, what is not offered any more is deleted; files of others stay.

    Args:
        offered: as for `write_space`.
        repo_id: `owner/name`, or `name` in your own namespace; made if it does not exist.
        private: whether a new Space is private; the namespace's default if None.
        token: of somebody who may write there; the one of `hf auth login` if None.
        commit_message: of the one commit.

    Returns:
        The `CommitInfo` of the upload.

    Raises:
        ValueError: something that is offered cannot be in a Space, or there is another Space by that name.
        OSError: something here cannot be read, the Hub cannot be reached, or does not let you write there.
    """
    with TemporaryDirectory() as folder:
        write_space(folder, offered)
        api = HfApi(token=token)
        try:
            made = api.create_repo(repo_id, repo_type="space", space_sdk="gradio", private=private, exist_ok=True)
            repo_id = made.repo_id
            require_ours_remotely(api, repo_id)
            return api.upload_folder(
                repo_id=repo_id,
                repo_type="space",
                folder_path=folder,
                commit_message=commit_message or "Upload a demo with hf_canon",
                delete_patterns=[OFFER_FILE, *(f"{name}/*" for name in OWN_FOLDERS)],
            )
        except (httpx.HTTPError, HFValidationError, OSError) as error:
            raise OSError(
                f"The Space {repo_id!r} was not pushed to, and is what it was before: {why_not(error)}"
            ) from error


def require_ours_remotely(api: HfApi, repo_id: str) -> None:
    """Raise ValueError if there is something else in a Space, which ours would replace or mix with."""
    files = set(api.list_repo_files(repo_id, repo_type="space"))
    if APP_FILE in files:
        app = Path(api.hf_hub_download(repo_id, APP_FILE, repo_type="space"))
        ours = is_ours(app.read_text(encoding="utf-8", errors="replace"))
    else:
        ours = files <= NEW
    if not ours:
        raise ValueError(f"The Space {repo_id!r} is no demo of hf_canon, and would be replaced. Name another one.")
