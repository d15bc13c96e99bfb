"""A demo on a Hub as a Space: pushed, pushed again, downloaded and run by a stranger, renewed, refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.conftest import Hub
from PIL import Image

pytestmark = pytest.mark.slow

PUBLISH = """
import sys
import torch
from hf_canon import CanonicalizedModel
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

torch.manual_seed(0)
names = ("cat", "dog")
ViTForImageClassification(ViTConfig(hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
    image_size=32, patch_size=8, id2label=dict(enumerate(names)),
    label2id={name: i for i, name in enumerate(names)})).push_to_hub("me/base")
ViTImageProcessorPil(size={"height": 32, "width": 32}).push_to_hub("me/base")
model = CanonicalizedModel.wrap("me/base", group="d4")
model.save_pretrained(sys.argv[1])
model.push_to_hub("me/shared")
"""

PUSH = """
import json, sys
from hf_canon.demo import Offered
from hf_canon.demo.space import push_space

for one in sys.argv[1:]:
    asked = json.loads(one)
    offered = Offered(tuple(asked.pop("checkpoints")), asked.pop("images"))
    try:
        done = push_space(offered, asked.pop("to"), **asked)
        print(json.dumps({"oid": done.oid, "url": str(done.repo_url)}))
    except (OSError, ValueError) as error:
        print(json.dumps({"error": str(error), "kind": type(error).__name__}))
"""

DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], repo_type="space", local_dir=sys.argv[2])
"""

RUN = """
import json, os, sys
# A Space has no hf_canon but its own.
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in str(finder).lower()]
os.chdir(sys.argv[1])
sys.path.insert(0, sys.argv[1])
import app
import hf_canon
page = app.build_demo()
print(json.dumps({"package": hf_canon.__file__, "page": type(page).__name__, "actions": len(page.fns)}))
"""


def asked(*checkpoints: str | Path, to: str = "me/demo", images: Path | None = None, **how: Any) -> str:
    """What is pushed where, for `push`."""
    names = [str(name) for name in checkpoints]
    return json.dumps({"checkpoints": names, "images": images and str(images), "to": to, **how})


def push(hub: Hub, *pushes: str, token: str | None = "writer") -> list[dict[str, Any]]:
    """What became of each of several pushes, one after the other in one process."""
    lines = hub.run(PUSH, *pushes, token=token).strip().splitlines()
    return [json.loads(line) for line in lines[-len(pushes) :]]


@pytest.fixture
def adapter(hub: Hub, tmp_path: Path) -> Path:
    hub.run(PUBLISH, tmp_path / "d4")
    return tmp_path / "d4"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for shade in (60, 120):
            Image.new("RGB", (48, 40), (shade, 90 * number, 9)).save(tmp_path / "photos" / name / f"{shade}.png")
    return tmp_path / "photos"


def test_pushed_run_by_a_stranger_and_renewed(hub: Hub, adapter: Path, photos: Path, tmp_path: Path) -> None:
    first, again = push(hub, *[asked(adapter, "me/shared", images=photos)] * 2)
    assert first["oid"] == again["oid"] == hub.commits("me/demo", kind="space")[0].oid
    assert len(hub.commits("me/demo", kind="space")) == 2  # the Hub's own, and one
    files = hub.files("me/demo", kind="space")
    assert {"app.py", "README.md", "requirements.txt", "demo.json", "hf_canon/__init__.py"} <= set(files)
    assert files["adapters/d4/model.safetensors"] == (adapter / "model.safetensors").read_bytes()
    assert {name for name in files if name.startswith("examples/")} == {
        f"examples/images/{name}.png" for name in ("cat/1", "dog/2", "cat/3", "dog/4")
    }
    assert not any("__pycache__" in name for name in files)
    assert not any(str(tmp_path).encode() in content for content in files.values())
    settings = yaml.safe_load(files["README.md"].decode().split("---\n", 2)[1])
    assert settings["models"] == ["me/base", "me/shared"]

    space = tmp_path / "downloaded"
    hub.run(DOWNLOAD, "me/demo", space, token=None)
    hub.requests.clear()
    ran = json.loads(hub.run(RUN, space, token=None).strip().splitlines()[-1])
    assert ran["page"] == "Blocks" and ran["actions"] > 4
    assert Path(ran["package"]).is_relative_to(space)
    assert any(path.startswith("/me/base/resolve/") for _, path in hub.requests)

    # What is not offered any more goes, and what somebody added stays.
    hub.put("me/demo", {"notes.md": b"mine", "hf_canon/gone.py": b"of an earlier version"}, kind="space")
    push(hub, asked("me/shared"))
    renewed = hub.files("me/demo", kind="space")
    assert not any(name.startswith(("adapters/", "examples/")) for name in renewed)
    assert "hf_canon/gone.py" not in renewed and renewed["notes.md"] == b"mine"
    assert json.loads(renewed["demo.json"]) == {"checkpoints": ["me/shared"]}
    assert yaml.safe_load(renewed["README.md"].decode().split("---\n", 2)[1])["models"] == ["me/shared", "me/base"]


def test_what_cannot_be_gives_a_sentence_and_changes_nothing(hub: Hub, adapter: Path, tmp_path: Path) -> None:
    local = tmp_path / "local"
    shutil.copytree(adapter, local)
    config = json.loads((local / "config.json").read_text())
    (local / "config.json").write_text(json.dumps({**config, "base_name_or_path": str(tmp_path)}))
    hub.put("me/other", {"README.md": b"# Mine", "app.py": b'"""Mine."""\n'}, kind="space")
    hub.put("me/docker", {"README.md": b"# Mine", "Dockerfile": b"FROM scratch\n"}, kind="space")
    hub.put("me/demo", {"README.md": b"---\nsdk: gradio\n---\n"}, kind="space")  # as the Hub makes it
    before = {name: hub.commits(name, kind="space")[0].oid for name in ("me/other", "me/docker", "me/demo")}
    kept = "was not pushed to, and is what it was before: "
    hub.break_next("commit")
    attempts = {
        "writer": {
            asked(local, to="me/new"): "of this machine that nobody else can load. Push the checkpoint too",
            asked(adapter, to="me/other"): "The Space 'me/other' is no demo of hf_canon, and would be replaced. Name",
            asked(
                adapter, to="me/docker"
            ): "The Space 'me/docker' is no demo of hf_canon, and would be replaced. Name",
            asked(adapter, to="me//x y"): f"The Space 'me//x y' {kept}",
            asked(adapter): f"The Space 'me/demo' {kept}the connection to the Hub failed",
        },
        "reader": {asked(adapter): f"The Space 'me/demo' {kept}your token has no right to write there"},
        "stranger": {asked(adapter): f"The Space 'me/demo' {kept}your token has no right to write there"},
        None: {asked(adapter): f"The Space 'me/demo' {kept}the Hub does not know who you are"},
    }
    for token, sentences in attempts.items():
        for found, sentence in zip(push(hub, *sentences, token=token), sentences.values(), strict=True):
            assert sentence in found["error"] and "\n" not in found["error"]
    assert before == {name: hub.commits(name, kind="space")[0].oid for name in before}
    assert ("space", "me/new") not in hub.repositories  # it was not even made

    push(hub, asked(adapter, private=True))
    assert hub.commits("me/demo", kind="space")[0].parent == before["me/demo"]
    assert not hub.repository("me/demo", "space").private  # it was there before


def test_the_command_line(hub: Hub, adapter: Path) -> None:
    out = hub.command("hf-canon", "demo", adapter, "--push", "me/secret", "--private")
    assert hub.commits("me/secret", kind="space")[0].oid in out and "/spaces/me/secret" in out
    assert hub.repository("me/secret", "space").private


VISIT = """
import json, sys
import hf_canon.demo.checkpoints as checkpoints
from hf_canon.demo import Offered

for largest, name in zip(sys.argv[1::2], sys.argv[2::2]):
    checkpoints.LARGEST = float(largest)
    try:
        opened = checkpoints.Checkpoints(Offered(("me/offered",))).open(name)
        print(json.dumps([opened.model.group.name, opened.senses]))
    except (OSError, ValueError) as error:
        print(json.dumps(str(error)))
"""


def test_strangers_open_what_is_on_the_hub_if_it_is_harmless_and_not_too_large(hub: Hub, adapter: Path) -> None:
    files = hub.files("me/shared")
    config = json.loads(files["config.json"])
    for name, named in (("paths", str(adapter)), ("bridge", "me/evil")):
        hub.put(f"me/{name}", {**files, "config.json": json.dumps({**config, "base_name_or_path": named}).encode()})
    base = hub.files("me/base")
    spoiled = {**json.loads(base["config.json"]), "model_type": "mine", "auto_map": {"AutoConfig": "code.Evil"}}
    evil = b"import pathlib; pathlib.Path('evil').touch()\nclass Evil: pass\n"
    hub.put("me/evil", {**base, "config.json": json.dumps(spoiled).encode(), "code.py": evil})
    hub.put("me/pickled", {name: data for name, data in base.items() if name != "model.safetensors"})
    named = {"base_model_name_or_path": str(adapter), "peft_type": "LORA", "task_type": None}
    hub.put("me/lora", {**base, "adapter_config.json": json.dumps(named).encode()})
    everything, little = "1e9", "1000"
    visits = [
        (everything, "me/shared"), (everything, "me/base"), (little, "me/shared"), (little, "me/base"),
        (everything, "me/paths"), (everything, "me/evil"), (everything, "me/pickled"), (everything, "me/nothing"),
        (everything, "me/bridge"), (everything, "me/lora"),
    ]  # fmt: skip
    out = hub.run(VISIT, *[word for visit in visits for word in visit], token=None)
    said = [json.loads(line) for line in out.strip().splitlines() if line.startswith(("[", '"'))]
    assert said[:2] == [["d4", "image"], ["c4", "image"]]
    assert all("GB of weights, and this page loads" in one and "hf-canon demo me/" in one for one in said[2:4])
    assert "no repository on the Hub, and this page opens no folders" in said[4]
    assert "No checkpoint could be read from 'me/evil'" in said[5]
    assert "The weights of the checkpoint 'me/pickled' cannot be read" in said[6]
    assert "the Hub has no such repository" in said[7]
    assert "me/evil" in said[8]
    assert "'me/lora' is a PEFT adapter, which names another repository" in said[9]
    assert not Path("evil").exists()
