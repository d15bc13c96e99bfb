"""Sharing: what an adapter's folder holds beside its weights, its card, and the way to the Hub."""

from .card import PLOT_FILE, REPORT_FILE, AdapterFacts, render_card
from .folder import add_report, complete_folder, is_repository, read_facts, require_ours, staged_folder, write_card
from .push import push_folder

__all__ = [
    "PLOT_FILE",
    "REPORT_FILE",
    "AdapterFacts",
    "add_report",
    "complete_folder",
    "is_repository",
    "push_folder",
    "read_facts",
    "render_card",
    "require_ours",
    "staged_folder",
    "write_card",
]
