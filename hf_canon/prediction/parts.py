"""The folder that answers are written to: whole parts, and a manifest that says what they belong to."""

import json
import os
import re
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import datasets
import pyarrow as pa
import pyarrow.parquet as pq

MANIFEST = "manifest.json"
PART = re.compile(r"part-(\d{6,})\.parquet")
METADATA = b"hf_canon"
"""Under which a part says how many of its rows are errors, and where the stream stood at its end."""


class Part(NamedTuple):
    """What a whole part says of itself; `state` belongs to the version of datasets that made it."""

    rows: int
    errors: int
    state: dict[str, Any] | None


class Progress(NamedTuple):
    """How far it is.

    Args:
        parts: the whole ones.
        rows: in them.
        errors: in them.
        unbroken: how many parts there are before the first that is missing.
        state: where the stream stood after those, if it is known.
        end: how many parts there will be, if a part that is not full tells.
        finished: whether nothing is missing.
    """

    parts: frozenset[int]
    rows: int
    errors: int
    unbroken: int
    state: dict[str, Any] | None
    end: int | None
    finished: bool


class AnswerFolder:
    """A folder of answers.

    Args:
        folder: where.
        rows_per_part: the rows of every part but the last.
        total: the rows of the data set, if it knows.
    """

    def __init__(self, folder: Path, rows_per_part: int, total: int | None):
        self.folder, self.rows_per_part, self.total = folder, rows_per_part, total
        self.manifest = folder / MANIFEST

    def open(self, belongs_to: dict[str, Any], **told: Any) -> Progress:
        """Begin, or read how far earlier runs came.

        Args:
            belongs_to: what has to be the same for all that write here.
            told: what the manifest says besides.

        Raises:
            ValueError: the folder holds something else.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{str(self.folder)!r} is a file, and answers are written to a folder; name another.")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self.manifest.exists():
            if any(path != partial(self.manifest) for path in self.folder.iterdir()):
                raise ValueError(
                    f"The folder {str(self.folder)!r} holds something else than answers; name a new or an empty one."
                )
            self._write_manifest({**told, "belongs_to": belongs_to, "finished": None})
            return self.progress()
        begun = self._read_manifest()["belongs_to"]
        for name in belongs_to | begun:
            if begun.get(name) != belongs_to.get(name):
                raise ValueError(
                    f"The answers in {str(self.folder)!r} were begun with {name} {begun.get(name)!r}, and this run "
                    f"has {belongs_to.get(name)!r}; go on with what they were begun with, or name a new folder."
                )
        return self.progress()

    def progress(self) -> Progress:
        parts = self.parts()
        rows = sum(part.rows for part in parts.values())
        unbroken = next(part for part in count() if part not in parts)
        short = [number for number, part in parts.items() if part.rows < self.rows_per_part]
        finished = self._read_manifest()["finished"]
        return Progress(
            parts=frozenset(parts),
            rows=rows,
            errors=sum(part.errors for part in parts.values()),
            unbroken=unbroken,
            state=parts[unbroken - 1].state if unbroken else None,
            end=max(short) + 1 if short else None,
            finished=finished is not None and finished["rows"] == rows,  # or else somebody took parts away
        )

    def parts(self) -> dict[int, Part]:
        """The whole parts. A file that cannot be read counts as missing, and is written again."""
        found = {}
        for number, path in self._files():
            try:
                metadata = pq.read_metadata(path)
                told = json.loads(metadata.metadata[METADATA])
            except (pa.ArrowInvalid, KeyError, TypeError):
                continue
            state = told["state"] if told["datasets"] == datasets.__version__ else None
            found[number] = Part(metadata.num_rows, told["errors"], state)
        return found

    def rows_in_sight(self) -> int:
        """About how many rows there are, without opening a file."""
        rows = self.rows_per_part * sum(1 for _ in self._files())
        return rows if self.total is None else min(rows, self.total)

    def write(
        self, part: int, rows: list[dict[str, Any]], features: datasets.Features, state: dict[str, Any] | None
    ) -> None:
        errors = sum(row["error"] is not None for row in rows)
        told = json.dumps({"errors": errors, "state": state, "datasets": datasets.__version__})
        schema = features.arrow_schema
        table = pa.Table.from_pylist(rows, schema.with_metadata({**schema.metadata, METADATA: told.encode()}))
        write_whole(self.folder / f"part-{part:06}.parquet", lambda file: pq.write_table(table, file))

    def finish(self) -> Progress:
        """Say in the manifest that every part is there.

        Raises:
            ValueError: one is not.
        """
        progress = self.progress()
        if len(progress.parts) != progress.unbroken or self.total not in (None, progress.rows):
            raise ValueError(f"Parts have vanished from {str(self.folder)!r} in the meantime; run the same again.")
        finished = {"rows": progress.rows, "errors": progress.errors, "parts": len(progress.parts)}
        self._write_manifest({**self._read_manifest(), "finished": finished})
        return progress._replace(finished=True)

    def _files(self) -> Iterator[tuple[int, Path]]:
        for path in self.folder.iterdir():
            if match := PART.fullmatch(path.name):
                yield int(match[1]), path

    def _read_manifest(self) -> dict[str, Any]:
        try:
            found = json.loads(self.manifest.read_text())
            found["belongs_to"], found["finished"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"The {MANIFEST} in {str(self.folder)!r} is not one of answers; name a new or an empty folder."
            ) from error
        return found

    def _write_manifest(self, content: dict[str, Any]) -> None:
        write_whole(self.manifest, lambda file: file.write(json.dumps(content, indent=1).encode() + b"\n"))


def partial(path: Path) -> Path:
    return path.with_name(f"{path.name}.partial")


def write_whole(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file that is whole or not there at all, whenever the process or the machine stops."""
    with partial(path).open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    partial(path).replace(path)
