"""Runs of a benchmark, in as many processes as there are cores; each is kept by its arguments and not repeated."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

Row = dict[str, Any]
Arguments = dict[str, Any]


def folder_of(name: str, sources: Iterable[Path]) -> Path:
    """Where the runs of a benchmark are kept: the folder is named by the code that what is learned depends on, so that
    nothing that older code has left is taken for its own."""
    code = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    return Path("build/figures") / name / code


def run_all(name: str, task: Callable[..., Row], wanted: list[Arguments], folder: Path, jobs: int) -> dict[str, Row]:
    """The results of those runs, by the `key` of their arguments; those that are kept in the folder are not repeated.

    Args:
        name: of the file that keeps them.
        task: a function of a module, so that other processes find it.
        wanted: arguments of each run, in what JSON can hold.
        folder: has a file for each name.
        jobs: processes, of one thread each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name.replace(', ', '-').replace(' ', '-')}.json"
    kept: dict[str, Row] = json.loads(path.read_text()) if path.is_file() else {}
    missing = list({key(arguments): arguments for arguments in wanted if key(arguments) not in kept}.values())
    with ProcessPoolExecutor(jobs) as pool:
        runs = {pool.submit(run, task, arguments): arguments for arguments in missing}
        for done in tqdm(as_completed(runs), name, total=len(runs), disable=not runs):
            kept[key(runs[done])] = done.result()
            path.with_suffix(f".{os.getpid()}.partial").write_text(json.dumps(kept, indent=1) + "\n")
            path.with_suffix(f".{os.getpid()}.partial").replace(path)
    return kept


def run(task: Callable[..., Row], arguments: Arguments) -> Row:
    torch.set_num_threads(1)
    return task(**arguments)


def key(arguments: Arguments) -> str:
    return json.dumps(arguments, sort_keys=True)
