"""An adapter on a Hub, over HTTP: pushed, described, loaded by strangers, renewed, broken off, refused."""

import copy
import json
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hub.conftest import Hub
from hub.loopback import Gate, LoopbackHub
from PIL import Image

PRELUDE = """
import json, sys
import torch
import hf_canon
from hf_canon import CanonicalizedModel, evaluate_robustness
from transformers import AutoModelForImageClassification, ViTConfig, ViTForImageClassification, ViTImageProcessorPil
from transformers import logging, pipeline
logging.set_verbosity_error()
logging.disable_progress_bar()

def vit(seed):
    torch.manual_seed(seed)
    names = {0: "cat", 1: "dog", 2: "owl"}
    return ViTForImageClassification(ViTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, image_size=32, patch_size=8, id2label=names,
        label2id={name: i for i, name in names.items()}))

def images(n=4):
    return torch.rand(n, 3, 32, 32, generator=torch.Generator().manual_seed(5))

def logits(model):
    with torch.inference_mode():
        return model.eval()(pixel_values=images()).logits.tolist()

def say(**facts):
    print(json.dumps(facts))
"""

PUBLISH = (
    PRELUDE
    + """
vit(0).push_to_hub("me/base")
ViTImageProcessorPil(size={"height": 32, "width": 32}).push_to_hub("me/base")
torch.manual_seed(1)
model = CanonicalizedModel.wrap("me/base", group="d4", canonicalizer="orbit")
items = [{"pixel_values": x, "label": i % 3} for i, x in enumerate(images(9))]
report = evaluate_robustness(model, items, ["d4", 10.0])
first = model.push_to_hub("me/adapter", report=report, commit_message="The first")
again = model.push_to_hub("me/adapter", report=report)
say(logits=logits(model), first=first.oid, again=again.oid, base=model.config.base_revision)
"""
)

LOAD = (
    PRELUDE
    + """
from PIL import Image
from transformers import AutoImageProcessor
repo, kwargs = sys.argv[1], json.loads(sys.argv[2])
ways = {
    "ours": CanonicalizedModel.from_pretrained(repo, **kwargs),
    "auto": AutoModelForImageClassification.from_pretrained(repo, **kwargs),
    "pipeline": pipeline("image-classification", repo, **kwargs).model,
}
say(**{name: logits(model) for name, model in ways.items()})
"""
)


def said(out: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return facts


def load(hub: Hub, repo: str = "me/adapter", token: str | None = None, **kwargs: Any) -> dict[str, Any]:
    """The logits of a stranger with an empty cache, through every way of loading."""
    return said(hub.run(LOAD, repo, json.dumps(kwargs), token=token))


def front_matter(card: str) -> dict[str, Any]:
    _, matter, _ = card.split("---\n", 2)
    found: dict[str, Any] = yaml.safe_load(matter)
    return found


@pytest.fixture(scope="module")
def publication(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoopbackHub, dict[str, Any]]:
    """The Hub that `PUBLISH` leaves, and what it says: made once, and copied to the Hub of each test."""
    with Hub(tmp_path_factory.mktemp("publication")) as hub:
        return hub, said(hub.run(PUBLISH))


@pytest.fixture
def published(hub: Hub, publication: tuple[LoopbackHub, dict[str, Any]]) -> dict[str, Any]:
    there, facts = publication
    hub.repositories.update(copy.deepcopy(there.repositories))
    return facts


def test_what_is_pushed(hub: Hub, published: dict[str, Any], tmp_path: Path) -> None:
    files = hub.files("me/adapter")
    assert set(files) - {".gitattributes"} == {
        "README.md",
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
        "robustness.json",
        "robustness.png",
    }
    assert len(files["model.safetensors"]) < 500_000
    config = json.loads(files["config.json"])
    assert config["base_name_or_path"] == "me/base"
    assert config["base_revision"] == published["base"] == hub.commits("me/base")[0].oid
    assert not any(str(tmp_path.anchor + "tmp").encode() in content for content in files.values())

    # A second push of the same makes no commit; the first made one, after the repository's own.
    assert [commit.message for commit in hub.commits("me/adapter")][:-1] == ["The first"]
    assert published["again"] == published["first"]

    card = files["README.md"].decode()
    matter = front_matter(card)
    assert matter["base_model"] == "me/base" and matter["base_model_relation"] == "adapter"
    assert matter["pipeline_tag"] == "image-classification" and matter["library_name"] == "hf_canon"
    results = matter["model-index"][0]["results"]
    measured = {metric["name"]: metric["value"] for result in results for metric in result["metrics"]}
    report = json.loads(files["robustness.json"])
    assert measured["accuracy, upright, untouched"] == pytest.approx(
        report["upright"]["scores"]["before"]["accuracy"], abs=1e-4
    )
    assert "Upright tax" in card and "robustness.png" in card and "When not to use it" in card


def test_every_way_of_loading_gives_the_same_to_the_bit(hub: Hub, published: dict[str, Any]) -> None:
    assert load(hub) == dict.fromkeys(["ours", "auto", "pipeline"], published["logits"])


@pytest.mark.slow
def test_the_snippets_of_a_card_run_as_they_are_printed(hub: Hub, published: dict[str, Any], tmp_path: Path) -> None:
    """By somebody who has no token."""
    Image.new("RGB", (40, 40), "red").save(tmp_path / "photo.jpg")
    snippets = re.findall(r"```python\n(.*?)```", hub.files("me/adapter")["README.md"].decode(), re.DOTALL)
    assert len(snippets) == 2
    out = hub.run(f"import os\nos.chdir({str(tmp_path)!r})\n" + "\n".join(snippets), token=None)
    assert "label" in out and "tensor" in out


@pytest.mark.slow
def test_a_base_that_changes_does_not_change_the_adapter(hub: Hub, published: dict[str, Any]) -> None:
    """Nor does a revision of the adapter change when a new one is pushed."""
    expected = published["logits"]
    hub.run(PRELUDE + 'vit(7).push_to_hub("me/base")\n')
    assert len(hub.commits("me/base")) > 2
    assert load(hub)["ours"] == expected
    renewed = said(
        hub.run(
            PRELUDE
            + """
from huggingface_hub import HfApi
HfApi().create_tag("me/adapter", tag="v1")
model = CanonicalizedModel.wrap("me/base", group="c4", canonicalizer="shift")
model.push_to_hub("me/adapter")
model.push_to_hub("me/adapter", revision="trial")
say(logits=logits(model))
"""
        )
    )
    assert renewed["logits"] != expected
    assert load(hub) == dict.fromkeys(["ours", "auto", "pipeline"], renewed["logits"])
    for revision in ("v1", published["first"]):
        assert load(hub, revision=revision) == dict.fromkeys(["ours", "auto", "pipeline"], expected)


@pytest.mark.slow
def test_a_push_that_breaks_off_leaves_the_repository_as_it_was(hub: Hub, published: dict[str, Any]) -> None:
    """Whether it is killed, or its connection breaks."""
    before = [commit.oid for commit in hub.commits("me/adapter")]
    push = PRELUDE + 'CanonicalizedModel.wrap("me/base", group="c8").push_to_hub("me/adapter")\n'
    hub.slow_commit = Gate()
    killed = hub.start(sys.executable, "-c", push)
    assert hub.slow_commit.arrived.wait(60)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    hub.slow_commit.opened.set()
    assert hub.slow_commit.passed.wait(60)
    hub.slow_commit = None
    hub.break_next("commit")
    broken = hub.run(push, check=False)
    assert broken.returncode != 0
    assert (
        "'me/adapter' was not pushed to, and is what it was before: the connection to the Hub failed" in broken.stderr
    )
    assert [commit.oid for commit in hub.commits("me/adapter")] == before
    assert load(hub)["ours"] == published["logits"]


@pytest.mark.slow
def test_the_arguments_of_the_base_reach_it(hub: Hub, published: dict[str, Any]) -> None:
    out = said(
        hub.run(
            PRELUDE
            + """
seen = {}
plain = AutoModelForImageClassification.from_pretrained.__func__
def watched(cls, name, *args, **kwargs):
    seen.update({"name": name} | {k: str(v) for k, v in kwargs.items() if k != "config"})
    kwargs.pop("quantization_config", None)
    return plain(cls, name, *args, **kwargs)
AutoModelForImageClassification.from_pretrained = classmethod(watched)
model = CanonicalizedModel.from_pretrained("me/adapter", dtype=torch.bfloat16, device_map="cpu",
    attn_implementation="eager", token="writer", quantization_config="some")
say(seen=seen, dtype=str(model.predictor.dtype), canonicalizer=str(next(model.canonicalizer.parameters()).dtype),
    attention=model.predictor.config._attn_implementation, device=str(model.predictor.device))
"""
        )
    )
    assert out["seen"] == {
        "name": "me/base",
        "revision": hub.commits("me/base")[0].oid,
        "token": "writer",
        "dtype": "torch.bfloat16",
        "device_map": "cpu",
        "attn_implementation": "eager",
        "quantization_config": "some",
    }
    assert (out["dtype"], out["canonicalizer"]) == ("torch.bfloat16", "torch.float32")
    assert (out["attention"], out["device"]) == ("eager", "cpu")


@pytest.mark.slow
def test_edited_cards_are_kept_and_untouched_ones_renewed(hub: Hub, published: dict[str, Any]) -> None:
    again = (
        PRELUDE
        + """
model = CanonicalizedModel.from_pretrained("me/adapter")
items = [{"pixel_values": x} for x in images(3)]
model.push_to_hub("me/adapter", report=evaluate_robustness(model, items, "c4"), **json.loads(sys.argv[1]))
"""
    )
    hub.run(again, "{}")
    renewed = hub.files("me/adapter")["README.md"].decode()
    assert "mean over c4" in renewed and "mean over d4" not in renewed
    edited = renewed.replace("## Use it", "## How we use it")
    hub.put("me/adapter", {"README.md": edited.encode()}, "In our own words")
    hub.run(again.replace('"c4"', '"d4"'), "{}")
    files = hub.files("me/adapter")
    assert files["README.md"].decode() == edited
    assert "d4" in json.loads(files["robustness.json"])["sets"]
    hub.run(again.replace('"c4"', '"d4"'), '{"overwrite_card": true}')
    assert "## Use it" in hub.files("me/adapter")["README.md"].decode()


@pytest.mark.slow
def test_what_was_there_is_not_taken_for_a_part_of_what_comes(hub: Hub, published: dict[str, Any]) -> None:
    """An old report stays with the old weights, files of others stay, and a checkpoint is never replaced."""
    hub.put("me/adapter", {**hub.files("me/adapter"), "model_ema.safetensors": b"mine"}, "Something of mine")
    code = PRELUDE + (
        "CanonicalizedModel.wrap('me/base', group='c8').push_to_hub('me/adapter')\n"
        "try:\n"
        "    CanonicalizedModel.wrap('me/base', group='c8').push_to_hub('me/base')\n"
        "except ValueError as error:\n"
        "    say(error=str(error))\n"
    )
    base = [commit.oid for commit in hub.commits("me/base")]
    assert "holds a vit checkpoint, which an adapter would replace" in said(hub.run(code))["error"]
    assert [commit.oid for commit in hub.commits("me/base")] == base
    files = hub.files("me/adapter")
    assert "robustness.json" not in files and "robustness.png" not in files
    assert files["model_ema.safetensors"] == b"mine"
    assert "It has not been evaluated" in files["README.md"].decode()


@pytest.mark.slow
def test_the_command_lines(hub: Hub, published: dict[str, Any], tmp_path: Path) -> None:
    home = tmp_path / "home"
    hub.command("hf", "download", "me/adapter", "--local-dir", tmp_path / "copy", home=home, token=None)
    assert (tmp_path / "copy" / "model.safetensors").read_bytes() == hub.files("me/adapter")["model.safetensors"]
    out = hub.command("hf-canon", "info", "me/adapter", token=None)
    assert "me/base, commit " + hub.commits("me/base")[0].oid in out
    assert "; 8 elements, 8 of them exact" in out and "accuracy, upright" in out

    out = hub.command("hf-canon", "push", tmp_path / "copy", "me/second", "--private")
    assert hub.repository("me/second").private
    oid = hub.commits("me/second")[0].oid
    assert oid in out
    assert "# me/second\n" in hub.files("me/second")["README.md"].decode()
    hub.command("hf-canon", "push", tmp_path / "copy", "me/second")
    assert hub.commits("me/second")[0].oid == oid  # nothing had changed
    same = hub.files("me/adapter")["model.safetensors"]
    assert hub.files("me/second")["model.safetensors"] == same

    hub.command("hf", "upload", "me/third", tmp_path / "copy", ".")
    assert load(hub, "me/third")["ours"] == load(hub, "me/second", token="reader")["ours"]


REFUSED: dict[str, tuple[str, str | None, str]] = {
    "a missing base": (
        'CanonicalizedModel.from_pretrained("me/orphan")',
        None,
        "The adapter 'me/orphan' belongs to the checkpoint 'me/gone', which cannot be read: the Hub has no such "
        "repository, or it is private and the token is missing or wrong. Bring it there, or pass the loaded",
    ),
    "a missing adapter": (
        'CanonicalizedModel.from_pretrained("me/nothing")',
        None,
        "No checkpoint could be read from 'me/nothing' as a Hub id or folder: the Hub has no such repository, or",
    ),
    "an adapter that is none": (
        'CanonicalizedModel.from_pretrained("me/base")',
        None,
        "me/base holds a vit checkpoint, not an hf_canon adapter. Use CanonicalizedModel.wrap",
    ),
    "a missing revision": (
        'CanonicalizedModel.from_pretrained("me/adapter", revision="v9")',
        None,
        "the repository has no such branch, tag or commit",
    ),
    "no right to write": (
        'CanonicalizedModel.wrap("me/base").push_to_hub("me/adapter")',
        "reader",
        "'me/adapter' was not pushed to, and is what it was before: your token has no right to write there",
    ),
    "nobody who pushes": (
        'CanonicalizedModel.wrap("me/base").push_to_hub("me/adapter")',
        None,
        "'me/adapter' was not pushed to, and is what it was before: the Hub does not know who you are",
    ),
    "a checkpoint that only this machine has": (
        "import tempfile; folder = tempfile.mkdtemp(); vit(3).save_pretrained(folder)\n"
        'CanonicalizedModel.wrap(folder).push_to_hub("me/adapter")',
        "writer",
        "of this machine that nobody else can load. Push the checkpoint too",
    ),
    "a name that is no name": (
        'CanonicalizedModel.wrap("me/base").push_to_hub("me//x y")',
        "writer",
        "'me//x y' was not pushed to, and is what it was before: ",
    ),
}


@pytest.mark.slow
def test_what_cannot_be_gives_a_sentence(hub: Hub, published: dict[str, Any]) -> None:
    """Each in the same process as the others: they leave nothing behind."""
    hub.put("me/private", hub.files("me/base"), "A private base")
    hub.repository("me/private").private = True
    hub.put("me/gated", hub.files("me/base"), "A gated base")
    hub.repository("me/gated").gated = True
    damaged = dict(hub.files("me/adapter"))
    damaged["model.safetensors"] = damaged["model.safetensors"][:1000]
    hub.put("me/damaged", damaged, "Half of it")
    orphan = dict(hub.files("me/adapter"))
    orphan["config.json"] = orphan["config.json"].replace(b'"me/base"', b'"me/gone"')
    hub.put("me/orphan", orphan, "Its base is gone")
    code = PRELUDE + (
        "import os, traceback\n"
        "for attempt in sys.argv[1:]:\n"
        "    try:\n"
        "        exec(attempt)\n"
        "        say(error='', kind='none')\n"
        "    except Exception as error:\n"
        "        say(error=str(error), kind=type(error).__name__)\n"
    )
    more = {
        "a private base": (
            'CanonicalizedModel.wrap("me/private")',
            None,
            "'me/private' as a Hub id or folder: the Hub has no such repository, or it is private and the token is",
        ),
        "a gated base": (
            'CanonicalizedModel.wrap("me/gated")',
            "stranger",
            "'me/gated' as a Hub id or folder: its owner grants access on request",
        ),
        "damaged weights": (
            'CanonicalizedModel.from_pretrained("me/damaged")',
            None,
            "are damaged",
        ),
    }
    ahead = [commit.oid for commit in hub.commits("me/adapter")]
    for token in (None, "reader", "writer", "stranger"):
        attempts = {name: one for name, one in {**more, **REFUSED}.items() if one[1] == token}
        out = hub.run(code, *[one[0] for one in attempts.values()], token=token)
        for name, line in zip(attempts, out.strip().splitlines()[-len(attempts) :], strict=True):
            found = json.loads(line)
            assert attempts[name][2] in found["error"], (name, found)
            assert found["kind"] in ("OSError", "ValueError"), (name, found)
            assert "\n" not in found["error"], (name, found)
    assert [commit.oid for commit in hub.commits("me/adapter")] == ahead


@pytest.mark.slow
def test_a_broken_download_and_no_network(hub: Hub, published: dict[str, Any], tmp_path: Path) -> None:
    """What was not fetched yet gives a sentence; what was fetched is there without the network."""
    attempt = PRELUDE + (
        "try:\n"
        '    say(logits=logits(CanonicalizedModel.from_pretrained("me/adapter")))\n'
        "except OSError as error:\n"
        "    say(error=str(error))\n"
    )
    offline = "import os; os.environ['HF_HUB_OFFLINE'] = '1'\n" + attempt
    home = tmp_path / "home"
    assert (
        "it is not in the cache, and the Hub is out of reach or HF_HUB_OFFLINE is set"
        in said(hub.run(offline, home=home))["error"]
    )
    assert said(hub.run(attempt, home=home))["logits"] == published["logits"]
    assert said(hub.run(offline, home=home))["logits"] == published["logits"]
    hub.stop() if hasattr(hub, "stop") else hub.__exit__(None, None, None)
    assert said(hub.run(attempt, home=home))["logits"] == published["logits"]
    assert "'me/adapter' as a Hub id or folder" in said(hub.run(attempt))["error"]
