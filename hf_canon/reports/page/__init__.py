"""The report as a page: one file to decide from, which needs nothing beside it."""

from .examples import Example, Examples, Said
from .verdict import Verdict, verdict
from .writing import JSON_FILE, PAGE_FILE, render_page, require_report_folder, write_page

__all__ = [
    "JSON_FILE",
    "PAGE_FILE",
    "Example",
    "Examples",
    "Said",
    "Verdict",
    "render_page",
    "require_report_folder",
    "verdict",
    "write_page",
]
