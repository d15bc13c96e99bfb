"""The folder of a Space: the page, what it offers, and the code that does the work.

It holds the source of this package, and so needs no release of it and runs what was tested here. There is no
packages.txt: what soundfile needs comes in its wheel.
"""

import json
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import requires
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from huggingface_hub import HfApi, SpaceCardData
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from packaging.requirements import Requirement
from packaging.version import Version
from PIL import Image

from ...data.errors import readable
from ...hub.folder import is_repository
from ...hub.push import FILES, read_config, require_base_on_hub
from ...predictors.hub_files import UNREADABLE
from ..examples import Example, Examples
from ..offered import DEFAULT, OFFER_FILE, Offered

HERE = Path(__file__).parent
PACKAGE = Path(__file__).parents[2]
APP_FILE, CARD_FILE, REQUIREMENTS_FILE = "app.py", "README.md", "requirements.txt"
ADAPTERS, EXAMPLES = "adapters", "examples"
OWN_FOLDERS = (PACKAGE.name, ADAPTERS, EXAMPLES)
"""What belongs to one state of a Space, beside `OFFER_FILE`: of an earlier state, nothing may stay."""
MARK = (HERE / APP_FILE).read_text(encoding="utf-8").partition("\n")[0]
"""By which an app of ours is known, so that nobody else's is overwritten."""

MOST_IMAGES = 24
SIDE = 512
"""Pixels of the longer side of an example: more than most checkpoints look at."""
MOST_CLIPS = 12
AUDIO_BYTES = 5_000_000
"""Of all examples together."""


def write_space(folder: str | os.PathLike[str], offered: Offered, *, package: bool = True) -> None:
    """Write the folder of a Space, which anybody can run and push.

    Args:
        folder: made if it does not exist; an earlier Space in it is replaced, and what else is beside that stays.
        offered: adapters in folders are copied, and some of the examples. Strangers visit in any case.
        package: whether the source of hf_canon goes along. `spaces_app/` in its repository does without.

    Raises:
        ValueError: the folder holds something else; or something that is offered is not there, is no adapter, or
            belongs to a checkpoint that is a folder of this machine.
        OSError: something cannot be read or written.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from hf_canon.demo import Offered
        >>> from hf_canon.demo.space import write_space
        >>> with TemporaryDirectory() as folder:
        ...     write_space(folder, Offered(("google/vit-base-patch16-224",)))
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['README.md', 'app.py', 'hf_canon', 'requirements.txt']
    """
    folder = Path(folder)
    require_ours(folder)
    with TemporaryDirectory() as staging:
        space = Path(staging) / "space"  # that others may read
        space.mkdir()
        fill(space, offered)
        if package:
            shutil.copytree(PACKAGE, space / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
        for name in OWN_FOLDERS:
            shutil.rmtree(folder / name, ignore_errors=True)
        (folder / OFFER_FILE).unlink(missing_ok=True)
        shutil.copytree(space, folder, dirs_exist_ok=True)


def require_ours(folder: Path) -> None:
    """Raise ValueError if something else is in a folder, which a Space would overwrite or mix with."""
    if folder.is_dir() and not any(folder.iterdir()):
        return
    app = folder / APP_FILE
    if folder.exists() and not (app.is_file() and is_ours(app.read_text(encoding="utf-8", errors="replace"))):
        raise ValueError(f"{os.fspath(folder)!r} is there already and is no Space of hf_canon. Name another folder.")


def is_ours(app: str) -> bool:
    """Whether the text of an app begins as ours does."""
    return app.startswith(MARK)


def fill(folder: Path, offered: Offered) -> None:
    """Write everything but the package into an empty folder."""
    shown = [bring(name, folder) for name in offered.checkpoints]
    images = clips = None
    if offered.images is not None:
        images = f"{EXAMPLES}/images"
        write_images(Examples(offered).images(MOST_IMAGES), folder / images, offered.images)
    if offered.clips is not None:
        clips = f"{EXAMPLES}/clips"
        write_clips(Examples(offered).clips(), folder / clips, Path(offered.clips))
    there = Offered(tuple(one.name for one in shown), images, clips, group=offered.group)
    if there != DEFAULT:
        said = {"checkpoints": there.checkpoints, "images": images, "clips": clips, "group": there.group}
        text = json.dumps({name: value for name, value in said.items() if value}, indent=2, ensure_ascii=False)
        (folder / OFFER_FILE).write_text(text + "\n", encoding="utf-8")
    shutil.copyfile(HERE / APP_FILE, folder / APP_FILE)
    needed, gradio = requirements()
    (folder / REQUIREMENTS_FILE).write_text("".join(f"{one}\n" for one in needed), encoding="utf-8")
    (folder / CARD_FILE).write_text(render_card(folder, shown, gradio), encoding="utf-8")


@dataclass(frozen=True)
class Shown:
    """A checkpoint as a Space has it.

    Args:
        name: a Hub id, or a folder in the Space.
        base: the Hub id of the checkpoint that an adapter belongs to; None where that is not known.
    """

    name: str
    base: str | None

    @property
    def repositories(self) -> list[str]:
        """On the Hub."""
        own = [] if self.name.startswith(f"{ADAPTERS}/") else [self.name]
        return own if self.base is None else [*own, self.base]

    @property
    def line(self) -> str:
        """In Markdown."""
        name = f"`{self.name}`" if self.name.startswith(f"{ADAPTERS}/") else linked(self.name)
        return name if self.base is None else f"{name}, a canonicalizer for {linked(self.base)}"


def linked(repository: str) -> str:
    return f"[{repository}](https://huggingface.co/{repository})"


def bring(name: str, folder: Path) -> Shown:
    """Copy what belongs to an adapter into the Space, unless it is on the Hub.

    Args:
        name: a Hub id, or the folder of an adapter.
        folder: of the Space.

    Raises:
        ValueError: there is no such thing, or nobody else could load it.
    """
    source = Path(name)
    if not source.is_dir():
        if not is_repository(name):
            raise ValueError(
                f"There is no folder {name!r}, and ids on the Hub look like owner/name. Give one of them."
            )
        return Shown(name, base_on_hub(name))
    config = read_config(source)
    require_base_on_hub(config, "save_pretrained(...); or save the adapter with full=True.")
    base = str(config.base_name_or_path)
    place = free_name(folder / ADAPTERS, source.resolve().name)
    for path in (path for pattern in FILES for path in source.glob(pattern)):
        target = folder / place / path.relative_to(source)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    return Shown(place, base if is_repository(base) and config.base_name_or_path is not None else None)


def free_name(folder: Path, wanted: str) -> str:
    """A folder in the Space that does not exist yet, by the name of the one that is copied."""
    name = re.sub(r"[^\w.-]+", "-", wanted).strip("-.") or "adapter"
    numbered = (name if number == 1 else f"{name}-{number}" for number in range(1, 1000))
    return next(f"{folder.name}/{one}" for one in numbered if not (folder / one).exists())


def base_on_hub(name: str) -> str | None:
    """The checkpoint that an adapter on the Hub belongs to, if this is one, and its card can be read and says so."""
    try:
        info = HfApi().model_info(name)
    except UNREADABLE:
        return None
    base = info.card_data.get("base_model") if info.library_name == PACKAGE.name and info.card_data else None
    return base if isinstance(base, str) else None


def write_images(images: Iterable[Example], folder: Path, origin: str) -> None:
    """Write each image into a folder for its class, without what a camera wrote beside the pixels.

    Args:
        images: to write.
        folder: for them.
        origin: where they come from.

    Raises:
        ValueError: one of them cannot be read.
    """
    with readable(f"An example image of {origin!r}"):
        for number, example in enumerate(images, 1):
            image = plain(example.content)
            image.thumbnail((SIDE, SIDE))
            target = folder / as_folder(example.label) / f"{number}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            image.save(target)


def plain(image: Any) -> Image.Image:
    """A copy of the pixels alone."""
    mode = "RGBA" if "A" in image.mode or "transparency" in image.info else "RGB"
    copy: Image.Image = image.copy() if image.mode in ("L", "I;16") else image.convert(mode)
    copy.info = {}
    return copy


def as_folder(label: str | None) -> str:
    """The name of the folder for a class; of clips and images without a class, the folder above."""
    return "" if label is None else re.sub(r"[/\\\0]", "-", label).lstrip(".") or "-"


def write_clips(clips: Iterable[Example], folder: Path, origin: Path) -> None:
    """Copy the first few clips that are short enough to where they were among the others.

    Args:
        clips: to choose from.
        folder: for them.
        origin: where they come from.

    Raises:
        ValueError: each is too large.
    """
    copied, size = 0, 0
    for path in (Path(str(example.content)) for example in clips):
        if copied == MOST_CLIPS or size + path.stat().st_size > AUDIO_BYTES:
            continue
        target = folder / path.relative_to(origin)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        copied, size = copied + 1, size + path.stat().st_size
    if not copied:
        raise ValueError(
            f"Each clip in {str(origin)!r} takes more than {AUDIO_BYTES / 1e6:g} MB. Cut out what matters, or save "
            "it as mp3."
        )


def requirements() -> tuple[list[str], str]:
    """What a Space installs: the packages, and the version of gradio, which it installs by itself.

    That is the oldest one which this package allows: what is written does not depend on what is installed here.
    """
    read = [Requirement(line) for line in requires(PACKAGE.name) or []]
    needed = {one.name: one for one in read if one.marker is None or one.marker.evaluate({"extra": "demo"})}
    oldest = next(Version(one.version) for one in needed.pop("gradio").specifier if one.operator == ">=")
    for one in needed.values():
        one.marker = None
    return [str(one) for one in needed.values()], f"{oldest.major}.{oldest.minor}.{oldest.micro}"


def render_card(folder: Path, shown: list[Shown], gradio: str) -> str:
    """The README.md, whose front matter says how the Hub runs the Space.

    Args:
        folder: of the Space, with everything else in it.
        shown: its checkpoints.
        gradio: its version.
    """
    settings = SpaceCardData(
        title="hf_canon",
        emoji="🔄",
        colorFrom="blue",
        colorTo="indigo",
        sdk="gradio",
        sdk_version=gradio,
        python_version="3.11",
        app_file=APP_FILE,
        license="apache-2.0",
        short_description="Checkpoints fail on turned input; canonicalized, they hold",
        suggested_hardware="cpu-basic",
        models=list(dict.fromkeys(name for one in shown for name in one.repositories)) or None,
        tags=["hf_canon", "canonicalization", "equivariance", "robustness"],
    )
    environment = Environment(
        loader=FileSystemLoader(HERE),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=StrictUndefined,
    )
    there = {name: name if (folder / name).exists() else None for name in (OFFER_FILE, ADAPTERS, EXAMPLES)}
    body = environment.get_template("README.md.jinja").render(
        checkpoints=[one.line for one in shown],
        offer_file=there[OFFER_FILE],
        adapters=there[ADAPTERS],
        examples=there[EXAMPLES],
        gradio=gradio,
    )
    return f"---\n{settings.to_yaml()}\n---\n{body}"
