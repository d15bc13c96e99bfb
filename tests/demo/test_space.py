"""A Space in a folder: complete, small, the same as in the repository, and refused where it could not run."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from huggingface_hub import SpaceCard
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image
from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

import hf_canon
from hf_canon import CanonicalizedModel
from hf_canon.demo import Offered
from hf_canon.demo.offered import DEFAULT
from hf_canon.demo.space import write_space
from hf_canon.demo.space.writing import free_name, requirements

ROOT = Path(__file__).parents[2]
RENEW = (
    '.venv/bin/python -c "from hf_canon.demo.offered import DEFAULT; from hf_canon.demo.space import write_space; '
    "write_space('spaces_app', DEFAULT, package=False)\""
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    names = ("cat", "dog")
    config = ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=32,
        patch_size=8,
        id2label=dict(enumerate(names)),
        label2id={name: number for number, name in enumerate(names)},
    )
    ViTForImageClassification(config).save_pretrained(tmp_path / "checkpoint")
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint"


def adapter(checkpoint: Path, name: str = "d4", base: str | None = "me/base", full: bool = False) -> Path:
    """An adapter as a training leaves it, for a checkpoint that is on the Hub if `base` says so."""
    folder = checkpoint.parent / name
    CanonicalizedModel.wrap(checkpoint, group="d4").save_pretrained(folder, full=full)
    if base is not None:
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "base_name_or_path": base}))
    (folder / "training_args.bin").write_bytes(b"a pickle")
    (folder / "checkpoint-10").mkdir()
    (folder / "checkpoint-10" / "model.safetensors").write_bytes(b"earlier weights")
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def card(folder: Path) -> SpaceCard:
    return SpaceCard((folder / "README.md").read_text(encoding="utf-8"))


def test_the_repository_holds_the_default_space(tmp_path: Path) -> None:
    write_space(tmp_path / "space", DEFAULT, package=False)
    there = {name: content for name, content in contents(ROOT / "spaces_app").items() if "__pycache__" not in name}
    assert there == contents(tmp_path / "space"), f"spaces_app/ is not what write_space gives. Renew it:\n{RENEW}"


def test_the_source_goes_along(tmp_path: Path) -> None:
    """All of it that runs, and nothing that was compiled here."""
    write_space(tmp_path / "space", DEFAULT)
    package = Path(hf_canon.__file__).parent
    kept = {name for name in contents(package) if "__pycache__" not in name}
    assert set(contents(tmp_path / "space" / "hf_canon")) == kept
    assert {"py.typed", "hub/card.md.jinja", "demo/space/app.py", "demo/space/README.md.jinja"} <= kept
    here = subprocess.run(
        [sys.executable, "-c", "import hf_canon; print(hf_canon.__file__)"],
        cwd=tmp_path / "space",
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(here.stdout.strip()).is_relative_to(tmp_path / "space")


def test_the_front_matter_is_what_the_hub_runs(tmp_path: Path) -> None:
    write_space(tmp_path / "space", DEFAULT)
    said = card(tmp_path / "space").data.to_dict()
    assert (said["sdk"], said["app_file"], said["license"]) == ("gradio", "app.py", "apache-2.0")
    assert said["python_version"] == "3.11"
    assert said["suggested_hardware"] == "cpu-basic"
    assert said["models"] == ["google/vit-base-patch16-224"]
    assert "hf_canon" in said["tags"]
    assert len(said["short_description"]) <= 60
    colors = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}
    assert {said["colorFrom"], said["colorTo"]} <= colors
    assert (tmp_path / "space" / said["app_file"]).is_file()
    # The Hub installs exactly this one, and it is the oldest that we allow: what is tested here is no older.
    assert said["sdk_version"].count(".") == 2
    import gradio

    assert Version(said["sdk_version"]) <= Version(gradio.__version__)


def test_the_requirements_are_those_of_the_package(tmp_path: Path) -> None:
    write_space(tmp_path / "space", DEFAULT)
    lines = (tmp_path / "space" / "requirements.txt").read_text().splitlines()
    needed = {one.name: one for one in map(Requirement, lines)}
    assert {"torch", "transformers", "huggingface-hub", "soundfile"} <= set(needed)
    assert not {"gradio", "hf_canon", "mcp", "pytest", "scipy", "timm"} & set(needed)
    assert not any(one.marker for one in needed.values())
    assert "5.23.1" in needed["transformers"].specifier and "5.24" not in needed["transformers"].specifier
    assert requirements()[0] == lines


def test_adapters_and_examples_are_copied_and_found_again(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = adapter(checkpoint), adapter(checkpoint, "other/d4", base="me/second")
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (700, 350), (number, 0, 9)).save(tmp_path / "photos" / name / f"{number}.jpg")
    for name in ("yes", "no"):
        (tmp_path / "words" / name).mkdir(parents=True)
        for number in range(8):
            soundfile.write(tmp_path / "words" / name / f"{number}.wav", np.zeros(800), 16000)
    space = tmp_path / "space"
    offered = Offered(
        (str(first), "me/on-the-hub", str(second)), str(tmp_path / "photos"), str(tmp_path / "words"), public=False
    )
    write_space(space, offered)

    files = contents(space)
    parts = {"README.md", "config.json", "model.safetensors", "preprocessor_config.json"}
    for name in ("adapters/d4", "adapters/d4-2"):
        assert {path.removeprefix(f"{name}/") for path in files if path.startswith(f"{name}/")} == parts
    assert files["adapters/d4/model.safetensors"] == (first / "model.safetensors").read_bytes()
    assert card(space).data.models == ["me/base", "me/on-the-hub", "me/second"]
    assert not any(str(tmp_path).encode() in content for name, content in files.items() if "README" in name)

    images = list((space / "examples" / "images").rglob("*.png"))
    assert len(images) == 24
    assert [sum(path.parent.name == name for path in images) for name in ("cat", "dog")] == [12, 12]
    with Image.open(images[0]) as image:
        assert image.size == (512, 256)
    clips = list((space / "examples" / "clips").rglob("*.wav"))
    assert [sum(path.parent.name == name for path in clips) for name in ("yes", "no")] == [6, 6]

    # What the Space reads of itself, wherever it is.
    assert json.loads(files["demo.json"])["checkpoints"] == ["adapters/d4", "me/on-the-hub", "adapters/d4-2"]
    transformed = space.rename(tmp_path / "transformed")
    found = Offered.in_folder(transformed)
    assert found == Offered(
        (f"{transformed}/adapters/d4", "me/on-the-hub", f"{transformed}/adapters/d4-2"),
        f"{transformed}/examples/images",
        f"{transformed}/examples/clips",
    )

    # A later Space in the same folder leaves nothing of this one, and what is somebody's own.
    (transformed / "notes.txt").write_text("mine")
    write_space(transformed, DEFAULT)
    write_space(tmp_path / "fresh", DEFAULT)
    assert contents(transformed) == {**contents(tmp_path / "fresh"), "notes.txt": b"mine"}
    monkeypatch.chdir(tmp_path)
    assert Offered.in_folder(transformed) == DEFAULT


def test_images_lose_what_is_not_seen(checkpoint: Path, tmp_path: Path) -> None:
    """Where a photograph was taken is nobody's business; that it was taken sideways is."""
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = "at my house", 6
    Image.new("RGB", (40, 20)).save(tmp_path / "photos" / "sideways.jpg", exif=exif)
    Image.new("RGBA", (10, 10)).save(tmp_path / "photos" / "through.png")
    Image.new("I;16", (10, 12)).save(tmp_path / "photos" / "x-ray.png")
    Image.new("CMYK", (10, 14)).save(tmp_path / "photos" / "printed.jpg")
    write_space(tmp_path / "space", Offered(("me/vit",), str(tmp_path / "photos")))
    found = {}
    for path in (tmp_path / "space" / "examples" / "images").glob("*.png"):
        with Image.open(path) as image:
            found[image.size] = image.mode
        assert b"house" not in path.read_bytes()
    assert found == {(20, 40): "RGB", (10, 10): "RGBA", (10, 12): "I;16", (10, 14): "RGB"}


def test_large_clips_stay_behind(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    folder.mkdir()
    for name, seconds in (("a", 100), ("b", 200), ("c", 50), ("d", 1)):
        soundfile.write(folder / f"{name}.wav", np.zeros(16000 * seconds), 16000)
    write_space(tmp_path / "space", Offered(("me/hubert",), clips=str(folder)))
    assert {path.name for path in (tmp_path / "space" / "examples" / "clips").iterdir()} == {
        "a.wav",
        "c.wav",
        "d.wav",
    }
    for name in ("a", "c", "d"):
        (folder / f"{name}.wav").unlink()
    with pytest.raises(ValueError, match=r"Each clip in '.*recordings' takes more than 5 MB. Cut out"):
        write_space(tmp_path / "other", Offered(("me/hubert",), clips=str(folder)))
    assert not (tmp_path / "other").exists()


def test_what_nobody_else_could_load_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    space = tmp_path / "space"
    local = adapter(checkpoint, "local", base=None)
    for name, sentence in {
        str(local): "The adapter belongs to the checkpoint '.*checkpoint', a folder of this machine that "
        "nobody else can load. Push the checkpoint too",
        str(checkpoint): "holds a vit checkpoint and no adapter of hf_canon",
        str(tmp_path): "holds no config.json, and so no adapter",
        str(tmp_path / "nothing"): "There is no folder '.*nothing', and ids on the Hub look like owner/name",
    }.items():
        with pytest.raises(ValueError, match=sentence):
            write_space(space, Offered(("me/vit", name)))
        assert not space.exists()
    whole = adapter(checkpoint, "whole", base=None, full=True)
    write_space(space, Offered((str(whole),)))
    assert card(space).data.models is None
    assert str(checkpoint) not in (space / "README.md").read_text()
    with pytest.raises(ValueError, match="There is no audio in the folder"):
        write_space(tmp_path / "other", Offered(("me/vit",), clips=str(tmp_path / "nothing")))
    with pytest.raises(ValueError, match="There is no folder or file"):
        write_space(tmp_path / "other", Offered(("me/vit",), images=str(tmp_path / "nothing")))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(ValueError, match=r"An example image of '.*photos' cannot be read: "):
        write_space(tmp_path / "other", Offered(("me/vit",), images=str(tmp_path / "photos")))


@pytest.mark.parametrize("there", ["hf_canon/mine.py", "README.md", "app.py"])
def test_nothing_of_others_is_overwritten(tmp_path: Path, there: str) -> None:
    file = tmp_path / "project" / there
    file.parent.mkdir(parents=True)
    file.write_text('"""Mine."""\n')
    with pytest.raises(ValueError, match="is there already and is no Space of hf_canon. Name another folder"):
        write_space(tmp_path / "project", DEFAULT)
    assert contents(tmp_path / "project") == {there: b'"""Mine."""\n'}


def test_names_of_folders(tmp_path: Path) -> None:
    (tmp_path / "adapters" / "my-d4").mkdir(parents=True)
    names = [free_name(tmp_path / "adapters", wanted) for wanted in ("my d4", ".hidden", "...", "checkpoint-20")]
    assert names == ["adapters/my-d4-2", "adapters/hidden", "adapters/adapter", "adapters/checkpoint-20"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"checkpoints": "me/vit"}', '{"checkpoints": [], "colour": 1}'])
def test_a_damaged_offer_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "demo.json").write_text(text)
    with pytest.raises(ValueError, match=r"demo.json' does not say what the demo offers \(.*\). Write it like"):
        Offered.in_folder(tmp_path)


def test_what_the_quickstart_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="Name an adapter: hf-canon demo ADAPTER; or run `make quickstart` first"):
        Offered.quickstart()
    Path("build/quickstart/adapter").mkdir(parents=True)
    assert Offered.quickstart() == Offered(("build/quickstart/adapter",), public=False)
    # A Space that says nothing else shows it too: `python spaces_app/app.py` in a clone.
    assert Offered.in_folder(tmp_path) == Offered(("build/quickstart/adapter",), public=True)
    for name in ("build/demo/audio-adapter", "build/assets/digits", "build/demo/clips"):
        Path(name).mkdir(parents=True)
    assert Offered.quickstart() == Offered(
        ("build/quickstart/adapter", "build/demo/audio-adapter"),
        "build/assets/digits",
        "build/demo/clips",
        public=False,
    )
