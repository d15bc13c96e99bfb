"""The images that a command is given: what is wrong with them, and image files."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data.named import IMAGE_SUFFIXES

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

    from ..modeling_canonicalized import CanonicalizedModel


def check_fit(model: "CanonicalizedModel", processor: Any, images: "Dataset") -> None:
    """Raise ValueError, before any long work, if the group does not fit what the processor makes of an image."""
    model.group.check_shape(processor(images[0]["image"], return_tensors="pt")["pixel_values"].shape)


@contextmanager
def naming_broken_images(dataset: "Dataset") -> Iterator[None]:
    """Turn the failure of an image deep inside a data loader into a sentence that names the image."""
    try:
        yield
    except (OSError, SyntaxError) as error:  # what PIL raises
        broken = find_broken_image(dataset)
        if broken is None:
            raise
        raise ValueError(broken) from error


def find_broken_image(dataset: "Dataset") -> str | None:
    """A sentence about the first image that cannot be decoded."""
    import datasets
    from PIL import Image

    from ..data.images import broken_because

    for index, row in enumerate(dataset.cast_column("image", datasets.Image(decode=False))):
        source = row["image"]
        try:
            encoded = Path(source["path"]).read_bytes() if source["bytes"] is None else source["bytes"]
            with Image.open(BytesIO(encoded)) as image:
                image.load()
        except (OSError, SyntaxError) as error:
            name = repr(source["path"]) if source["path"] else f"number {index}"
            return f"The image {name} of the data set cannot be read: {broken_because(error)}"
    return None


def find_images(names: list[str]) -> list[Path]:
    """The image files that are named, and those in the folders that are named.

    Raises:
        ValueError: there is no such file or folder, or no image in a folder.
    """
    found = []
    for name in names:
        path = Path(name)
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
            if not inside:
                raise ValueError(f"There is no image in the folder {name!r}.")
            found += inside
        elif path.is_file():
            found.append(path)
        else:
            raise ValueError(f"There is no image file or folder {name!r}.")
    return found


def open_image(path: Path, mode: str) -> "Image":
    """An image as a viewer shows it, turned as its EXIF tag says.

    Raises:
        ValueError: the file is not an image, or is damaged.
    """
    from PIL import Image, ImageOps

    from ..data.images import broken_because

    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image).convert(mode)
    except (OSError, SyntaxError) as error:
        raise ValueError(f"The image {str(path)!r} cannot be read: {broken_because(error)}") from error
