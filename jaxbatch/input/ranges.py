"""The range of a column's values in a row group: what footers say of it, and whether the values lie in it."""

import itertools
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from jaxbatch.errors import InputError, one_line
from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.input_file import InputFile, OpenFile, as_input_error
from jaxbatch.input.shards import Shard

_SHOWN = 40
"""Characters of a value that a message shows."""


def leaf_of(opened: OpenFile, name: str) -> int | None:
    """The number of the Parquet column called ``name``; None if there is none, or no row group."""
    return next((n for group in opened.chunks[:1] for n, chunk in enumerate(group) if chunk.names == (name,)), None)


def check_range(values: pa.Array, opened: OpenFile, file: InputFile, index: int, name: str) -> None:
    """Refuse values outside the range that the footer gives them, in a run whose plan relies on it.

    Some writers' statistics cover only the first of several dictionaries (apache/arrow issue 15042).

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
    stated = "none" if values.null_count or not claimed else _range(*claimed)
    raise InputError(
        f"{file.path}, row group {index}: column '{name}' holds {held}, but the file's statistics say {stated}.",
        "The file has wrong statistics: rewrite it with another Parquet writer, then run again.",
    )


def _extremes(values: pa.Array) -> tuple[Any, Any]:
    """The least and the largest value in the form that footers have, integers or bytes; None if there are none."""
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


def ranges_disjoint(files: Sequence[InputFile], shards: Sequence[Shard], column: str) -> bool:
    """Whether footers prove that no value of a column is in two parts: no nulls, and ranges that do not touch.

    Raises:
        InputError: a file has changed since its footer was read, or cannot be read.
    """
    if any(len(shard.parts) > 1 for shard in shards):
        return False
    ranges: list[tuple[Any, Any]] = []
    found_in = {number: _ranges(files[number], column) for number in {g.file for s in shards for g in s.row_groups}}
    if len({kind for kind, _ in found_in.values()}) > 1:
        return False
    by_file = {number: found for number, (_, found) in found_in.items()}
    for shard in shards:
        found = [by_file[group.file][group.index] for group in shard.row_groups]
        if not found or None in found:
            return False
        ranges.append((min(low for low, _ in found), max(high for _, high in found)))  # type: ignore[misc]
    ranges.sort()
    return all(before[1] < after[0] for before, after in itertools.pairwise(ranges))


def _ranges(file: InputFile, name: str) -> tuple[str, list[tuple[Any, Any] | None]]:
    """A column's physical and Arrow type, and its least and largest value in each row group.

    Ranges of the same types can be compared. A range is None where the footer does not give it, or counts nulls.
    """
    keys = dict(file.keys)
    if name in keys:
        value = keys[name]
        return "key", [None if value is None else (value, value)] * len(file.row_groups)
    with as_input_error(f"{file.path}, column '{name}'"), file.open() as opened:
        leaf = leaf_of(opened, name)
        if leaf is None:
            return "", [None] * len(file.row_groups)
        found = [group[leaf] for group in opened.chunks]
        stored = opened.parquet.schema_arrow.field(name).type
        kind = f"{found[0].physical_type} {stored}"
        if pa.types.is_decimal(stored):  # their bytes do not compare as their values do
            return kind, [None] * len(file.row_groups)
        signed = not pa.types.is_unsigned_integer(stored)
        return kind, [chunk.range(signed) if chunk.nulls == 0 else None for chunk in found]
