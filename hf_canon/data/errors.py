"""What is wrong with the images of a data set, in a sentence that names them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".") + "."


def broken_because(error: BaseException) -> str:
    """Why PIL refused an image, without the name or the memory address in its message."""
    if isinstance(error, FileNotFoundError):
        return "there is no such file."
    if type(error).__name__ == "UnidentifiedImageError":
        return "it is no image, or is damaged."
    return first_line(error)


@contextmanager
def readable(what: str) -> Iterator[None]:
    """Raise ValueError, with the reason, in place of what PIL raises while `what` is read."""
    from PIL.Image import DecompressionBombError

    try:
        yield
    except (OSError, SyntaxError, DecompressionBombError) as error:
        raise ValueError(f"{what} cannot be read: {broken_because(error)}") from error


@contextmanager
def naming_broken_images(dataset: Any) -> Iterator[None]:
    """Turn the failure of an image deep inside a data loader into a sentence that names the image."""
    try:
        yield
    except (OSError, SyntaxError):  # what PIL raises
        require_readable(dataset)
        raise


def require_readable(dataset: Any) -> None:
    """Raise ValueError about the first image in the column `image` that cannot be decoded."""
    import datasets

    from .images import open_image

    for index, row in enumerate(dataset.cast_column("image", datasets.Image(decode=False))):
        name = repr(row["image"]["path"]) if row["image"]["path"] else f"number {index}"
        with readable(f"The image {name} of the data set"):
            open_image(row["image"])


def check_fit(model: Any, processor: Any, dataset: Any) -> None:
    """Raise ValueError, before any long work, if a model's group does not fit what the processor makes of the first
    image in the column `image`."""
    from .images import process

    model.group.check_shape(process([dataset[0]["image"]], processor, model.predictor.config).shape)
