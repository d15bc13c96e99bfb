"""What a visitor gives: a file that was uploaded to this page, and nothing else of this machine.

gradio checks where a file lies only if the visitor says that it is a file; and it decodes what comes as a data URL
beside its limit on sizes.
"""

from pathlib import Path
from typing import Any, TypeVar

import gradio as gr
from gradio.utils import get_upload_folder

MEGABYTE = 2**20
LARGEST_FILE = 20 * MEGABYTE
"""Bytes."""


Component = TypeVar("Component", gr.Image, gr.Audio)


def only_uploaded(component: Component) -> Component:
    """A component whose value is the path of a file that was uploaded. (Of a subclass gradio would write the interface
    beside this file.)"""
    component.preprocess = lambda payload: None if payload is None else uploaded(payload)  # type: ignore[method-assign]
    return component


def uploaded(payload: Any) -> str:
    """The path of an uploaded file.

    Raises:
        gr.Error: it is none, is too large, or was deleted since.
    """
    path = Path(payload.path or "/").resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()) or (payload.url or "").startswith("data:"):
        raise refusal("This page reads what is uploaded to it, and no other path. Upload the file first.")
    if not path.is_file():
        raise refusal("This file was deleted, as all are ten minutes after their last use. Upload it again.")
    if path.stat().st_size > LARGEST_FILE:
        size, most = (one / MEGABYTE for one in (path.stat().st_size, LARGEST_FILE))
        raise refusal(f"This file has {size:.0f} MB, and this page takes {most:.0f}. Scale it down, or cut it.")
    return str(path)


def refusal(sentence: str) -> gr.Error:
    """A sentence for the visitor, that stays until it is read."""
    return gr.Error(sentence, duration=None, title="Not possible", print_exception=False)
