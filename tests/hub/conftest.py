"""A Hub for each test, and its clients: in processes of their own, because they read where the Hub is at import."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub.loopback import LoopbackHub

# What would lead a client elsewhere, or tell it who it is.
FOREIGN = ("HF_", "HUGGING", "TRANSFORMERS_")


class Hub(LoopbackHub):
    """A loopback Hub and its clients. Every client starts with an empty home (`HF_HOME`) unless it is given one.

    `token` is one of `tokens`, or None for nobody. A client that fails raises AssertionError with its stderr; with
    `check=False` its `subprocess.CompletedProcess` comes back instead of its stdout.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def start(
        self, *words: str | Path, token: str | None = "writer", home: Path | None = None
    ) -> subprocess.Popen[str]:
        """Start a program, and do not wait for it."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(FOREIGN) and not name.lower().endswith("_proxy")
        }
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home or tempfile.mkdtemp(prefix="home-", dir=self.folder)),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "1",
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [str(word) for word in words],
            env={**kept, **own, **({"HF_TOKEN": token} if token else {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, code: str, *args: str | Path, check: bool = True, **who: Any) -> Any:
        """Run Python code to its end; `args` are its `sys.argv[1:]`."""
        return finish(self.start(sys.executable, "-c", code, *args, **who), check)

    def command(self, name: str, *words: str | Path, check: bool = True, **who: Any) -> Any:
        """Run a console script of this environment, such as `hf`, to its end."""
        return finish(self.start(Path(sys.executable).with_name(name), *words, **who), check)


def finish(process: subprocess.Popen[str], check: bool) -> Any:
    with process:
        try:
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    if not check:
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)
    assert process.returncode == 0, err
    return out


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with Hub(tmp_path_factory.mktemp("hub")) as hub:
        yield hub
