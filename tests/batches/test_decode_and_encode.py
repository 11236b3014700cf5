"""Arrow columns to padded arrays and back, against plain Python lists."""

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.batches.decode import DecodedRows, decode, gather, pad_batch
from jaxbatch.batches.encode import arrow_type, encode
from jaxbatch.columns import Column, Status

unhurried = settings(deadline=None)

NUMBERS: dict[pa.DataType, Any] = {
    pa.int8(): int,
    pa.uint16(): int,
    pa.int64(): int,
    pa.float16(): lambda quarters: quarters / 4,
    pa.float32(): lambda quarters: quarters / 4,
    pa.float64(): lambda quarters: quarters / 4,
    pa.decimal128(9, 2): lambda quarters: Decimal(quarters) / 4,
    pa.decimal256(50, 3): lambda quarters: Decimal(quarters) / 4,
}
"""Stored types, and numbers in them that every one of our precisions holds exactly."""


def rarely(draw) -> bool:
    return draw(st.integers(0, 9)) == 9


@st.composite
def numbers(draw, length: int, kind: pa.DataType, nulls: bool = True) -> list[Any]:
    return [None if nulls and rarely(draw) else NUMBERS[kind](draw(st.integers(0, 100))) for _ in range(length)]


def list_kind(draw, inner: pa.DataType) -> tuple[pa.DataType, int | None]:
    """A list type around another, and its fixed length, if any."""
    length = draw(st.sampled_from([None, None, None, 2]))
    wrap = draw(st.sampled_from([pa.list_, pa.large_list]))
    return (wrap(inner) if length is None else pa.list_(inner, length)), length


@st.composite
def vectors(draw, rows: int, usual: int | None = None) -> tuple[pa.DataType, list[Any]]:
    """A type of lists, and rows of it of all lengths, or most of the usual one."""
    number = draw(st.sampled_from(list(NUMBERS)))
    kind, fixed = list_kind(draw, number)
    cells = []
    for _ in range(rows):
        length = fixed if fixed is not None else usual if usual and not rarely(draw) else draw(st.integers(0, 4))
        cells.append(None if rarely(draw) else draw(numbers(length, number)))
    return kind, cells


@st.composite
def matrices(draw, rows: int) -> tuple[pa.DataType, list[Any]]:
    """A type of lists of lists, and rows of it: most have inner lists of one length."""
    number = draw(st.sampled_from(list(NUMBERS)))
    inner, fixed_width = list_kind(draw, number)
    kind, fixed_height = list_kind(draw, inner)
    cells: list[Any] = []
    for _ in range(rows):
        height = draw(st.integers(0, 3)) if fixed_height is None else fixed_height
        width = draw(st.integers(0, 3)) if fixed_width is None else fixed_width
        widths = [width + 1 if fixed_width is None and rarely(draw) else width for _ in range(height)]
        cell = [None if rarely(draw) else draw(numbers(width, number)) for width in widths]
        cells.append(None if rarely(draw) else cell)
    return kind, cells


def stored(cells: list[Any], kind: pa.DataType) -> pa.Array:
    """The cells as a slice out of the middle of an array, offsets and all."""
    return pa.array([*cells[:1], *cells, *cells[-1:]], kind).slice(min(1, len(cells)), len(cells))


def decoded(columns: list[Column], arrays: list[pa.Array], precision: str, drop: str | None = None) -> DecodedRows:
    table = pa.table({f"stored_{column.name}": array for column, array in zip(columns, arrays, strict=True)})
    return decode(table, columns, {column.name: f"stored_{column.name}" for column in columns}, {}, precision, drop)


def has_null(cell: Any) -> bool:
    return cell is None or (isinstance(cell, list) and any(map(has_null, cell)))


def filled(cell: Any, shape: tuple[int, ...]) -> Any:
    """A cell as nested lists of a shape, zero where it has nothing."""
    if not shape:
        return 0.0 if cell is None else float(cell)
    items = [*(cell or []), *[None] * shape[0]][: shape[0]]
    return [filled(item, shape[1:]) for item in items]


def widths_of(matrix: list[Any]) -> set[int]:
    """The lengths of a matrix's rows, nulls aside."""
    return {len(row) for row in matrix if row is not None}


def check(
    batch: DecodedRows, columns: list[Column], cells: list[list[Any]], lengths: list[dict[str, int]], status, data
):
    """Compare statuses, lengths and the padded arrays of some rows that can be computed."""
    assert [Status(each) for each in batch.status] == status
    good = [row for row, each in enumerate(status) if each is Status.ok]
    for name in batch.dimensions:
        expected = [lengths[row][name] if status[row] is Status.ok else 0 for row in range(batch.rows)]
        assert batch.dimensions[name].tolist() == expected
    sizes = {
        name: max([lengths[row][name] for row in good], default=0)
        + data.draw(st.integers(0, 2), label=f"room in {name}")
        for name in batch.dimensions
    }
    taken = [row for row in good if not rarely(data.draw)] if data.draw(st.booleans()) else list(range(batch.rows))
    arrays = gather(batch, columns, np.array(taken, int), sizes)
    for column, column_cells in zip(columns, cells, strict=True):
        assert arrays[column.name].shape == (len(taken), *column.sized(sizes))
        for row, array in zip(taken, arrays[column.name], strict=True):
            if row in good:
                assert array.tolist() == filled(column_cells[row], column.sized(sizes))
    for name in batch.dimensions:
        assert arrays[name].tolist() == [batch.dimensions[name][row] for row in taken]


precisions = st.sampled_from(["float64", "float32"])
row_counts = st.integers(0, 8)


@unhurried
@given(st.data(), row_counts, st.sampled_from(list(NUMBERS)), precisions)
def test_decode_numbers(data, rows, kind, precision):
    cells = data.draw(numbers(rows, kind))
    batch = decoded([Column("x")], [stored(cells, kind)], precision)
    status = [Status.null_input if cell is None else Status.ok for cell in cells]
    check(batch, [Column("x")], [cells], [{}] * rows, status, data)
    assert gather(batch, [Column("x")], np.arange(rows), {})["x"].dtype == precision


@unhurried
@given(st.data(), row_counts, precisions)
def test_decode_lists_of_one_length(data, rows, precision):
    kind, cells = data.draw(vectors(rows, usual=3))
    column = Column("x", shape=(3,))
    status = [
        Status.null_input if has_null(cell) else Status.ok if len(cell) == 3 else Status.invalid_input for cell in cells
    ]
    check(decoded([column], [stored(cells, kind)], precision), [column], [cells], [{}] * rows, status, data)


@unhurried
@given(st.data(), row_counts, precisions)
def test_decode_lists_of_shared_length(data, rows, precision):
    (x_kind, xs), (y_kind, ys) = data.draw(vectors(rows, usual=2)), data.draw(vectors(rows, usual=2))
    columns = [Column("x", shape=("n",)), Column("y", shape=("n",))]
    status = [
        Status.null_input if has_null([x, y]) else Status.ok if len(x) == len(y) else Status.invalid_input
        for x, y in zip(xs, ys, strict=True)
    ]
    batch = decoded(columns, [stored(xs, x_kind), stored(ys, y_kind)], precision)
    check(batch, columns, [xs, ys], [{"n": len(x or [])} for x in xs], status, data)


@unhurried
@given(st.data(), row_counts, precisions)
def test_decode_lists_of_lists(data, rows, precision):
    kind, cells = data.draw(matrices(rows))
    column = Column("x", shape=("n", "p"))
    status = [
        Status.null_input if has_null(cell) else Status.invalid_input if len(widths_of(cell)) > 1 else Status.ok
        for cell in cells
    ]
    lengths = [{"n": len(cell or []), "p": max(widths_of(cell or []), default=0)} for cell in cells]
    check(decoded([column], [stored(cells, kind)], precision), [column], [cells], lengths, status, data)


@unhurried
@given(st.data(), row_counts, precisions)
def test_decode_without_nulls(data, rows, precision):
    """With ``drop_nulls``, an observation with a null in X or y is left out of both."""
    (x_kind, xs), (y_kind, ys) = data.draw(matrices(rows)), data.draw(vectors(rows, usual=2))
    columns = [Column("X", shape=("n", "p")), Column("y", shape=("n",))]
    status, lengths = [], []
    left: list[list[Any]] = [[], []]
    for X, y in zip(xs, ys, strict=True):
        wrong = X is not None and y is not None and (len(X) != len(y) or len(widths_of(X)) > 1)
        status.append(Status.null_input if X is None or y is None else Status.invalid_input if wrong else Status.ok)
        keep = [
            pair for pair in zip(X or [], y or [], strict=False) if status[-1] is Status.ok and not has_null([*pair])
        ]
        lengths.append({"n": len(keep), "p": max(widths_of(X or []), default=0)})
        for position, cells in enumerate(left):
            cells.append([pair[position] for pair in keep])
    batch = decoded(columns, [stored(xs, x_kind), stored(ys, y_kind)], precision, drop="n")
    check(batch, columns, left, lengths, status, data)


def test_decode_strings_and_constants():
    columns = [Column("f", "string", choices=("sin", "cos")), Column("rate"), Column("grid", shape=(2,))]
    table = pa.table({"which": pa.chunked_array([["cos", None], ["tan", "sin"]])})
    batch = decode(table, columns, {"f": "which"}, {"rate": 0.5, "grid": [1, 2]}, "float32")
    assert [Status(each).name for each in batch.status] == ["ok", "null_input", "invalid_input", "ok"]
    arrays = gather(batch, columns, np.array([0, 3]), {})
    assert arrays["f"].tolist() == [1, 0]
    assert arrays["rate"].tolist() == [0.5, 0.5]
    assert arrays["grid"].tolist() == [[1, 2], [1, 2]]
    assert arrays["grid"].dtype == "float32"


def test_a_batch_is_padded_with_its_last_row():
    wide = pad_batch({"x": np.array([[1, 2], [3, 4]]), "n": np.array([5, 6])}, 4)
    assert wide["x"].tolist() == [[1, 2], [3, 4], [3, 4], [3, 4]]
    assert wide["n"].tolist() == [5, 6, 6, 6]


@st.composite
def results(draw) -> tuple[Column, np.ndarray, np.ndarray, dict[str, np.ndarray], list[Any]]:
    """An output column, its padded values, which are present, their lengths, and the rows that they mean."""
    shape = draw(st.sampled_from([(), (2,), ("n",), ("n", "p"), ("n", 2), (2, "n")]))
    rows, sizes = draw(row_counts), {"n": draw(st.integers(1, 4)), "p": draw(st.integers(1, 3))}
    column = Column("c", draw(st.sampled_from(["float", "int64", "int32", "bool"])), shape)
    dtype = "float64" if column.dtype == "float" else column.dtype
    full = (rows, *column.sized(sizes))
    values = (np.arange(1, 1 + np.prod(full, dtype=int)) % 97).reshape(full).astype(dtype)
    flags = draw(st.lists(st.booleans(), min_size=rows, max_size=rows)) if draw(st.booleans()) else [True] * rows
    lengths = {
        name: np.array([draw(st.integers(0, sizes[name])) for _ in range(rows)], np.int64) for name in column.dimensions
    }
    meant: list[Any] = []
    for row in range(rows):
        cuts = tuple(slice(lengths[size][row] if isinstance(size, str) else size) for size in shape)
        meant.append(values[row][cuts].tolist() if flags[row] else None)
    return column, values, np.array(flags, bool), lengths, meant


@unhurried
@given(results(), precisions)
def test_encode(result, precision):
    column, values, present, lengths, meant = result
    array = encode(column, values, present, lengths, precision)
    array.validate(full=True)
    assert array.type == arrow_type(column, precision)
    assert array.to_pylist() == meant


def test_encode_strings():
    column = Column("c", "string", choices=("qr", "svd"))
    array = encode(column, np.array([1, 0, 9]), np.array([True, True, False]), {}, "float64")
    assert array.type == pa.string()
    assert array.to_pylist() == ["svd", "qr", None]


@pytest.mark.parametrize(("precision", "kind"), [("float64", pa.float64()), ("float32", pa.float32())])
def test_floats_are_written_in_the_precision(precision, kind):
    assert arrow_type(Column("c"), precision) == kind
    assert arrow_type(Column("c", shape=("n", "p")), precision) == pa.list_(pa.list_(kind))
    assert arrow_type(Column("c", "int32", (2,)), precision) == pa.list_(pa.int32())


@unhurried
@given(results().filter(lambda result: result[0].dtype == "float"))
def test_what_is_written_is_read_back(result):
    column, values, present, lengths, _ = result
    batch = decoded([column], [encode(column, values, present, lengths, "float64")], "float64")
    assert (batch.status == np.where(present, Status.ok, Status.null_input)).all()
    sizes = {name: values.shape[1 + column.shape.index(name)] for name in column.dimensions}
    arrays = gather(batch, [column], np.arange(batch.rows), sizes)
    inside = np.broadcast_to(present.reshape(-1, *[1] * len(column.shape)), values.shape).copy()
    for name, length in lengths.items():
        axis = 1 + column.shape.index(name)
        places = np.arange(values.shape[axis]).reshape([-1 if i == axis else 1 for i in range(values.ndim)])
        inside &= places < length.reshape(-1, *[1] * len(column.shape))
    np.testing.assert_array_equal(arrays["c"], np.where(inside, values, 0))
