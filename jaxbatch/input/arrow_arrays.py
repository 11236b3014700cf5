"""NumPy arrays → Arrow arrays and back; numbers are not copied.

Arrow's own conversions import pandas where it is installed, in case they are given its objects. That would cost every
process a tenth of a second.
"""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa


def one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array, copied only if it has several chunks."""
    if column.num_chunks < 2:
        return column.chunk(0) if column.num_chunks else pa.nulls(0, column.type)
    return column.combine_chunks()


def taken(array: pa.Array, places: pa.Array) -> pa.Array:
    """The entries of an array at some places, null where a place is null; of any type.

    Arrow (26) takes no views of texts or bytes, nor lists or structs of them.
    """
    try:
        return array.take(places)
    except pa.ArrowNotImplementedError:
        pass
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):
        large = pa.large_string() if pa.types.is_string_view(array.type) else pa.large_binary()
        return array.cast(large).take(places).cast(array.type)
    null = pa.nulls(1, array.type)
    pieces = [null if place is None else array.slice(place, 1) for place in places.to_pylist()]
    return pa.concat_arrays([array.slice(0, 0), *pieces])


def to_arrow(values: np.ndarray, present: np.ndarray | None = None) -> pa.Array:
    """Numbers or booleans as an Arrow array.

    Args:
        values: ``[rows]``, of integers, floats or booleans.
        present: ``[rows]`` booleans, False where the result is null; None if no row is.

    Raises:
        ValueError: a shape is not ``[rows]``, or ``values`` have another machine's byte order.
    """
    if values.ndim != 1 or not values.dtype.isnative or (present is not None and present.shape != values.shape):
        raise ValueError(f"{values.dtype}{values.shape}, present {None if present is None else present.shape}")
    kind = pa.from_numpy_dtype(values.dtype)
    data = _bits(values) if values.dtype == bool else pa.py_buffer(np.ascontiguousarray(values))
    valid = None if present is None or present.all() else _bits(present)
    return pa.Array.from_buffers(kind, len(values), [valid, data])


def to_texts(values: Sequence[str]) -> pa.StringArray:
    """Texts as an Arrow array; Arrow refuses more than 2 GiB of them."""
    encoded = [value.encode() for value in values]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int32)
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    return pa.Array.from_buffers(pa.string(), len(encoded), buffers)


def to_numpy(array: pa.Array, *, filled: int = 0) -> np.ndarray:
    """An Arrow array of numbers or booleans as a NumPy array ``[rows]`` of the same type; nulls become ``filled``.

    Raises:
        ValueError: the array is of another type.
    """
    values = _values(array)
    return np.where(is_null(array), values.dtype.type(filled), values) if array.null_count else values


def vectors_to_arrow(values: np.ndarray) -> pa.FixedSizeBinaryArray:
    """Rows of as many numbers, ``[rows, numbers]``, as an Arrow array of their bytes: Parquet's lists cost more."""
    bytes_each = values.shape[1] * values.itemsize
    return pa.Array.from_buffers(pa.binary(bytes_each), len(values), [None, pa.py_buffer(np.ascontiguousarray(values))])


def vectors_to_numpy(array: pa.FixedSizeBinaryArray, kind: np.dtype) -> np.ndarray:
    """The ``[rows, numbers]`` of :func:`vectors_to_arrow`, of this type."""
    bytes_each = array.type.byte_width
    if len(array) == 0:
        return np.empty((0, bytes_each // kind.itemsize), kind)
    data = np.frombuffer(array.buffers()[1], np.uint8, len(array) * bytes_each, array.offset * bytes_each)
    return data.view(kind).reshape(len(array), -1)


def is_null(array: pa.Array) -> np.ndarray:
    """``[rows]`` booleans: which entries of an Arrow array are null."""
    if pa.types.is_primitive(array.type) and not array.null_count:  # asking Arrow would import all its functions
        return np.zeros(len(array), bool)
    return _values(array.is_null())


def in_type(array: pa.Array, kind: pa.DataType) -> pa.Array:
    """An Arrow array cast to a type, if it has another."""
    return array if array.type == kind else array.cast(kind)


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
