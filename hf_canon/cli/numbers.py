"""Numbers on the command line."""

import argparse


def positive(text: str) -> float:
    """For argparse: a number above zero.

    Example:
        >>> positive("0.5")
        0.5
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return number


def count(text: str) -> int:
    """For argparse: a whole number above zero."""
    number = positive(text)
    if number != int(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(number)
