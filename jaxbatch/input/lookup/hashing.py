"""64-bit hashes of the values of Arrow arrays, computed for all of them at once."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxbatch.input.arrow_arrays import to_numpy

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio, by which SplitMix64 counts."""

_WORD = 8
"""Bytes of a word."""


PIECE = 1 << 17
"""Rows that are hashed at once, so that what is calculated on the way stays in the processor's cache."""


def hashes_of(columns: Sequence[pa.Array], seed: int) -> np.ndarray:
    """``[rows]`` uint64: a hash of each row of some columns, of integers, texts, bytes or decimals.

    Equal rows have equal hashes, whether or not texts are in a dictionary; rows with a null have any. Of a single
    column of integers other rows have other hashes.
    """
    found = np.empty(len(columns[0]), np.uint64)
    for first in range(0, len(found), PIECE):
        found[first : first + PIECE] = _of_rows([column.slice(first, PIECE) for column in columns], seed)
    return found


def _of_rows(columns: Sequence[pa.Array], seed: int) -> np.ndarray:
    start = mix(np.full(1, seed + 1, np.uint64) * _GOLDEN)
    total = np.broadcast_to(start, len(columns[0]))
    for column in columns:
        total = mix(total ^ _of_values(column, start))
    return total


def _of_values(array: pa.Array, start: np.ndarray) -> np.ndarray:
    """``[rows]`` uint64: a number for each value of an array, of integers each its own; ``start`` is ``[1]``."""
    if pa.types.is_dictionary(array.type):
        of_distinct = np.append(_of_values(array.dictionary, start), np.uint64(0))  # the last one is for nulls
        return of_distinct[to_numpy(array.indices, filled=-1)]
    if pa.types.is_integer(array.type):
        return to_numpy(array).astype(np.uint64)
    if pa.types.is_decimal(array.type):
        words = array.type.bit_width // 64
        data = np.frombuffer(array.buffers()[1] or b"", np.uint64).reshape(-1, words)
        total = start
        for word in data[array.offset : array.offset + len(array)].T:
            total = mix(total ^ word)
        return total
    return _of_bytes(array, start)


def _of_bytes(array: pa.Array, start: np.ndarray) -> np.ndarray:
    """The same for texts or bytes: a hash of their lengths, and of 8 bytes of each at a time."""
    if not len(array):
        return np.zeros(0, np.uint64)
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets, data = array.buffers()
    kind = np.dtype(np.int64 if large else np.int32)
    ends = np.frombuffer(offsets, kind, count=len(array) + 1, offset=array.offset * kind.itemsize)
    stored = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    padded = np.concatenate([stored, np.zeros(_WORD, np.uint8)])
    from_each_place = np.ndarray((len(padded) - _WORD + 1,), "<u8", padded, strides=(1,))
    starts, lengths = (ends[:-1] - ends[0]).astype(np.int64), np.diff(ends).astype(np.int64)
    total = mix(start ^ lengths.astype(np.uint64))
    rows, done = np.flatnonzero(lengths), 0
    while len(rows):
        words = from_each_place[starts[rows] + done]
        beyond = np.maximum(done + _WORD - lengths[rows], 0)  # bytes of other values
        words &= np.uint64(2**64 - 1) >> (8 * beyond).astype(np.uint64)
        total[rows] = mix(total[rows] ^ words)
        done += _WORD
        rows = rows[lengths[rows] > done]
    return total


def mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): a bijection."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
