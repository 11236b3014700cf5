"""Arrow types: which are lists, numbers, texts or keys, and what a type is without its dictionary."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from pyarrow import types as pat

from jaxbatch.columns import ColumnType


def is_list(kind: pa.DataType) -> bool:
    """Whether a type is one of Arrow's list types."""
    return pat.is_list(kind) or pat.is_large_list(kind) or pat.is_fixed_size_list(kind)


def normalised(kind: pa.DataType) -> pa.DataType:
    """The type without dictionary encoding, which is a matter of storage."""
    return kind.value_type if pat.is_dictionary(kind) else kind


def without_dictionary(kind: pa.DataType, declared: pa.DataType | None) -> pa.DataType:
    """The type of a column's values, where pyarrow forgets some of it because they are in a dictionary.

    It forgets what only the file's Arrow schema says: that values are durations, and the name of a time zone.

    Args:
        kind: the column's type as pyarrow reads it, without its dictionary.
        declared: its type in the file's Arrow schema; None if it has none.
    """
    if declared is None or not pat.is_dictionary(declared):
        return kind
    values = declared.value_type
    if pat.is_duration(values) and pat.is_int64(kind):
        return values
    if pat.is_timestamp(values) and pat.is_timestamp(kind) and kind.tz is not None:
        return pa.timestamp(kind.unit, values.tz)
    return kind


def column_type(kind: pa.DataType) -> ColumnType:
    """What a kernel may know of a stored type."""
    name, depth, length = str(kind), 0, None
    while is_list(kind):
        depth += 1
        length = kind.list_size if depth == 1 and pat.is_fixed_size_list(kind) else length
        kind = normalised(kind.value_type)
    eps = float(np.finfo(np.float64).eps)
    if pat.is_floating(kind):
        eps = float(np.finfo(kind.to_pandas_dtype()).eps)
        return ColumnType("float", depth, length, eps, name)
    if pat.is_decimal(kind):
        return ColumnType("float", depth, length, eps, name, whole=kind.scale <= 0)
    if pat.is_integer(kind):
        return ColumnType("int", depth, length, eps, name, whole=True)
    if pat.is_boolean(kind):
        return ColumnType("bool", depth, length, eps, name)
    text = pat.is_string(kind) or pat.is_large_string(kind) or pat.is_string_view(kind)
    return ColumnType("string" if text else "other", depth, length, eps, name)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type holds strings or bytes of any length, for which a dictionary is worthwhile."""
    return any(test(kind) for test in (pat.is_string, pat.is_large_string, pat.is_binary, pat.is_large_binary))


def is_key(kind: pa.DataType) -> bool:
    """Whether values of a type can name a group: integers, decimals, booleans, texts, bytes, dates and times."""
    kind = normalised(kind)
    return (
        pat.is_integer(kind)
        or pat.is_boolean(kind)
        or (pat.is_temporal(kind) and not pat.is_interval(kind))
        or pat.is_decimal(kind)
        or is_text(kind)
        or pat.is_fixed_size_binary(kind)
    )


def metadata_texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    """The metadata of a schema or a field as texts; empty where there is none."""
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}
