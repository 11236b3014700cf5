"""64-bit hashes of the values of Arrow arrays, computed for all of them at once."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxbatch.input.arrow_arrays import to_numpy

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio, by which SplitMix64 counts."""

_WORD = 8
"""Bytes of a word."""


def hashes_of(columns: Sequence[pa.Array], seed: int) -> np.ndarray:
    """``[rows]`` uint64: a hash of each row of some columns, of integers, texts, bytes or decimals.

    Equal rows of arrays of the same types have equal hashes; rows with a null have any. Of a single column of integers
    other rows have other hashes.
    """
    start = mix(np.full(1, seed + 1, np.uint64) * _GOLDEN)
    total = np.broadcast_to(start, len(columns[0]))
    for column in columns:
        total = _folded(total, column)
    return total


def _folded(total: np.ndarray, array: pa.Array) -> np.ndarray:
    """Hashes of what was hashed before and an array's values."""
    if pa.types.is_integer(array.type):
        return mix(total ^ to_numpy(array).astype(np.uint64))
    if pa.types.is_decimal(array.type):
        words = array.type.bit_width // 64
        data = np.frombuffer(array.buffers()[1] or b"", np.uint64).reshape(-1, words)
        for word in data[array.offset : array.offset + len(array)].T:
            total = mix(total ^ word)
        return total
    return _folded_bytes(total, array)


def _folded_bytes(total: np.ndarray, array: pa.Array) -> np.ndarray:
    """The same for texts or bytes: their lengths, then 8 bytes of each at a time."""
    if not len(array):
        return total
    large = pa.types.is_large_string(array.type) or pa.types.is_large_binary(array.type)
    _, offsets, data = array.buffers()
    kind = np.dtype(np.int64 if large else np.int32)
    ends = np.frombuffer(offsets, kind, count=len(array) + 1, offset=array.offset * kind.itemsize)
    stored = np.frombuffer(data or b"", np.uint8)[ends[0] : ends[-1]]
    padded = np.concatenate([stored, np.zeros(_WORD, np.uint8)])
    from_each_place = np.ndarray((len(padded) - _WORD + 1,), "<u8", padded, strides=(1,))
    starts, lengths = (ends[:-1] - ends[0]).astype(np.int64), np.diff(ends).astype(np.int64)
    total = mix(total ^ lengths.astype(np.uint64))
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
