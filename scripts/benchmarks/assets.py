"""`scripts/assets` as a package, for what is run from this folder: `from assets import offline_data`."""

from pathlib import Path

__path__ = [str(Path(__file__).resolve().parents[1] / "assets")]
