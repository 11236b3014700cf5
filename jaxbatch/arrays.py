"""NumPy arrays as Arrow ones and back, their memory shared.

Arrow's own ways there import pandas where it is installed, in case they are given something of it: a tenth of a second
of every process.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, copied only where it is in several."""
    if column.num_chunks < 2:
        return column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)
    combined = column.combine_chunks()
    return combined.chunk(0) if isinstance(combined, pa.ChunkedArray) else combined


def to_arrow(values: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """Numbers or truth values of ``[rows]`` as an Arrow array, null where not ``present``."""
    kind = pa.from_numpy_dtype(values.dtype)
    data = _bits(values) if values.dtype == bool else pa.py_buffer(np.ascontiguousarray(values))
    valid = None if present is None or present.all() else _bits(present)
    return pa.Array.from_buffers(kind, len(values), [valid, data])


def to_texts(values: Sequence[str]) -> pa.StringArray:
    """Texts as an Arrow array."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def to_numpy(array: pa.Array, *, filled: int = 0) -> np.ndarray:
    """An Arrow array of numbers or truth values as ``[rows]``; those that are null, as ``filled``."""
    values = _values(array)
    return np.where(is_null(array), values.dtype.type(filled), values) if array.null_count else values


def is_null(array: pa.Array) -> np.ndarray:
    """Which of an Arrow array are null, as truth values of ``[rows]``."""
    return _values(array.is_null()) if array.null_count else np.zeros(len(array), bool)


def _values(array: pa.Array) -> np.ndarray:
    data = array.buffers()[1]
    end = array.offset + len(array)
    if pa.types.is_boolean(array.type):
        bits = np.unpackbits(np.frombuffer(data, np.uint8), count=end, bitorder="little") if end else np.zeros(0)
        return bits[array.offset :].astype(bool)
    kind = array.type.to_pandas_dtype()
    return np.frombuffer(data, kind, count=len(array), offset=array.offset * np.dtype(kind).itemsize)


def _bits(truths: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
