"""Before anything is trained: what an untouched checkpoint loses when its inputs are transformed, and what would
help."""

from .audit import audit

__all__ = ["audit"]
