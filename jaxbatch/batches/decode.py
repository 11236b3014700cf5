"""Arrow columns → padded arrays, the inputs of a row function."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.batches.convert import converted, fitted
from jaxbatch.batches.ragged import RaggedColumn
from jaxbatch.columns import Column, Status
from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import is_null, one_chunk, to_numpy, to_texts
from jaxbatch.input.types import is_list


@dataclass
class DecodedRows:
    """Decoded rows: an array of numbers or a :class:`RaggedColumn` per column, and which rows cannot be computed."""

    rows: int
    columns: dict[str, "np.ndarray | RaggedColumn"]
    dimensions: dict[str, np.ndarray]
    """[rows] for each named dimension: its length; 0 for rows that cannot be computed."""
    status: np.ndarray
    """[rows] int8: ``ok``, ``null_input`` or ``invalid_input``."""


def decode(
    table: pa.Table,
    columns: Sequence[Column],
    names: Mapping[str, str],
    constants: Mapping[str, Any],
    precision: str,
    drop_nulls: str | None = None,
    *,
    x64: bool = False,
) -> DecodedRows:
    """Decode a kernel's input columns from a table.

    Args:
        table: the rows, with one chunk per column.
        columns: the kernel's inputs.
        names: the table's name for each input.
        constants: values for inputs that the table does not have.
        precision: the dtype of ``"float"`` columns, ``"float64"`` or ``"float32"``.
        drop_nulls: a named dimension; its entries that are null in any column are left out.
        x64: whether 64-bit types exist in a float32 run too.
    """
    rows = table.num_rows
    decoded: dict[str, np.ndarray | RaggedColumn] = {}
    null = np.zeros(rows, bool)
    invalid = np.zeros(rows, bool)
    for column in columns:
        kind = column.numpy_type(precision, x64=x64)
        if column.name in constants:
            decoded[column.name] = _constant(constants[column.name], column, kind, rows)
            continue
        array = one_chunk(table.column(names[column.name]))
        null |= is_null(array)
        if column.dtype == "key":
            decoded[column.name] = to_numpy(array).view(np.uint32).reshape(-1, 2)
        elif column.dtype == "string":
            decoded[column.name] = choice = _choices(array, column.choices)
            invalid |= choice < 0
        elif column.shape:
            decoded[column.name] = lists = _lists(array, column, kind)
            invalid |= lists.unfit
        else:
            decoded[column.name], fits = converted(array, column, kind)
            if fits is not None:
                invalid |= ~fits
    if drop_nulls:
        _drop_null_entries(decoded, [c for c in columns if c.dimensions[:1] == (drop_nulls,)], invalid)
    dimensions = _check_lengths(decoded, columns, null, invalid)
    status = np.zeros(rows, np.int8)
    status[invalid] = Status.invalid_input
    status[null] = Status.null_input
    return DecodedRows(rows, decoded, dimensions, status)


def _constant(value: Any, column: Column, kind: np.dtype, rows: int) -> np.ndarray:
    if column.dtype == "string":
        return np.full(rows, column.choices.index(value) if value in column.choices else -1)
    array = fitted(np.asarray(value), column, kind)[0]
    return np.broadcast_to(array, (rows, *array.shape))


def _choices(array: pa.Array, choices: tuple[str, ...]) -> np.ndarray:
    found = pc.index_in(array.cast(pa.string()), to_texts(choices))
    return to_numpy(found, filled=-1).astype(np.int64)


def _lists(array: pa.Array, column: Column, kind: np.dtype) -> RaggedColumn:
    lengths = _lengths(array)
    inner = array.flatten()
    nulls = is_null(inner)
    if len(column.shape) == 1:
        numbers, fits = converted(inner, column, kind)
        unfit = np.zeros(len(lengths), bool) if fits is None else _sums(~fits, lengths) > 0
        return RaggedColumn(numbers, (lengths,), nulls, np.ones(len(lengths), bool), unfit)
    assert is_list(inner.type)
    widths = _lengths(inner)
    missing = nulls
    values = inner.flatten()
    nulls = missing | (_sums(is_null(values), widths) > 0)
    first = _first_given(widths, ~missing, lengths)
    rectangular = _sums((widths != np.repeat(first, lengths)) & ~missing, lengths) == 0
    numbers, fits = converted(values, column, kind)
    unfit = np.zeros(len(lengths), bool) if fits is None else _sums(_sums(~fits, widths), lengths) > 0
    if missing.any() or not rectangular.all():
        # Make all entries of a row equally long: a missing one becomes zeros, and in an irregular row all are emptied.
        first = np.where(rectangular, first, 0)
        filled = np.zeros(int((lengths * first).sum()), numbers.dtype)
        filled[np.repeat(~missing, np.repeat(first, lengths))] = numbers[
            np.repeat(np.repeat(rectangular, lengths), widths)
        ]
        numbers = filled
    return RaggedColumn(numbers, (lengths, first), nulls, rectangular, unfit)


def _lengths(array: pa.Array) -> np.ndarray:
    """The lengths of lists, 0 for a null."""
    return to_numpy(pc.list_value_length(array)).astype(np.int64, copy=False)


def _first_given(values: np.ndarray, given: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The first ``given`` value of each consecutive stretch, 0 where none is; ``lengths`` are the stretches'."""
    places = np.append(np.flatnonzero(given), len(values))
    ends = np.cumsum(lengths)
    place = places[np.searchsorted(places, ends - lengths)]
    return np.where(place < ends, np.append(values, 0)[place], 0)


def _sums(values: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The sum of each consecutive stretch of ``values``; ``lengths`` are the stretches'."""
    if not values.any():
        return np.zeros(len(lengths), np.int64)
    total = np.concatenate([[0], np.cumsum(values)])
    ends = np.cumsum(lengths)
    return total[ends] - total[ends - lengths]


def _drop_null_entries(decoded: dict[str, Any], columns: Sequence[Column], invalid: np.ndarray) -> None:
    """Leave out the entries that are null in any of the columns; rows whose lists differ in length become invalid."""
    lists: list[RaggedColumn] = [decoded[column.name] for column in columns]
    lengths = lists[0].lengths[0]
    agreeing = np.all([np.array_equal(each.lengths[0], lengths) for each in lists]) and all(
        each.rectangular.all() for each in lists
    )
    if not agreeing:
        mismatch = np.any([each.lengths[0] != lengths for each in lists], axis=0)
        mismatch |= ~np.all([each.rectangular for each in lists], axis=0)
        invalid |= mismatch
        for column, each in zip(columns, lists, strict=True):
            decoded[column.name] = _without(each, mismatch)
        lists = [decoded[column.name] for column in columns]
        lengths = lists[0].lengths[0]
    keep = ~np.any([each.nulls for each in lists], axis=0)
    for column, each in zip(columns, lists, strict=True):
        left = _sums(keep, lengths)
        values = keep if len(each.lengths) == 1 else np.repeat(keep, np.repeat(each.lengths[1], lengths))
        kept = {"values": each.values[values], "nulls": np.zeros(int(keep.sum()), bool)}
        decoded[column.name] = replace(each, lengths=(left, *each.lengths[1:]), **kept)


def _without(lists: RaggedColumn, rows: np.ndarray) -> RaggedColumn:
    """The column with the lists of some rows emptied; ``rows`` is a mask."""
    sizes = np.prod(np.stack(lists.lengths), axis=0)
    lengths = (np.where(rows, 0, lists.lengths[0]), *lists.lengths[1:])
    kept = {"values": lists.values[np.repeat(~rows, sizes)], "nulls": lists.nulls[np.repeat(~rows, lists.lengths[0])]}
    return replace(lists, lengths=lengths, rectangular=lists.rectangular | rows, **kept)


def _check_lengths(
    decoded: Mapping[str, Any], columns: Sequence[Column], null: np.ndarray, invalid: np.ndarray
) -> dict[str, np.ndarray]:
    """Mark rows with nulls inside lists as ``null``, and rows with lists of a wrong length as ``invalid``.

    Returns each named dimension's length, ``[rows]``, 0 in marked rows.
    """
    dimensions: dict[str, np.ndarray] = {}
    for column in columns:
        lists = decoded[column.name]
        if not isinstance(lists, RaggedColumn):
            continue
        null |= _sums(lists.nulls, lists.lengths[0]) > 0
        invalid |= ~lists.rectangular
        for level, (size, length) in enumerate(zip(column.shape, lists.lengths, strict=True)):
            if isinstance(size, str):
                invalid |= length != dimensions.setdefault(size, length)
            else:
                invalid |= (length != size) & (
                    (level == 0) | (lists.lengths[0] > 0)
                )  # without entries none has a wrong length
    unusable = null | invalid
    return {name: np.where(unusable, 0, length) for name, length in dimensions.items()}


def gather(
    batch: DecodedRows, columns: Sequence[Column], rows: np.ndarray, sizes: Mapping[str, int]
) -> dict[str, np.ndarray]:
    """The arrays of a row function for some rows: columns padded to ``sizes``, and the true lengths.

    Args:
        batch: the decoded rows.
        columns: the kernel's inputs.
        rows: the numbers of the rows to take, in ascending order.
        sizes: the rung of each named dimension.
    """
    arrays: dict[str, np.ndarray] = {}
    everything = len(rows) == batch.rows
    for column in columns:
        values = batch.columns[column.name]
        if isinstance(values, RaggedColumn):
            arrays[column.name] = values.padded(rows, column.sized(sizes))
        else:
            arrays[column.name] = values if everything else values[rows]
    for name, lengths in batch.dimensions.items():
        arrays[name] = lengths if everything else lengths[rows]
    return arrays


def end_to_end(
    batch: DecodedRows, columns: Sequence[Column], rows: np.ndarray, sizes: Mapping[str, int], ragged: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Some rows with their lists end to end along the dimension ``ragged``, and each row's length along it.

    A row that cannot be computed has no entries.

    Args:
        batch: the decoded rows.
        columns: the kernel's inputs.
        rows: the numbers of the rows to take, in ascending order.
        sizes: the size of each other named dimension, to which lists are padded with zeros.
        ragged: the named dimension that comes first in the shape of some columns.
    """
    usable = rows[batch.status[rows] == Status.ok]
    arrays: dict[str, np.ndarray] = {}
    for column in columns:
        values = batch.columns[column.name]
        if not isinstance(values, RaggedColumn):
            arrays[column.name] = values[rows]
        elif column.shape[0] == ragged:
            arrays[column.name] = values.end_to_end(usable, column.sized({**sizes, ragged: 0})[1:])
        else:
            arrays[column.name] = values.padded(rows, column.sized(sizes))
    arrays |= {name: batch.dimensions[name][rows] for name in sizes}
    return arrays, batch.dimensions[ragged][rows]


def pad_batch(arrays: Mapping[str, np.ndarray], width: int) -> dict[str, np.ndarray]:
    """The arrays, each padded to ``width`` rows by repeating its last row."""

    def widen(array: np.ndarray) -> np.ndarray:
        missing = width - len(array)
        return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array

    return {name: widen(array) for name, array in arrays.items()}
