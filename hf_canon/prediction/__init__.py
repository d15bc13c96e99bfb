"""Answers for every row of a data set, however long: in parts, by any number of processes, none lost or doubled.

A part is a fixed range of rows, whoever writes it, and appears in the output folder when it is whole. So what is there
says what is left to do, to any later run.
"""

from .dataset import Summary, predict_dataset

__all__ = ["Summary", "predict_dataset"]
