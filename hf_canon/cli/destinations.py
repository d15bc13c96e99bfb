"""Where a command writes to, checked before the long work whose result goes there."""

import os
from pathlib import Path


def require_writable_folder(name: str) -> Path:
    """The folder, made if need be.

    Raises:
        ValueError: it is a file, or nothing can be written there.
    """
    path = Path(name)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"The folder {name!r} cannot be made: {error.strerror}.") from error
    if not os.access(path, os.W_OK):
        raise ValueError(f"Nothing can be written in the folder {name!r}.")
    return path


def require_writable_file(name: str, suffixes: tuple[str, ...]) -> Path:
    """The file's path, checked before the work whose result goes there.

    Raises:
        ValueError: its format is unknown, its folder is missing, or it cannot be written.
    """
    path = Path(name)
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"The name {name!r} has to end in {' or '.join(suffixes)}.")
    if not path.parent.is_dir():
        raise ValueError(f"{name!r} cannot be written: there is no folder {str(path.parent)!r}.")
    if path.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise ValueError(f"{name!r} cannot be written: it is a folder, or is write-protected.")
    return path
