"""The number of a row in the whole input: its file's number, and its place among all rows of the file."""

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxbatch.errors import InputError

NUMBER = "\0number"
"""The column of numbers that a reader adds to the rows where it is asked to."""

FIELD = pa.field(NUMBER, pa.int64(), nullable=False)

_PLACE_BITS = 40
_MOST_FILES = 1 << (63 - _PLACE_BITS)


def starts(file: int, row_groups: Sequence[int]) -> list[int]:
    """The number of the first row of each row group of a file; the others follow, so that they ascend over the input.

    Args:
        file: the file's number in the input.
        row_groups: how many rows each of its row groups has.

    Raises:
        InputError: there are more files or rows than numbers.
    """
    if file >= _MOST_FILES or sum(row_groups) > 1 << _PLACE_BITS:
        raise InputError("The input has too many files, or a file too many rows, to number its rows.", "Divide it.")
    return list(itertools.accumulate(row_groups, initial=file << _PLACE_BITS))[:-1]


def file_of(number: np.ndarray) -> np.ndarray:
    """The numbers of rows' files."""
    return number >> _PLACE_BITS


def place_of(number: np.ndarray) -> np.ndarray:
    """The places of rows among all rows of their files."""
    return number & ((1 << _PLACE_BITS) - 1)
