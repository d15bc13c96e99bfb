"""The loopback Hub answers the real clients as the real Hub does."""

import http.client
import itertools
import json
import sys
import threading

import pytest
from hub.loopback import Gate

CLIENT = """
import json, sys
from pathlib import Path
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, hf_hub_download, snapshot_download
api = HfApi()

def refusal(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except Exception as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        return [type(error).__name__, status, str(error)]

def upload(path, text, **kwargs):
    return api.upload_file(path_or_fileobj=text.encode(), path_in_repo=path, repo_id="me/model", **kwargs).oid

def show(**facts):
    print(json.dumps(facts))
"""

UPLOAD = CLIENT + "upload('config.json', 'new')"


def ask(hub, code, *args, **who):
    return json.loads(hub.run(CLIENT + code, *args, **who))


def own(files):
    """Without what the Hub itself puts into every repository."""
    return {path: data for path, data in files.items() if path != ".gitattributes"}


def get(hub, path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", hub.server_port)
    try:
        connection.request("GET", path, headers=headers)
        return connection.getresponse().read()
    finally:
        connection.close()


def test_create_and_delete(hub):
    seen = ask(
        hub,
        """
url = api.create_repo("model")
show(
    name=api.whoami()["name"],
    repo=[url.repo_id, url.repo_type, url.url],
    again=api.create_repo("me/model", exist_ok=True).repo_id,
    refused=refusal(api.create_repo, "me/model"),
    space=api.create_repo("me/space", repo_type="space", space_sdk="gradio", private=True).repo_id,
    exists=[api.repo_exists("me/model"), api.repo_exists("me/space"), api.repo_exists("me/space", repo_type="space")],
    deleted=[api.delete_repo("me/model"), api.repo_exists("me/model")],
    missing=refusal(api.delete_repo, "me/model"),
)
""",
    )
    assert seen["name"] == "me"
    assert seen["repo"] == ["me/model", "model", f"{hub.url}/me/model"]
    assert seen["again"] == "me/model"
    assert seen["refused"][:2] == ["HfHubHTTPError", 409]
    assert seen["exists"] == [True, False, True]
    assert seen["deleted"] == [None, False]
    assert seen["missing"][:2] == ["RepositoryNotFoundError", 404]
    assert set(hub.repositories) == {("space", "me/space")}
    assert hub.repository("me/space", "space").private


def test_uploads_make_commits_only_where_something_changes(hub, tmp_path):
    files = {"config.json": b"{}", "data/raw.bin": bytes(range(256)), "data/deep/empty": b"", "a b/é#?.txt": b"odd"}
    for path, data in files.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    seen = ask(
        hub,
        """
api.create_repo("me/model")
uploads = [api.upload_folder(repo_id="me/model", folder_path=sys.argv[1]).oid for _ in range(2)]
listed = sorted(api.list_repo_files("me/model"))
tree = [[type(entry).__name__, entry.path] for entry in api.list_repo_tree("me/model", "data")]
snapshot = Path(snapshot_download("me/model"))
downloaded = {str(p.relative_to(snapshot)): p.read_bytes().hex() for p in snapshot.rglob("*") if p.is_file()}
adds = [CommitOperationAdd("config.json", b"new"), CommitOperationAdd("data/raw.bin", sys.argv[1] + "/data/raw.bin")]
deletes = [CommitOperationDelete("data/deep/"), CommitOperationDelete("a b/é#?.txt")]
changed = api.create_commit("me/model", adds + deletes, commit_message="Change").oid
info = api.model_info("me/model", files_metadata=True)
show(
    uploads=uploads,
    listed=listed,
    tree=tree,
    downloaded=downloaded,
    changed=changed,
    head=info.sha,
    sizes={file.rfilename: file.size for file in info.siblings},
    log=[[commit.commit_id, commit.title] for commit in api.list_repo_commits("me/model")],
    lost=refusal(api.delete_file, "nowhere", "me/model"),
    late=refusal(upload, "x", "x", parent_commit=uploads[0]),
    pull_request=refusal(upload, "x", "x", create_pr=True),
)
""",
        tmp_path,
    )
    first, second = seen["uploads"]
    assert first == second
    assert own(hub.files("me/model", first)) == files
    assert set(seen["listed"]) == {*files, ".gitattributes"}
    assert seen["tree"] == [["RepoFolder", "data/deep"], ["RepoFile", "data/raw.bin"]]
    assert own({path: bytes.fromhex(data) for path, data in seen["downloaded"].items()}) == files

    left = {"config.json": b"new", "data/raw.bin": files["data/raw.bin"]}
    assert own(hub.files("me/model")) == left
    assert seen["head"] == seen["changed"]
    assert own(seen["sizes"]) == {path: len(data) for path, data in left.items()}
    assert [oid for oid, _ in seen["log"]] == [commit.oid for commit in hub.commits("me/model")]
    assert [title for _, title in seen["log"]] == ["Change", "Upload folder using huggingface_hub", "initial commit"]
    assert seen["lost"][:2] == ["RemoteEntryNotFoundError", 404]
    assert seen["late"][:2] == ["HfHubHTTPError", 412]
    assert seen["pull_request"][1] == 400 and "no pull requests" in seen["pull_request"][2]
    assert len(hub.commits("me/model")) == 3


def test_what_a_revision_names_stays_readable_after_main_transformed(hub):
    old = hub.put("me/model", {"config.json": b"old"})
    seen = ask(
        hub,
        """
api.create_tag("me/model", tag="v1")
upload("config.json", "new")
api.create_tag("me/model", tag="late", revision=sys.argv[1])
api.create_branch("me/model", branch="draft/one", revision="v1")
api.create_branch("me/model", branch="still", revision="v1")
upload("config.json", "drafted", revision="draft/one")

def read(revision):
    one = Path(hf_hub_download("me/model", "config.json", revision=revision)).read_text()
    assert one == Path(snapshot_download("me/model", revision=revision), "config.json").read_text()
    return one

refs = api.list_repo_refs("me/model")
show(
    read={revision: read(revision) for revision in ("main", "v1", "still", "draft/one", sys.argv[1])},
    branches={ref.name: ref.target_commit for ref in refs.branches},
    tags={ref.name: ref.target_commit for ref in refs.tags},
    twice=refusal(api.create_tag, "me/model", tag="v1"),
    unknown=[
        refusal(hf_hub_download, "me/model", "config.json", revision="v2"),
        refusal(snapshot_download, "me/model", revision="v2"),
        refusal(upload, "x", "x", revision="v2"),
        refusal(hf_hub_download, "me/model", "nowhere"),
        refusal(hf_hub_download, "me/other", "config.json"),
        refusal(upload, "x", "x", revision="v1"),
    ],
)
""",
        old.oid,
    )
    assert seen["read"] == {"main": "new", "v1": "old", "still": "old", "draft/one": "drafted", old.oid: "old"}
    assert seen["tags"] == {"v1": old.oid, "late": old.oid}
    assert {name: hub.files("me/model", oid)["config.json"] for name, oid in seen["branches"].items()} == {
        "main": b"new",
        "still": b"old",
        "draft/one": b"drafted",
    }
    assert seen["twice"][:2] == ["HfHubHTTPError", 409]
    revision, entry, repo = "RevisionNotFoundError", "RemoteEntryNotFoundError", "RepositoryNotFoundError"
    assert [name for name, *_ in seen["unknown"]] == [revision, revision, revision, entry, repo, revision]


def test_the_card_is_read(hub):
    card = "---\nlibrary_name: mine\npipeline_tag: image-classification\ntags: [a, b]\nday: 2024-01-31\n---\n# Model\n"
    seen = ask(
        hub,
        """
api.create_repo("me/model")
upload("README.md", sys.argv[1])
info = api.model_info("me/model")
import warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    upload("README.md", "no front matter", revision="main")
show(
    info=[info.library_name, info.pipeline_tag, info.tags, info.card_data["day"], info.private, info.gated],
    warnings=[str(warning.message) for warning in caught],
    invalid=[refusal(upload, "README.md", f"---\\n{text}\\n---\\n") for text in ("tags: [a", "just words")],
)
""",
        card,
    )
    assert seen["info"] == ["mine", "image-classification", ["a", "b"], "2024-01-31", False, False]
    assert len(seen["warnings"]) == 1 and "empty or missing yaml metadata" in seen["warnings"][0]
    assert all(name == "ValueError" and "Invalid metadata in README.md" in text for name, _, text in seen["invalid"])
    assert len(hub.commits("me/model")) == 3


RIGHTS = """
def outcome(call, *args, **kwargs):
    return (refusal(call, *args, **kwargs) or ["done", None])[:2]

show(
    public=outcome(hf_hub_download, "me/model", "config.json"),
    private=outcome(hf_hub_download, "me/private", "config.json"),
    private_info=outcome(api.model_info, "me/private"),
    gated=outcome(hf_hub_download, "me/gated", "config.json"),
    gated_info=outcome(api.model_info, "me/gated"),
    create=outcome(api.create_repo, "me/another"),
    create_there=outcome(api.create_repo, "me/model", exist_ok=True),
    push=outcome(upload, "config.json", "changed"),
)
"""


@pytest.mark.parametrize(
    ("token", "expected"),
    [
        (
            "reader",
            {
                "private": ["done", None],
                "private_info": ["done", None],
                "gated": ["done", None],
                "create": ["HfHubHTTPError", 403],
                "push": ["HfHubHTTPError", 403],
            },
        ),
        (
            "stranger",
            {
                "private": ["RepositoryNotFoundError", 404],
                "private_info": ["RepositoryNotFoundError", 404],
                "gated": ["GatedRepoError", 403],
                "create": ["HfHubHTTPError", 403],
                "push": ["HfHubHTTPError", 403],
            },
        ),
        *(
            (
                token,
                {
                    "private": ["RepositoryNotFoundError", 401],
                    "private_info": ["RepositoryNotFoundError", 401],
                    "gated": ["GatedRepoError", 401],
                    "create": ["HfHubHTTPError", 401],
                    "push": ["RepositoryNotFoundError", 401],
                },
            )
            for token in (None, "unknown")
        ),
    ],
)
def test_rights(hub, token, expected):
    for repo_id in ("me/model", "me/private", "me/gated"):
        hub.put(repo_id, {"config.json": b"{}"})
    hub.repository("me/private").private = True
    hub.repository("me/gated").gated = True
    always = {"public": ["done", None], "gated_info": ["done", None], "create_there": ["done", None]}
    assert ask(hub, RIGHTS, token=token) == always | expected
    assert set(hub.repositories) == {("model", f"me/{name}") for name in ("model", "private", "gated")}
    assert hub.files("me/model")["config.json"] == b"{}"


@pytest.mark.slow
def test_a_broken_download_is_resumed(hub):
    weights = bytes(range(256)) * 50
    hub.put("me/model", {"weights.bin": weights, "other.bin": b"12"})
    hub.break_next("download", "weights.bin")
    assert get(hub, "/me/model/resolve/main/other.bin") == b"12"
    with pytest.raises(http.client.IncompleteRead) as broken:
        get(hub, "/me/model/resolve/main/weights.bin")
    assert broken.value.partial == weights[: len(weights) // 2]
    assert get(hub, "/me/model/resolve/main/weights.bin") == weights
    assert get(hub, "/me/model/resolve/main/weights.bin", Range="bytes=7-") == weights[7:]
    assert get(hub, "/me/model/resolve/main/weights.bin", Range="bytes=7-9") == weights[7:10]

    hub.requests.clear()
    for _ in range(2):
        hub.break_next("download", "weights.bin")
    seen = ask(hub, 'show(data=Path(hf_hub_download("me/model", "weights.bin")).read_bytes().hex())')
    assert bytes.fromhex(seen["data"]) == weights
    assert [method for method, path in hub.requests if path.endswith("weights.bin")] == ["HEAD", "GET", "GET", "GET"]


def test_a_broken_commit_stores_nothing(hub):
    before = hub.put("me/model", {"config.json": b"old"})
    hub.break_next("commit")
    failed = hub.run(UPLOAD, check=False)
    assert failed.returncode != 0 and "Error" in failed.stderr
    assert ("POST", "/api/models/me/model/commit/main") in hub.requests
    assert hub.commits("me/model")[0] == before

    hub.run(UPLOAD)
    assert [commit.files["config.json"] for commit in hub.commits("me/model")[:2]] == [b"new", b"old"]


@pytest.mark.parametrize("killed", [True, False])
def test_a_commit_is_stored_only_for_a_client_that_lives(hub, killed):
    before = hub.put("me/model", {"config.json": b"old"})
    hub.slow_commit = Gate()
    with hub.start(sys.executable, "-c", UPLOAD) as client:
        assert hub.slow_commit.arrived.wait(60)
        assert hub.commits("me/model")[0] == before
        if killed:
            client.kill()
            client.wait()
        hub.slow_commit.opened.set()
        assert hub.slow_commit.passed.wait(60)
        client.communicate(timeout=60)
    assert hub.files("me/model")["config.json"] == (b"old" if killed else b"new")
    assert (client.returncode == 0) is not killed


def test_a_reader_sees_the_old_commit_or_the_new_one(hub):
    hub.put("me/model", {"a": b"", "b": b""})
    stop = threading.Event()

    def move_main():
        for number in itertools.count():
            hub.put("me/model", {"a": b"%d" % number, "b": b"%d" % number})
            if stop.wait(0.001):
                return

    writer = threading.Thread(target=move_main)
    writer.start()
    try:
        trees = [json.loads(get(hub, "/api/models/me/model/tree/main")) for _ in range(100)]
    finally:
        stop.set()
        writer.join()
    pairs = {tuple(entry["oid"] for entry in tree if entry["path"] in "ab") for tree in trees}
    assert len(pairs) > 1  # main did move meanwhile
    assert all(a == b for a, b in pairs)


def test_what_is_not_served_is_named(hub):
    assert "does not serve GET /api/collections" in json.loads(get(hub, "/api/collections"))["error"]


@pytest.mark.slow
def test_the_hf_command(hub, tmp_path):
    (tmp_path / "app.py").write_text("print('hello')")
    assert json.loads(hub.command("hf", "auth", "whoami", "--json"))["user"] == "me"
    hub.command("hf", "repos", "create", "me/app", "--type", "space", "--sdk", "gradio")
    hub.command("hf", "upload", "me/app", tmp_path, "--type", "space", "--commit-message", "First")
    assert own(hub.files("me/app", kind="space")) == {"app.py": b"print('hello')"}
    assert hub.commits("me/app", "space")[0].message == "First"
    hub.command("hf", "download", "me/app", "--type", "space", "--local-dir", tmp_path / "copy")
    assert (tmp_path / "copy" / "app.py").read_text() == "print('hello')"
    failed = hub.command("hf", "upload", "me/app", tmp_path, "--type", "space", token="stranger", check=False)
    assert failed.returncode != 0 and "403" in failed.stderr


@pytest.mark.slow
def test_datasets(hub):
    seen = json.loads(
        hub.run("""
import json
from datasets import Dataset, load_dataset

rows = Dataset.from_dict({"n": list(range(100)), "name": [f"row {n}" for n in range(100)]})
rows.push_to_hub("me/set", split="train", num_shards=2)
for _ in range(2):
    rows.select(range(7)).push_to_hub("me/set", split="test")
loaded = load_dataset("me/set")
streamed = load_dataset("me/set", split="test", streaming=True)
facts = {split: loaded[split].to_dict() == rows.select(range(len(loaded[split]))).to_dict() for split in loaded}
print(json.dumps({"equal": facts, "rows": loaded.num_rows, "streamed": [row["n"] for row in streamed]}))
""")
    )
    assert seen == {
        "equal": {"train": True, "test": True},
        "rows": {"train": 100, "test": 7},
        "streamed": list(range(7)),
    }
    assert {path for path in hub.files("me/set", kind="dataset") if path.endswith(".parquet")} == {
        "data/train-00000-of-00002.parquet",
        "data/train-00001-of-00002.parquet",
        "data/test-00000-of-00001.parquet",
    }
    assert len(hub.commits("me/set", "dataset")) == 3  # the second push of the same rows makes none


@pytest.mark.slow
def test_transformers(hub, tmp_path):
    """A model and its processor are pushed, and a process with an empty cache answers the same, pinned or not."""
    code = """
import sys, torch
from transformers import AutoImageProcessor, AutoModelForImageClassification, ViTConfig, ViTForImageClassification
from transformers import ViTImageProcessor
size = dict(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=8, patch_size=4)
model = ViTForImageClassification(ViTConfig(**size)).eval()
processor = ViTImageProcessor(size={"height": 8, "width": 8})
first = model.push_to_hub("me/model").oid
processor.push_to_hub("me/model")
x = torch.rand(1, 3, 8, 8)
loaded = AutoModelForImageClassification.from_pretrained("me/model")
assert torch.equal(loaded(x).logits, model(x).logits)
assert AutoImageProcessor.from_pretrained("me/model").size == processor.size
other = ViTForImageClassification(ViTConfig(**size)).eval()
other.push_to_hub("me/model")
for expected, revision in ((other, "main"), (model, first)):
    loaded = AutoModelForImageClassification.from_pretrained("me/model", revision=revision)
    assert torch.equal(loaded(x).logits, expected(x).logits)
"""
    hub.run(code)
    assert {"config.json", "model.safetensors", "preprocessor_config.json"} <= set(hub.files("me/model"))
    assert len(hub.commits("me/model")) == 4
