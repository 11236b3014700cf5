"""Timestamps of 96 bits, as Spark, Impala, Hive and others write them: read exactly, or refused.

Parquet's INT96 holds a day and the nanoseconds within it, which is more than 64 bits can. pyarrow decodes it in a unit
that one must choose: what lies out of its range wraps, and what is finer is cut off, without a word. So it is decoded
twice. In whole seconds everything fits; and the nanoseconds, of which 64 bits are left, say where in its second each
value lies. A unit of seconds is one that no other timestamp of Parquet's has, and so tells which columns these are.
"""

import io
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import types as pat

from jaxbatch.errors import InputError
from jaxbatch.input.arrow_arrays import is_null, to_arrow, to_numpy

SECONDS = "s"
"""The unit in which every file is opened …"""

NANOSECONDS = "ns"
"""… and that in which one with such columns is opened once more."""

_IN_SECONDS = pa.timestamp(SECONDS)
_PER_SECOND = {"us": 10**6, "ns": 10**9}
_DIGITS = 10**9


def holds_int96(kind: pa.DataType) -> bool:
    """Whether a type, of a file opened in seconds, is that of INT96 or has it inside."""
    return kind == _IN_SECONDS or any(holds_int96(kind.field(i).type) for i in range(kind.num_fields))


def in_exact_units(
    schema: pa.Schema, footer: bytes, declared: Mapping[str, pa.DataType], known: Mapping[str, str]
) -> pa.Schema:
    """The schema of a file opened in seconds, with the types in which its columns of INT96 are given.

    Those are of microseconds, which is what Spark writes, with its "for ever" of 9999-12-31; or of nanoseconds where
    the file's own Arrow schema has ``declared`` them, or earlier files of the output, whose types are ``known``, do.
    """
    if not any(holds_int96(field.type) for field in schema):
        return schema
    with pq.ParquetFile(io.BytesIO(footer), coerce_int96_timestamp_unit="us") as parquet:
        coarse = parquet.schema_arrow
    with pq.ParquetFile(io.BytesIO(footer), coerce_int96_timestamp_unit="ns") as parquet:
        fine = parquet.schema_arrow

    def given(place: int, field: pa.Field) -> pa.Field:
        if not holds_int96(field.type):
            return field
        if field.name in known:
            is_fine = known[field.name] == str(fine.field(place).type)
        else:
            is_fine = field.name in declared and _is_fine(declared[field.name])
        return (fine if is_fine else coarse).field(place)

    return pa.schema([given(*each) for each in enumerate(schema)], schema.metadata)


def _is_fine(kind: pa.DataType) -> bool:
    """Whether a type is of timestamps in nanoseconds, or has them inside."""
    kind = kind.value_type if pat.is_dictionary(kind) else kind
    nested = (kind.field(i).type for i in range(kind.num_fields))
    return kind.unit == "ns" if pat.is_timestamp(kind) else any(map(_is_fine, nested))


def side_by_side(
    one: Iterator[pa.RecordBatch], other: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """The same rows of two readers, as many at a time as both give in one batch."""
    left, right = next(one, None), next(other, None)
    while left is not None and right is not None:
        rows = min(left.num_rows, right.num_rows)
        yield left.slice(0, rows), right.slice(0, rows)
        left = left.slice(rows) if rows < left.num_rows else next(one, None)
        right = right.slice(rows) if rows < right.num_rows else next(other, None)


def exact(seconds: pa.Array, nanoseconds: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    """A column of type ``kind`` from what was decoded of it in both units.

    Raises:
        InputError: a value is one that the type cannot hold; ``where`` names the column.
    """
    if not holds_int96(seconds.type):
        return seconds
    if pat.is_timestamp(kind):
        return _instants(seconds, nanoseconds, kind, where)
    seconds, nanoseconds = (_without_offset(array) for array in (seconds, nanoseconds))
    given = zip(_children(seconds), _children(nanoseconds), strict=True)
    children = [exact(*both, kind.field(i).type, where) for i, both in enumerate(given)]
    own = len(seconds.buffers()) - sum(len(child.buffers()) for child in _children(seconds))
    return pa.Array.from_buffers(kind, len(seconds), seconds.buffers()[:own], children=children)


def _instants(seconds: pa.Array, nanoseconds: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    whole, wrapped = (to_numpy(array.view(pa.int64())) for array in (seconds, nanoseconds))
    digits = wrapped - whole * _DIGITS  # what has wrapped in both is gone in their difference
    scale = _PER_SECOND[kind.unit]
    values, lost = whole * scale + digits // (_DIGITS // scale), digits % (_DIGITS // scale) != 0
    unfit = np.flatnonzero(lost | (values // scale != whole))
    if len(unfit):
        first = unfit[0]
        value = f"{np.datetime64(int(whole[first]), 's')}.{digits[first]:09d}"
        raise InputError(
            f"{where} holds the INT96 timestamp {value}, which {kind} cannot hold: "
            "rewrite the column as 64-bit timestamps, or leave it out of [input] keep."
        )
    return to_arrow(values, ~is_null(seconds)).view(kind)


def _without_offset(array: pa.Array) -> pa.Array:
    return pa.concat_arrays([array]) if array.offset else array


def _children(array: pa.Array) -> list[pa.Array]:
    """The arrays inside one of a nested type that has no offset, which those of a map are given for a struct."""
    kind = array.type
    if pat.is_map(kind):
        entries = kind.field(0).type
        return [pa.StructArray.from_arrays([array.keys, array.items], fields=list(entries))]
    if pat.is_struct(kind):
        return [array.field(i) for i in range(kind.num_fields)]
    return [array.values]
