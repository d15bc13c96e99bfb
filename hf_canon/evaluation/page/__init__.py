"""The report as a page: one file to decide from, which needs nothing beside it."""

from .gallery import Example, Galleries, Said, class_name
from .verdict import Verdict, verdict
from .writing import JSON_FILE, PAGE_FILE, render_page, require_report_folder, write_page

__all__ = [
    "JSON_FILE",
    "PAGE_FILE",
    "Example",
    "Galleries",
    "Said",
    "Verdict",
    "class_name",
    "render_page",
    "require_report_folder",
    "verdict",
    "write_page",
]
