"""A column's range in a row group: as the footer has it, and whether the values are in it."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jaxbatch.errors import InputError, one_line
from jaxbatch.input.input_file import InputFile, OpenFile

_SHOWN = 40
"""Characters of a value in an error."""


def leaf_of(opened: OpenFile, name: str) -> int | None:
    """The number of the Parquet column of that name; None without such a column, or without a row group."""
    return next((n for group in opened.chunks[:1] for n, chunk in enumerate(group) if chunk.names == (name,)), None)


def check_range(values: pa.Array, opened: OpenFile, file: InputFile, index: int, name: str) -> None:
    """Refuse values of a column that the footer denies, in a run whose plan went by the footer.

    Writers are known whose statistics cover the first of several dictionaries only (apache/arrow issue 15042).

    Raises:
        InputError: there is a value outside the row group's range, or a null where the footer counts none.
    """
    leaf = leaf_of(opened, name)
    kind = opened.parquet.schema_arrow.field(name).type
    claimed = None if leaf is None else opened.chunks[index][leaf].range(not pa.types.is_unsigned_integer(kind))
    least, most = _extremes(values)
    if claimed and not values.null_count and (least is None or claimed[0] <= least <= most <= claimed[1]):
        return
    held = "nulls" if values.null_count else _range(least, most)
    told = "none" if values.null_count or not claimed else _range(*claimed)
    raise InputError(
        f"{file.path}, row group {index}: column '{name}' holds {held}, but the file's statistics say {told}.",
        "The file has wrong statistics: rewrite it with another Parquet writer, then run again.",
    )


def _extremes(values: pa.Array) -> tuple[Any, Any]:
    """The least and the largest value as a footer has them, integers or bytes; None without values."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_temporal(values.type):
        values = values.view(pa.int32() if values.type.bit_width == 32 else pa.int64())
    elif not pa.types.is_integer(values.type):
        values = values.cast(pa.large_binary())
    found = pc.min_max(values)
    return found["min"].as_py(), found["max"].as_py()


def _range(least: Any, most: Any) -> str:
    return f"{one_line(str(least))[:_SHOWN]} to {one_line(str(most))[:_SHOWN]}"
