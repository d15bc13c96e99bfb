"""Tables and paragraphs as text."""

from collections.abc import Iterable
from textwrap import wrap

WIDTH = 100
"""Columns of all that is printed."""


def cut(text: str, width: int) -> str:
    """The start of a text that is too long.

    Example:
        >>> cut("abcde", 5), cut("abcdef", 5)
        ('abcde', 'abcd…')
    """
    return text if len(text) <= width else text[: width - 1] + "\N{HORIZONTAL ELLIPSIS}"


def end(text: str, width: int) -> str:
    """The end of a text that is too long, as a path may be.

    Example:
        >>> end("/home/me/model", 9)
        '.../model'
    """
    return text if len(text) <= width else "..." + text[3 - width :]


def row(cells: Iterable[str], widths: Iterable[int]) -> str:
    """Cells at the right of their columns; where a width is negative, at the left, with a space behind.

    Example:
        >>> row(["rotations", "1.5", ""], [-6, 5, 4])
        'rota…   1.5'
    """
    text = ""
    for cell, width in zip(cells, widths, strict=True):
        text += f"{cell:>{width}}" if width > 0 else f"{cut(cell, -width - 1):<{-width}}"
    return text.rstrip()


def paragraph(text: str, name: str = "", room: int = 0) -> list[str]:
    """The lines of a text that stands beside its name.

    Args:
        text: in sentences.
        name: before the first line.
        room: columns that the name has.
    """
    lines = wrap(text, WIDTH - room, break_long_words=False, break_on_hyphens=False)
    return [f"{'' if i else name:<{room}}{line}" for i, line in enumerate(lines)]
