"""The demo: a page on which a checkpoint is seen to fail, and not to fail behind its canonicalizer.

`hf-canon demo` opens it on an adapter, and `spaces_app/` is the Space that shows it on the Hub. gradio is imported
when a page is built.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .offered import Offered

if TYPE_CHECKING:
    import gradio

    LAUNCH: dict[str, Any]

__all__ = ["LAUNCH", "Offered", "build_demo"]


def build_demo(offered: Offered | None = None) -> "gradio.Blocks":
    """The page, ready for `launch(**LAUNCH)`.

    Args:
        offered: checkpoints and examples; by default what `make quickstart` left under the working directory.

    Raises:
        ValueError: there is nothing to show, or something of it cannot be shown.
        OSError: it cannot be read.

    Example:
        >>> from hf_canon.demo import LAUNCH, Offered, build_demo
        >>> page = build_demo(Offered(("google/vit-base-patch16-224",)))  # doctest: +SKIP
        >>> page.launch(**LAUNCH)  # doctest: +SKIP
    """
    from .page import build_page

    return build_page(Offered.quickstart() if offered is None else offered)


def __getattr__(name: str) -> Any:
    if name != "LAUNCH":
        raise AttributeError(f"module 'hf_canon.demo' has no attribute {name!r}")
    return import_module(".page", __name__).LAUNCH
