"""Rows by group: which group each row belongs to, and in which bucket a group's partial results are merged."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyarrow import types as pat

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import is_null, one_chunk, to_arrow, to_numpy

_MULTIPLIER = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Groups:
    """The groups of a table's rows, in the order of first appearance."""

    keys: pa.Table
    """The values that name each group, a row per group."""
    of_row: np.ndarray
    """[rows]: the number of each row's group."""

    def __len__(self) -> int:
        return self.keys.num_rows

    def order(self) -> np.ndarray:
        """[rows]: the rows' numbers, group by group, in the table's order within each."""
        return stable_order(self.of_row, len(self))

    def counts(self) -> np.ndarray:
        """[groups]: how many rows each group has."""
        return np.bincount(self.of_row, minlength=len(self))


def groups_of(keys: pa.Table) -> Groups:
    """Group equal rows of ``keys``; nulls equal each other. Without columns all rows are one group."""
    if keys.num_columns == 0:
        return Groups(pa.table({}) if keys.num_rows == 0 else _one_row(), np.zeros(keys.num_rows, np.int64))
    codes, count = _codes(keys.column(0))
    for column in keys.columns[1:]:
        further, further_count = _codes(column)
        codes, count = _codes(pa.chunked_array([to_arrow(codes * further_count + further)]))
    first = np.full(count, keys.num_rows)
    np.minimum.at(first, codes, np.arange(keys.num_rows))
    return Groups(keys.take(to_arrow(first)), codes)


def _one_row() -> pa.Table:
    return pa.table({"": pa.nulls(1)}).select([])


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, int]:
    """[rows] numbers from 0 on, equal for equal values, in the order of first appearance; and the number of values."""
    encoded = _comparable(one_chunk(column)).dictionary_encode(null_encoding="encode")
    return to_numpy(encoded.indices).astype(np.int64), len(encoded.dictionary)


def sorted_order(keys: pa.Table) -> np.ndarray:
    """[rows]: the rows' numbers, sorted by the first column, then the next and so on; nulls come last."""
    columns = {str(number): _comparable(one_chunk(column)) for number, column in enumerate(keys.columns)}
    return to_numpy(pc.sort_indices(pa.table(columns), sort_keys=[(name, "ascending") for name in columns]))


def _comparable(array: pa.Array) -> pa.Array:
    """The same values in a type that Arrow can compare, which it cannot do with decimals of 32 and 64 bits."""
    kind = array.type
    narrow = pat.is_decimal32(kind) or pat.is_decimal64(kind)
    return array.cast(pa.decimal128(kind.precision, kind.scale)) if narrow else array


def stable_order(codes: np.ndarray, count: int) -> np.ndarray:
    """A stable ``argsort`` of integers from 0 to ``count`` - 1: a radix sort, 16 bits at a time."""
    order = np.argsort((codes & 0xFFFF).astype(np.uint16), kind="stable")
    for shift in range(16, max(count - 1, 0).bit_length(), 16):
        digit = ((codes >> shift) & 0xFFFF).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
    return order


def buckets_of(keys: pa.Table, buckets: int) -> np.ndarray:
    """[rows]: the bucket of each key, from 0 to ``buckets`` - 1, by a hash that is the same on every machine."""
    mixed = np.zeros(keys.num_rows, np.uint64)
    for column in keys.columns:
        mixed = _mix(mixed * np.uint64(_MULTIPLIER) + _hash(one_chunk(column)))
    return (mixed >> np.uint64(11)).astype(np.int64) % buckets


def _hash(array: pa.Array) -> np.ndarray:
    kind = array.type
    if pat.is_integer(kind) or pat.is_boolean(kind):
        numbers = pc.cast(array, pa.int64(), safe=False)
    elif pat.is_temporal(kind):
        numbers = array.view(pa.int32() if kind.bit_width == 32 else pa.int64()).cast(pa.int64())
    else:
        return _hash_texts(array)
    return _mix(to_numpy(numbers, filled=-1).view(np.uint64) + is_null(array))


def _hash_texts(array: pa.Array) -> np.ndarray:
    """Hash each text: Σ (byte + 1)·M^position over its bytes, modulo 2⁶⁴, then mixed."""
    kind = array.type
    binary = pat.is_binary(kind) or pat.is_large_binary(kind) or pat.is_fixed_size_binary(kind)
    texts = array if binary else pc.cast(array, pa.large_string())
    texts = pc.cast(texts, pa.large_binary())
    lengths = to_numpy(pc.binary_length(texts)).astype(np.int64)
    data = np.frombuffer(b"".join(text or b"" for text in texts.to_pylist()), np.uint8).astype(np.uint64) + np.uint64(1)
    starts = np.cumsum(lengths) - lengths
    position = np.arange(len(data)) - np.repeat(starts, lengths)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)) + 1, _MULTIPLIER, np.uint64))
    total = np.concatenate([np.zeros(1, np.uint64), np.cumsum(data * powers[position])])
    return _mix(total[starts + lengths] - total[starts] + is_null(array) + lengths.astype(np.uint64))


def _mix(x: np.ndarray) -> np.ndarray:
    """The finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
