"""INT96 timestamps, as Spark, Impala, Hive and others write them: read exactly, or refused.

Parquet's INT96 holds a day and the nanoseconds within it, which is more than 64 bits can hold. pyarrow decodes it in a
unit that the reader chooses: values outside its range wrap, and finer digits are cut off, both silently. So it is
decoded twice. In whole seconds everything fits; the nanoseconds, known modulo 2⁶⁴, give the place within the second.
No other timestamp of Parquet has the unit seconds, so this unit also tells which columns are INT96.
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
"""The unit in which every file is opened."""

NANOSECONDS = "ns"
"""The unit in which a file with INT96 columns is opened a second time."""

_IN_SECONDS = pa.timestamp(SECONDS)
_PER_SECOND = {"us": 10**6, "ns": 10**9}
_DIGITS = 10**9


def holds_int96(kind: pa.DataType) -> bool:
    """Whether a type in a file opened in seconds is INT96, or nests it."""
    return kind == _IN_SECONDS or any(holds_int96(kind.field(i).type) for i in range(kind.num_fields))


def in_exact_units(
    schema: pa.Schema, footer: bytes, declared: Mapping[str, pa.DataType], known: Mapping[str, str]
) -> pa.Schema:
    """The schema of a file opened in seconds, but with INT96 columns in the unit in which they are to be read.

    That is microseconds, which holds what Spark writes, its "for ever" of 9999-12-31 included.

    Args:
        schema: the file's schema, as opened in seconds.
        footer: the file's footer.
        declared: the types in the file's own Arrow schema; nanoseconds there make a column one of nanoseconds.
        known: the types by earlier files of the output, which decide instead for the columns among them.
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
    """Whether a type is a timestamp in nanoseconds, or nests one."""
    kind = kind.value_type if pat.is_dictionary(kind) else kind
    nested = (kind.field(i).type for i in range(kind.num_fields))
    return kind.unit == "ns" if pat.is_timestamp(kind) else any(map(_is_fine, nested))


def aligned_batches(
    one: Iterator[pa.RecordBatch], other: Iterator[pa.RecordBatch]
) -> Iterator[tuple[pa.RecordBatch, pa.RecordBatch]]:
    """Pairs of batches with the same rows from two readers, cut to the smaller batch each time."""
    left, right = next(one, None), next(other, None)
    while left is not None and right is not None:
        rows = min(left.num_rows, right.num_rows)
        yield left.slice(0, rows), right.slice(0, rows)
        left = left.slice(rows) if rows < left.num_rows else next(one, None)
        right = right.slice(rows) if rows < right.num_rows else next(other, None)


def exact(seconds: pa.Array, nanoseconds: pa.Array, kind: pa.DataType, where: str) -> pa.Array:
    """A column of type ``kind`` from the same column decoded in seconds and in nanoseconds.

    Raises:
        InputError: ``kind`` cannot hold a value; ``where`` names file and column in the message.
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
    digits = wrapped - whole * _DIGITS  # both are known modulo 2⁶⁴, and so is their difference, which is small
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
    """The arrays nested in one that has no offset; a map has a struct of its keys and items."""
    kind = array.type
    if pat.is_map(kind):
        entries = kind.field(0).type
        return [pa.StructArray.from_arrays([array.keys, array.items], fields=list(entries))]
    if pat.is_struct(kind):
        return [array.field(i) for i in range(kind.num_fields)]
    return [array.values]
