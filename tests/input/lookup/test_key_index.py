"""Rows of a table found by key, against a dict of Python's values."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.input.lookup import hashing, key_index
from jaxbatch.input.lookup.key_columns import KeyColumns
from jaxbatch.input.lookup.key_index import KeyIndex, RepeatedKey

UNITS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
DAY = 86_400 * 10**9

INTEGERS = [getattr(pa, f"{sign}int{bits}")() for sign in ("", "u") for bits in (8, 16, 32, 64)]
TEXTS = [pa.string(), pa.large_string(), pa.string_view()]
BYTES = [pa.binary(), pa.large_binary(), pa.binary(2), pa.binary_view()]
DECIMALS = [pa.decimal128(9, 2), pa.decimal128(12, 5), pa.decimal256(50, 3), pa.decimal32(6, 1), pa.decimal64(15, 0)]
INSTANTS = [pa.timestamp(unit, zone) for unit in UNITS for zone in ("UTC", "Europe/Berlin")]
LOCAL = [pa.timestamp(unit) for unit in UNITS]
DATES = [pa.date32(), pa.date64()]
TIMES = [pa.time32("s"), pa.time32("ms"), pa.time64("us"), pa.time64("ns")]
DURATIONS = [pa.duration(unit) for unit in UNITS]
FAMILIES = [INTEGERS, TEXTS, BYTES, DECIMALS, INSTANTS, LOCAL, DATES, TIMES, DURATIONS, [pa.bool_()]]


def nanoseconds(kind: pa.DataType) -> int:
    """The unit of a type of times."""
    if pa.types.is_date(kind):
        return DAY if pa.types.is_date32(kind) else 10**6
    return UNITS[kind.unit]


def values(kind: pa.DataType) -> st.SearchStrategy[Any]:
    """Values of a type, as Arrow takes them: few, so that many are equal, and those at its ends."""
    if pa.types.is_boolean(kind):
        return st.booleans()
    if pa.types.is_integer(kind):
        limits = np.iinfo(kind.to_pandas_dtype())
        ends = {
            limits.min,
            limits.max,
            *(end for end in (2**31 - 1, 2**31, 2**63 - 1, -1) if limits.min <= end <= limits.max),
        }
        return st.sampled_from(sorted(int(end) for end in ends)) | st.integers(0, 4)
    if pa.types.is_decimal(kind):
        return st.integers(-5, 5).map(lambda whole: Decimal(whole) * 10) | st.integers(-999, 999).map(
            lambda digits: Decimal(digits).scaleb(-kind.scale)
        )
    if kind in TEXTS:
        return st.sampled_from(["", "a", "b", "ab", "abcdefgh", "abcdefghi", "abcdefgh\0", "é", "x" * 40])
    if kind in BYTES:
        return st.sampled_from([b"ab", b"\0\0", b"\0a", b"ba"])
    bits = 31 if kind.bit_width == 32 else 63
    ends = [] if pa.types.is_time(kind) else [2**bits - 1, -(2**bits), -(2**bits) + 1]
    step = 86_400_000 if pa.types.is_date64(kind) else 1
    small = st.integers(0, 3) | st.integers(0, 3).map(lambda seconds: seconds * (10**9 // nanoseconds(kind) or 1))
    return (small | st.sampled_from(ends or [0])).map(
        lambda value: abs(value) // step * step * (-1 if value < 0 else 1)
    )


def array(given: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if pa.types.is_temporal(kind):
        return pa.array(given, pa.int32() if kind.bit_width == 32 else pa.int64()).view(kind)
    if pa.types.is_decimal32(kind) or pa.types.is_decimal64(kind):
        return pa.array(given, pa.decimal128(kind.precision, kind.scale)).cast(kind)
    return pa.array(given, kind)


def meant(value: Any, kind: pa.DataType) -> Any:
    """What a value means, equal for equal values of types of one family."""
    return value * nanoseconds(kind) if pa.types.is_temporal(kind) and value is not None else value


@st.composite
def problems(draw: Callable[..., Any]) -> tuple[list[KeyColumns], list[list[Any]], list[list[Any]]]:
    """Types of the key's columns, and the columns of the table, its keys distinct, and of the rows."""
    families = draw(st.lists(st.sampled_from(FAMILIES), min_size=1, max_size=3))
    kinds = [KeyColumns(draw(st.sampled_from(each)), draw(st.sampled_from(each))) for each in families]
    given = [
        st.lists(st.tuples(*(st.none() | values(getattr(k, side)) for k in kinds)), max_size=12)
        for side in ("table", "rows")
    ]
    table: dict[Any, tuple[Any, ...]] = {}
    for row in draw(given[0]):
        key = tuple(meant(value, kind.table) for value, kind in zip(row, kinds, strict=True))
        table.setdefault(key if None not in key else object(), row)
    columns = [
        [list(each) for each in zip(*rows, strict=True)] or [[] for _ in kinds]
        for rows in (list(table.values()), draw(given[1]))
    ]
    return kinds, columns[0], columns[1]


@pytest.mark.parametrize("few", [0, 1 << 17])
@settings(max_examples=150, deadline=None)
@given(problem=problems())
def test_the_row_of_each_key_is_found(few, problem):
    kinds, table, rows = problem
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(key_index, "_FEW", few)
        index = KeyIndex(kinds, [array(each, kind.table) for each, kind in zip(table, kinds, strict=True)])
        found = index.places([array(each, kind.rows) for each, kind in zip(rows, kinds, strict=True)])
    wanted: dict[tuple[Any, ...], int] = {}
    for place, row in enumerate(zip(*table, strict=True)):
        key = tuple(meant(value, kind.table) for value, kind in zip(row, kinds, strict=True))
        if None not in key:
            wanted[key] = place
    keys = [tuple(meant(v, kind.rows) for v, kind in zip(row, kinds, strict=True)) for row in zip(*rows, strict=True)]
    assert found.type == pa.int32()
    assert found.to_pylist() == [wanted.get(key) for key in keys]


@pytest.mark.parametrize("seconds", [-9_223_372_037, 9_223_372_037])
def test_a_time_that_nanoseconds_cannot_hold_equals_none(seconds):
    wrapped = (seconds * 10**9 + 2**63) % 2**64 - 2**63
    kinds = KeyColumns(pa.timestamp("ns"), pa.timestamp("s"))
    index = KeyIndex([kinds], [array([seconds, 5], kinds.table)])
    assert index.places([array([wrapped, 5 * 10**9], kinds.rows)]).to_pylist() == [None, 1]


@pytest.mark.parametrize("kind", [pa.int64(), pa.string(), pa.decimal128(20, 1)], ids=str)
def test_slices_of_many_rows(kind):
    rng = np.random.default_rng(1)
    keys = rng.permutation(600_000)[:200_000]
    rows = rng.integers(0, 600_000, 50_000)
    index = KeyIndex([KeyColumns(kind, kind)], [pa.array(keys).cast(kind)])
    found = index.places([pa.array(rows).cast(kind).slice(1234, 40_000)])
    place = dict(zip(keys.tolist(), range(len(keys)), strict=True))
    assert found.to_pylist() == [place.get(row) for row in rows[1234:41_234].tolist()]


@pytest.mark.parametrize(
    "keys",
    [
        [["a", "b", None, None, "b"]],
        [[1, 1, 2, 2, 1], ["a", "b", "a", None, "b"]],
        [[2**62, 7, 0, None, 7]],
    ],
)
def test_a_repeated_key_is_found_and_nulls_are_not_repeated(keys):
    arrays = [pa.array(each) for each in keys]
    kinds = [KeyColumns(each.type, each.type) for each in arrays]
    with pytest.raises(RepeatedKey) as caught:
        KeyIndex(kinds, arrays)
    assert caught.value.rows == (1, 4)
    KeyIndex(kinds, [each.slice(0, 4) for each in arrays])


def test_equal_hashes_of_other_keys_are_told_apart(monkeypatch):
    weak = hashing.hashes_of

    def colliding(columns: Sequence[pa.Array], seed: int) -> np.ndarray:
        return weak(columns, seed) if seed > 2 else weak(columns, seed) & np.uint64(1)

    monkeypatch.setattr(key_index, "hashes_of", colliding)
    keys = pa.array([f"key {number}" for number in range(50)])
    index = KeyIndex([KeyColumns(pa.string(), pa.string())] * 2, [keys, keys])
    assert index.places([keys, keys]).to_pylist() == list(range(50))


@pytest.mark.parametrize(
    ("rows", "table", "fit"),
    [
        (pa.int32(), pa.string(), False),
        (pa.int64(), pa.decimal128(10, 0), False),
        (pa.float64(), pa.float64(), False),
        (pa.date32(), pa.timestamp("s"), False),
        (pa.timestamp("s"), pa.timestamp("s", "UTC"), False),
        (pa.string(), pa.binary(), False),
        (pa.bool_(), pa.int8(), False),
        (pa.decimal256(76, 0), pa.decimal128(38, 38), False),
        (pa.decimal256(70, 0), pa.decimal128(10, 5), True),
        (pa.list_(pa.int64()), pa.list_(pa.int64()), False),
        (pa.null(), pa.null(), False),
    ],
    ids=str,
)
def test_types_of_one_kind_fit(rows, table, fit):
    assert KeyColumns(rows, table).fit is fit
