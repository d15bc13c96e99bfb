"""What a demo offers, as its operator says, as a Space says of itself, or as the quickstart leaves it."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

OFFER_FILE = "demo.json"
QUICKSTART = "build/quickstart/adapter"
AUDIO_ADAPTER = "build/demo/audio-adapter"
DIGITS = "build/assets/digits"
CLIPS = "build/demo/clips"


@dataclass(frozen=True)
class Offered:
    """What a demo offers to its visitors.

    Args:
        checkpoints: Hub ids or folders, of adapters or of checkpoints without one.
        images: where example images come from, as `--data` of the command line.
        clips: a folder of example clips, perhaps with a folder for each class.
        public: whether strangers visit. Of the folders on this machine, they may open those of `checkpoints` alone.
        group: what happens to the inputs of a checkpoint without adapter; a default for each task if empty.

    Example:
        >>> Offered(("google/vit-base-patch16-224",)).public
        True
    """

    checkpoints: tuple[str, ...]
    images: str | None = None
    clips: str | None = None
    public: bool = True
    group: str = ""

    @classmethod
    def in_folder(cls, folder: Path) -> "Offered":
        """What the Space in a folder offers: what its `demo.json` says; or else what the quickstart left under the
        working directory, or `DEFAULT`.

        Args:
            folder: holds the `app.py`. Names of folders in it become paths to them.

        Raises:
            ValueError: the `demo.json` is damaged.
        """
        file = folder / OFFER_FILE
        if not file.is_file():
            return replace(cls.quickstart(), public=True) if Path(QUICKSTART).is_dir() else DEFAULT

        def found(name: str | None) -> str | None:
            return str(folder / name) if name is not None and (folder / name).is_dir() else name

        try:
            said = json.loads(file.read_text(encoding="utf-8"))
            if isinstance(said["checkpoints"], str):
                raise TypeError("checkpoints is no list")
            places = {key: found(said.get(key)) for key in ("images", "clips")}
            return cls(**{**said, **places, "checkpoints": tuple(map(found, said["checkpoints"]))})
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{str(file)!r} does not say what the demo offers ({error}). Write it like "
                f'{{"checkpoints": ["{DEFAULT.checkpoints[0]}"]}}, or let `hf-canon demo --push` write it.'
            ) from error

    @classmethod
    def quickstart(cls) -> "Offered":
        """What `make quickstart` and `make demo` left under the working directory.

        Raises:
            ValueError: there is nothing of it.
        """
        if not Path(QUICKSTART).is_dir():
            raise ValueError(
                "Name an adapter: hf-canon demo ADAPTER; or run `make quickstart` first, in a clone of hf_canon: it "
                f"leaves one in {QUICKSTART}."
            )
        checkpoints = tuple(name for name in (QUICKSTART, AUDIO_ADAPTER) if Path(name).is_dir())
        images, clips = (name if Path(name).is_dir() else None for name in (DIGITS, CLIPS))
        return cls(checkpoints, images, clips, public=False)


DEFAULT = Offered(("google/vit-base-patch16-224",))
"""For a Space of which nothing else is known."""
