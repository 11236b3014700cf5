"""The outputs of a row function → Arrow columns."""

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from jaxbatch.columns import Column, Status
from jaxbatch.input.arrow_arrays import in_type, to_arrow, to_texts
from jaxbatch.input.types import is_list


def arrow_type(column: Column, precision: str) -> pa.DataType:
    """The Arrow type in which an output is written; ``precision`` is that of its floats."""
    if column.dtype == "string":
        kind: pa.DataType = pa.string()
    else:
        kind = pa.from_numpy_dtype(np.dtype(precision if column.dtype == "float" else column.dtype))
    for _ in column.shape:
        kind = pa.list_(kind)
    return kind


def encode(
    column: Column, values: np.ndarray, present: np.ndarray, lengths: Mapping[str, np.ndarray], precision: str
) -> pa.Array:
    """An output as an Arrow array.

    Args:
        column: the output.
        values: ``[rows, *shape]``, named dimensions padded.
        present: ``[rows]`` booleans, False where the result is null.
        lengths: ``[rows]`` for each named dimension; lists are cut to them.
        precision: the type of floats, ``"float64"`` or ``"float32"``.
    """
    kind = arrow_type(column, precision)
    if column.dtype == "string":
        return to_texts(column.choices).take(to_arrow(values, present))
    if not column.shape:
        return in_type(to_arrow(values, present), kind)
    rows, trailing = len(values), [1] * len(column.shape)
    sizes = [np.where(present, lengths[size] if isinstance(size, str) else size, 0) for size in column.shape]
    inside = np.ones((rows, *trailing), bool)
    for level, size in enumerate(sizes):
        axis = [1, *trailing]
        axis[level + 1] = values.shape[level + 1]
        inside = inside & (np.arange(values.shape[level + 1]).reshape(axis) < size.reshape(-1, *trailing))
    flat = values.reshape(-1) if inside.all() else values[inside]
    array = in_type(to_arrow(flat), _innermost(kind))
    for level in reversed(range(len(sizes))):
        entries = np.prod(np.stack([*sizes[:level], np.ones(rows, np.int64)]), axis=0)
        ends = np.cumsum(np.repeat(sizes[level], entries))
        missing = to_arrow(~present) if level == 0 and not present.all() else None
        offsets = to_arrow(np.concatenate([[0], ends]).astype(np.int32))
        array = pa.ListArray.from_arrays(offsets, array, mask=missing)
    return array


def with_statuses(table: pa.Table, status: np.ndarray, schema: pa.Schema) -> tuple[pa.Table, dict[str, int]]:
    """A table with its rows' statuses as the last column, dictionary-encoded; and how many rows have each status.

    Args:
        table: the other columns.
        status: ``[rows]`` of :class:`~jaxbatch.columns.Status`.
        schema: the part's schema, whose last field is the status.
    """
    counts = np.bincount(status).tolist() if status.any() else [len(status)]  # all ok, as most parts are
    occurring = [Status(number) for number, count in enumerate(counts) if count]
    places = np.zeros(len(status), np.int8)
    for place, each in enumerate(occurring[1:], 1):
        places[status == each] = place
    texts = to_texts([each.name for each in occurring])
    column = pa.DictionaryArray.from_arrays(to_arrow(places), texts)
    named = {each.name: counts[each] for each in occurring}
    return table.append_column(schema.field(len(schema) - 1).with_type(column.type), column), named


def _innermost(kind: pa.DataType) -> pa.DataType:
    while is_list(kind):
        kind = kind.value_type
    return kind
