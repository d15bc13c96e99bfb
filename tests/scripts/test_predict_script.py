"""Several processes, and processes that are killed: the same answers as one that is left in peace."""

import os
import signal
import socket
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path

import numpy as np
import predict
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Features, Value
from datasets import Image as ImageFeature
from PIL import Image

from hf_canon import CanonicalizedModel

SCRIPT = Path(predict.__file__)
ROWS, ROWS_PER_PART, BROKEN = 600, 12, 30


@pytest.fixture(scope="module")
def adapter(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    CanonicalizedModel.wrap(checkpoint, group="c8", canonicalizer="orbit").save_pretrained(folder)
    (folder / "preprocessor_config.json").write_bytes((checkpoint / "preprocessor_config.json").read_bytes())
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Three parquet files; one image is broken."""
    folder = tmp_path_factory.mktemp("data")
    pixels = np.random.default_rng(0).integers(0, 255, (ROWS, 16, 16, 3), dtype=np.uint8)
    rows = []
    for i, image in enumerate(pixels):
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, "png")
        content = b"no image" if i == BROKEN else buffer.getvalue()
        rows.append({"id": f"number {i}", "image": {"bytes": content, "path": None}})
    features = Features(id=Value("string"), image=ImageFeature())
    for k in range(3):
        Dataset.from_list(rows[k::3], features=features).to_parquet(folder / f"train-{k}-of-3.parquet")
    return folder


@pytest.fixture(scope="module")
def words(adapter, data):
    def call(output, *more):
        # One image a pass is slow enough to be killed on the way.
        numbers = ["--batch_size", "1", "--rows_per_part", str(ROWS_PER_PART)]
        names = ["--model", str(adapter), "--data", str(data), "--output", str(output), "--columns", "id"]
        return [*names, *numbers, *more]

    return call


@pytest.fixture(scope="module")
def undisturbed(words, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed") / "answers"
    summary = predict.main(words(folder))
    assert (summary.rows, summary.errors) == (ROWS, 1)
    return read(folder)


def read(folder):
    return pa.concat_tables([pq.read_table(part) for part in sorted(folder.glob("*.parquet"))]).to_pylist()


def start(ranks, arguments):
    """The processes that `torchrun` would start, each of which can be killed."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    return [
        subprocess.Popen(
            [sys.executable, SCRIPT, *arguments],
            env=environment | {"WORLD_SIZE": str(ranks), "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for rank in range(ranks)
    ]


def kill_on_the_way(ranks, arguments, folder):
    """Start a run, and kill all of its processes when they have written a few parts."""
    running = start(ranks, arguments)
    while len(list(folder.glob("*.parquet"))) < 4:
        assert all(process.poll() is None for process in running)
        time.sleep(0.002)
    for process in running:
        process.send_signal(signal.SIGKILL)
    for process in running:
        process.wait()
    assert 4 <= len(list(folder.glob("*.parquet"))) < ROWS // ROWS_PER_PART


def torchrun(arguments):
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", SCRIPT, *arguments],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_a_killed_table_goes_on_with_two_processes(words, undisturbed, tmp_path):
    folder = tmp_path / "answers"
    kill_on_the_way(1, words(folder), folder)
    (folder / "part-000049.parquet.partial").write_bytes(b"stale")
    done = torchrun(words(folder))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("600 rows, 1 errors, ") and "were answered already" in done.stdout
    assert read(folder) == undisturbed
    assert not list(folder.glob("*.partial"))


@pytest.mark.slow
def test_a_killed_stream_of_two_processes_goes_on_with_one(words, undisturbed, tmp_path):
    folder = tmp_path / "answers"
    arguments = words(folder, "--streaming")
    kill_on_the_way(2, arguments, folder)
    (folder / "part-000049.parquet.partial").write_bytes(b"stale")
    summary = predict.main(arguments)
    assert 0 < summary.answered < summary.rows == ROWS
    assert read(folder) == undisturbed
    assert not list(folder.glob("*.partial"))


@pytest.mark.slow
def test_two_processes_share_the_parts_and_refuse_as_one(words, undisturbed, tmp_path):
    folder = tmp_path / "answers"
    done = torchrun(words(folder, "--num_workers", "1"))
    assert done.returncode == 0, done.stderr
    assert read(folder) == undisturbed
    refused = torchrun([*words(folder), "--batch_size", "0"])
    assert refused.returncode != 0
    assert refused.stderr.count("predict.py: batch_size=0 leaves no rows") == 1
    with pytest.raises(ValueError, match="were begun with rows_per_part 12, and this run has 13"):
        predict.main([*words(folder), "--rows_per_part", "13"])
    assert predict.main(words(folder)).answered == 0
