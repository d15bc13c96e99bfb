"""What two figures take from the tests: every architecture with its violations, and the small Hub on this machine."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from architectures import exactness  # noqa: E402
from hub.conftest import Hub  # noqa: E402

__all__ = ["Hub", "exactness"]
