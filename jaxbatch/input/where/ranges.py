"""What Hive keys and footers say of a column: the range of its values in a file or a row group."""

import struct
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from jaxbatch.input.footer_statistics import Chunk
from jaxbatch.input.input_file import InputFile, as_input_error, chunks_of, footer_of
from jaxbatch.input.where.outcomes import UNKNOWN, Range, of_literal

_FLOATS = {"FLOAT": "<f", "DOUBLE": "<d"}


def of_key(value: str | int | None) -> Range:
    """The range of a Hive key, which has one value in a file."""
    return replace(of_literal(value), is_literal=False)


def of_row_groups(file: InputFile, names: Sequence[str]) -> list[dict[str, Range]]:
    """For each row group of a file the ranges of some of its columns; one that is nested has none.

    Raises:
        InputError: the file has changed since it was planned, or cannot be read.
    """
    with as_input_error(file.path):
        return [
            {chunk.names[0]: _of_chunk(chunk) for chunk in group if chunk.is_flat and chunk.names[0] in names}
            for group in chunks_of(footer_of(file))
        ]


def _of_chunk(chunk: Chunk) -> Range:
    may_be_null, may_be_value = chunk.nulls != 0, chunk.nulls is None or chunk.nulls < chunk.values
    kind, decode = _decoder(chunk)
    if kind is None:
        return Range(UNKNOWN.kind, None, None, may_be_null, may_be_value, may_be_nan=True)
    nan = chunk.physical_type in _FLOATS
    if chunk.minimum is None or chunk.maximum is None or not chunk.covers_all:
        return Range(kind, None, None, may_be_null, may_be_value, may_be_nan=nan)
    try:
        low, high = decode(chunk.minimum), decode(chunk.maximum)
    except (struct.error, ValueError):
        return Range(kind, None, None, may_be_null, may_be_value, may_be_nan=nan)
    if not low <= high:  # also where one is NaN
        low = high = None
    return Range(kind, low, high, may_be_null, may_be_value, may_be_nan=nan)


def _decoder(chunk: Chunk) -> tuple[Any, Any]:
    """The kind of a chunk's values, and a function from a stored bound to one of a :class:`Range`; None if unknown."""
    logical, physical, size = chunk.logical, chunk.physical_type, chunk.value_bytes

    def integer(stored: bytes) -> int:
        if len(stored) != size:
            raise ValueError("a bound of another length")
        return int.from_bytes(stored, "little", signed=logical.signed)

    whole = physical in ("INT32", "INT64")
    if logical.kind == "decimal":
        if whole:
            return "number", lambda stored: Fraction(integer(stored), 10**logical.scale)
        return "number", lambda stored: Fraction(int.from_bytes(stored, "big", signed=True), 10**logical.scale)
    if logical.kind in ("date", "time") and whole:
        kind = "date" if logical.kind == "date" else "zoned" if logical.in_utc else "time"
        return kind, lambda stored: integer(stored) * logical.unit
    if logical.kind == "text" and physical == "BYTE_ARRAY":
        return "text", bytes
    if physical in _FLOATS:
        return "number", lambda stored: struct.unpack(_FLOATS[physical], stored)[0]
    return ("number", integer) if whole else (None, None)
