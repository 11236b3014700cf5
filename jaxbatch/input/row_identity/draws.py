"""What is drawn for each row: whether it is in the sample, and its random key."""

import math
from fractions import Fraction

import numpy as np
import pyarrow as pa

from jaxbatch.input.arrow_arrays import to_arrow
from jaxbatch.input.row_identity.identity import RowIdentity

FOR_KEYS, FOR_SAMPLE = 0, 1
"""The word for what a key is used for, by which random keys and the sample know nothing of each other."""

RANDOM_KEY = "\0key"
"""The column of random keys: uint64, whose eight bytes are a key's two words one after the other."""


def sampled(table: pa.Table, named_by: RowIdentity, seed: int, probability: float) -> np.ndarray:
    """Which rows are in the sample, ``[rows]`` booleans: those whose 64 random bits are below ``probability`` · 2⁶⁴.

    A row without a name is not.
    """
    if not table.num_rows:
        return np.zeros(0, bool)
    bits = named_by.keys(table, seed, FOR_SAMPLE).bits(table.num_rows)
    last = math.ceil(Fraction(probability) * 2**64) - 1  # a probability of 1 would itself be beyond 64 bits
    return (bits <= np.uint64(last)) & named_by.named(table)


def with_keys(table: pa.Table, named_by: RowIdentity, seed: int) -> pa.Table:
    """A table with the column of random keys, null where a row has no name."""
    if not table.num_rows:
        return table.append_column(RANDOM_KEY, pa.nulls(0, pa.uint64()))
    pairs = named_by.keys(table, seed, FOR_KEYS).pairs(table.num_rows)
    return table.append_column(RANDOM_KEY, to_arrow(pairs.view(np.uint64).reshape(-1), named_by.named(table)))
