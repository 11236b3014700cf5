"""NumPy arrays as Arrow ones and back; the memory of numbers is shared.

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
    return column.combine_chunks()


def to_arrow(values: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """Numbers or truth values of ``[rows]`` as an Arrow array, null where not ``present``.

    Raises:
        ValueError: the shapes are not ``[rows]``, or the numbers are in another machine's order of bytes.
    """
    if values.ndim != 1 or not values.dtype.isnative or (present is not None and present.shape != values.shape):
        raise ValueError(f"{values.dtype}{values.shape}, present {None if present is None else present.shape}")
    kind = pa.from_numpy_dtype(values.dtype)
    data = _bits(values) if values.dtype == bool else pa.py_buffer(np.ascontiguousarray(values))
    valid = None if present is None or present.all() else _bits(present)
    return pa.Array.from_buffers(kind, len(values), [valid, data])


def to_texts(values: Sequence[str]) -> pa.StringArray:
    """A few texts as an Arrow array; Arrow refuses them beyond 2 GiB."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def to_numpy(array: pa.Array, *, filled: int = 0) -> np.ndarray:
    """An Arrow array of numbers or truth values as ``[rows]``; those that are null, as ``filled``.

    Raises:
        ValueError: it holds something else.
    """
    values = _values(array)
    return np.where(is_null(array), values.dtype.type(filled), values) if array.null_count else values


def is_null(array: pa.Array) -> np.ndarray:
    """Which of an Arrow array are null, as truth values of ``[rows]``."""
    return _values(array.is_null())


def _values(array: pa.Array) -> np.ndarray:
    kind = np.dtype(array.type.to_pandas_dtype())
    if kind.kind not in "iufb":
        raise ValueError(f"{array.type} is not a type of numbers")
    if len(array) == 0:
        return np.empty(0, kind)
    data = array.buffers()[1]
    if kind.kind == "b":
        first, skipped = divmod(array.offset, 8)
        stored = np.frombuffer(data, np.uint8, offset=first)
        return np.unpackbits(stored, count=skipped + len(array), bitorder="little")[skipped:].view(bool)
    return np.frombuffer(data, kind, count=len(array), offset=array.offset * kind.itemsize)


def _bits(truths: np.ndarray) -> pa.Buffer:
    return pa.py_buffer(np.packbits(truths, bitorder="little"))
