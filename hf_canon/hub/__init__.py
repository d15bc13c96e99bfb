"""Sharing: what an adapter's folder holds beside its weights, its card, and the way to the Hub."""

from .card import AdapterFacts, render_card
from .folder import complete_folder, read_facts, staged_folder
from .push import push_folder

__all__ = ["AdapterFacts", "complete_folder", "push_folder", "read_facts", "render_card", "staged_folder"]
