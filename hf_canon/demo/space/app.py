"""A demo of hf_canon, as a Space.

`demo.json` says what it offers, and `hf_canon/` is the code. It needs no token and no secret, and opens nothing of the
machine that it runs on but the folders beside it.
"""

from pathlib import Path

import gradio as gr

import hf_canon.demo
from hf_canon.demo import LAUNCH, Offered


def build_demo() -> gr.Blocks:
    """The page, on what is beside this file."""
    return hf_canon.demo.build_demo(Offered.in_folder(Path(__file__).parent))


if __name__ == "__main__":
    build_demo().launch(**LAUNCH)
