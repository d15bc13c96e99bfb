"""Every row of a data set answered once, by the processes that there are."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import datasets
import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, parse_flag_from_env
from PIL import Image
from torch.utils.data import DataLoader
from transformers.utils import logging

from ..data.errors import check_fit
from ..data.images import image_mode
from ..modeling_canonicalized import CanonicalizedModel
from ..predictors.untouched import evaluating
from .batches import Preparation, answer
from .fingerprints import model_identity, rows_identity
from .parts import AnswerFolder
from .rows import answer_features, encoded_images, source_of

PATIENCE = timedelta(days=7)
"""How long a process that is done waits for the others: a part may take hours, and waiting costs nothing."""


def predict_dataset(
    model: CanonicalizedModel,
    dataset: "datasets.Dataset | datasets.IterableDataset",
    output: str | os.PathLike[str],
    processor: Callable[..., Any],
    batch_size: int = 32,
    rows_per_part: int = 10_000,
    columns: list[str] | None = None,
    num_workers: int = 0,
) -> "Summary":
    """Answer every row of a data set, and write the answers to parquet files in a folder.

    `part-000012.parquet` holds the rows from `12 * rows_per_part` on, one for each input and in order:

    | column | |
    |---|---|
    | `index` | position in the data set |
    | the kept columns | as they are in the data set |
    | `label`, `probability` | the predictor's answer for the canonical input |
    | `element` | what was found and undone, in words |
    | `element_index`; `element_angle` for a continuous group | the same as a number; in radians |
    | `pose_probability` | how sure the canonicalizer is of the likeliest element |
    | `action` | what the decision rule did: canonicalized, averaged, left alone or abstained |
    | `error` | null, or why the image cannot be read. The answer's columns are then null |

    `datasets.load_dataset("parquet", data_files="output/*.parquet")` reads them all, in order.

    A call with the same arguments goes on where an earlier one was interrupted, with any number of processes (started
    by `torchrun` or `accelerate launch`; they share the folder) and any `batch_size`. Parts are dealt to the processes
    in turn, and a batch never crosses a part, so that answers do not depend on who gives them. `manifest.json` says
    what the parts belong to, and whether they are all there.

    The length of the data set costs no memory. Of a `Dataset` each process reads its own rows, and nothing of what is
    answered already. An `IterableDataset` is read as a whole by every process, images undecoded; to go on, it is
    read from the beginning of the file in which the first missing part begins, but from its start if it is shuffled.
    Its `map`, `filter` and `rename_column` decode images before any can be found broken, and one that is ends the
    run: call `cast_column("image", datasets.Image(decode=False))` before them.

    Args:
        model: moved to this process's accelerator, if there is one and the model is not on any.
        dataset: with a column of images, declared as `datasets.Image` or called `image`.
        output: a new or empty folder, or that of an earlier call.
        processor: makes `pixel_values` from images, as `AutoImageProcessor` does. Where it makes images of
            several sizes, they are answered one by one.
        batch_size: how many images a pass takes.
        rows_per_part: also how many rows an interruption may cost each process.
        columns: those to keep. The column of images stands for their file names, and is what is kept by default.
        num_workers: processes that decode and prepare images, for each process that answers.

    Returns:
        What was done, the same on every process.

    Raises:
        ValueError: the data set is empty or is none, has no images, no such columns, or columns that cannot be
            kept; the group does not fit what the processor makes even of a square image; or the folder holds
            something else.

    Example:
        >>> import tempfile
        >>> from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessor
        >>> from hf_canon import CanonicalizedModel
        >>> tiny = ViTConfig(hidden_size=12, num_hidden_layers=1, intermediate_size=12, image_size=16)
        >>> model = CanonicalizedModel.wrap(ViTForImageClassification(tiny), group="c4", canonicalizer="shift")
        >>> processor = ViTImageProcessor(size={"height": 16, "width": 16})
        >>> photos = datasets.Dataset.from_dict({"image": [Image.new("RGB", (20, 20))] * 5, "id": list("abcde")})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = predict_dataset(model, photos, folder, processor, rows_per_part=2, columns=["id"])
        ...     sorted(path.name for path in Path(folder).iterdir())[-1]
        'part-000002.parquet'
        >>> summary.rows, summary.errors
        (5, 0)
    """
    for name, value in {"batch_size": batch_size, "rows_per_part": rows_per_part}.items():
        if value < 1:
            raise ValueError(f"{name}={value} leaves no rows to answer at a time; give 1 or more.")
    if model.task != "image-classification":
        raise ValueError(
            f"Answers are written as a class for each image, and this is a model for {model.task}. "
            "Ask it batch by batch: model(pixel_values=...)."
        )
    started = time.monotonic()
    state = processes()
    rows, image, kept = encoded_images(dataset, columns)
    source = source_of(rows, rows_per_part, batch_size)
    square = Image.new(image_mode(model.predictor.config), (64, 64))
    check_fit(model, processor, [{"image": square}])  # if not even that can be answered, nothing can
    folder = AnswerFolder(Path(output), rows_per_part, source.total)

    def open_folder() -> Any:
        belongs_to = {"rows_per_part": rows_per_part, "columns": list(kept)}
        belongs_to |= model_identity(model, processor) | rows_identity(source.total, source.sample())
        return folder.open(belongs_to, model=model.name_or_path or model.config.base_name_or_path)

    before = on_main(state, open_folder)
    if before.finished:
        return Summary(before.rows, before.errors, answered=0, seconds=time.monotonic() - started)
    if model.device.type == "cpu":
        model.to(state.device)
    preparation = Preparation(source.read, image, list(kept), processor, model)
    parts = islice(source.missing(before.parts), state.process_index, None, state.num_processes)
    # A key is what one batch is read by. Keys are made in this process, and read where images are prepared.
    loader = DataLoader(
        preparation, batch_size=None, sampler=source.keys(parts, before), num_workers=num_workers, collate_fn=as_it_is
    )
    features = answer_features(kept, model.group)
    silent = not state.is_main_process
    with (
        evaluating(model),
        logging.tqdm(total=source.total, initial=before.rows, unit=" rows", desc="predict", disable=silent) as bar,
    ):
        seen = before.rows
        for part, batches in groupby(loader, key=lambda batch: batch.start // rows_per_part):
            answers = []
            for batch in batches:
                answers += answer(model, batch)
                bar.update(len(batch.rows))
            folder.write(part, answers, features, source.state_after(part))
            # The other processes write too.
            progress = max(seen + len(answers), folder.rows_in_sight())
            bar.update(progress - seen - len(answers))
            seen = progress
        state.wait_for_everyone()
        after = on_main(state, folder.finish)
        bar.update(after.rows - seen)
    return Summary(after.rows, after.errors, after.rows - before.rows, time.monotonic() - started)


@dataclass(frozen=True)
class Summary:
    """What `predict_dataset` did; `print` shows it on a line.

    Args:
        rows: in the folder.
        errors: those of them whose image cannot be read.
        answered: rows that this run wrote, on all processes.
        seconds: how long it took.
    """

    rows: int
    errors: int
    answered: int
    seconds: float

    def __str__(self) -> str:
        found = f"{self.rows:,} rows, {self.errors:,} errors"
        if not self.answered:
            return f"{found}; all were answered already."
        resumed = f" ({self.rows - self.answered:,} were answered already)" if self.answered < self.rows else ""
        return f"{found}, {self.answered / self.seconds:,.1f} rows per second{resumed}."


def processes() -> PartialState:
    """The processes that answer together, each on its own device: what `torchrun` or `accelerate launch` started."""
    # Accelerate forms a group of processes without accelerators only if it is told that there are none.
    cpu = parse_flag_from_env("ACCELERATE_USE_CPU") or not torch.accelerator.is_available()
    return PartialState(cpu=cpu, timeout=PATIENCE)


def on_main(state: PartialState, call: Callable[[], Any]) -> Any:
    """What `call` returns on the main process, given to every process. A refusal is raised on all of them."""
    told: list[Any] = [None]
    if state.is_main_process:
        try:
            told = [call()]
        except ValueError as refusal:
            told = [refusal]
    broadcast_object_list(told)
    if isinstance(told[0], ValueError):
        raise told[0]
    return told[0]


def as_it_is(batch: Any) -> Any:
    return batch
