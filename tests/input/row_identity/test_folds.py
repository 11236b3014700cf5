"""A row's key is the documented fold of what names it, and the same however that is stored."""

from datetime import UTC, date, datetime

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxbatch.input.row_identity.folds import can_name
from jaxbatch.input.row_identity.identity import RowIdentity
from jaxbatch.input.row_identity.row_numbers import NUMBER, starts
from tests.input.row_identity import by_jax


def keys_by(columns: dict[str, pa.Array], seed: int = 7, use: int = by_jax.KEYS) -> list[list[int]]:
    table = pa.table(columns)
    return RowIdentity(tuple(columns)).keys(table, seed, use).pairs(table.num_rows).tolist()


def test_file_and_place():
    named_by = RowIdentity(names=("a.parquet", "sub/ä.parquet"))
    first, second = starts(0, [10, 5])[1], starts(1, [2**33, 4])[1]
    numbers = [first - 1, first + 2, second, second + 3]
    table = pa.table({NUMBER: numbers})
    for use in (by_jax.KEYS, by_jax.SAMPLE):
        wanted = [
            by_jax.of_place(7, use, "a.parquet", 9),
            by_jax.of_place(7, use, "a.parquet", 12),
            by_jax.of_place(7, use, "sub/ä.parquet", 2**33),
            by_jax.of_place(7, use, "sub/ä.parquet", 2**33 + 3),
        ]
        assert named_by.keys(table, 7, use).pairs(4).tolist() == [by_jax.words(key) for key in wanted]


@given(
    st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5),
            st.dates(),
            st.datetimes(),
        ),
        min_size=1,
        max_size=4,
    )
)
@settings(max_examples=25, deadline=None)
def test_values(rows):
    kinds = (pa.int64(), pa.string(), pa.date32(), pa.timestamp("us"))
    columns = {str(at): pa.array(values, kinds[at]) for at, values in enumerate(zip(*rows, strict=True))}
    assert keys_by(columns) == [by_jax.words(by_jax.of_values(7, by_jax.KEYS, *row)) for row in rows]


WHEN = datetime(1969, 12, 31, 23, 59, 58, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "kinds"),
    [
        (5, [pa.int8(), pa.uint8(), pa.int16(), pa.uint16(), pa.int32(), pa.uint32(), pa.int64(), pa.uint64()]),
        (-5, [pa.int8(), pa.int16(), pa.int32(), pa.int64()]),
        ("text", [pa.string(), pa.large_string(), pa.string_view()]),
        (date(1969, 12, 30), [pa.date32(), pa.date64()]),
        (WHEN, [pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC", "Asia/Tokyo")]),
    ],
)
def test_storage_makes_no_difference(value, kinds):
    found = {str(keys_by({"x": pa.array([value], kind)})) for kind in kinds}
    assert found == {str([by_jax.words(by_jax.of_values(7, by_jax.KEYS, value))])}
    assert all(map(can_name, kinds))


def test_different_values_have_different_keys():
    same_bits = {
        "negative": pa.array([-1], pa.int64()),
        "large": pa.array([2**64 - 1], pa.uint64()),
        "text": pa.array(["-1"]),
        "day": pa.array([-1], pa.int32()).view(pa.date32()),
        "second": pa.array([-1], pa.int64()).view(pa.timestamp("s")),
        "zero": pa.array([0]),
        "empty": pa.array([""]),
    }
    assert len({str(keys_by({"x": array})) for array in same_bits.values()}) == len(same_bits)
    order = keys_by({"x": pa.array([1]), "y": pa.array([2])})
    assert order != keys_by({"x": pa.array([2]), "y": pa.array([1])})


def test_the_name_of_a_column_makes_no_difference():
    assert keys_by({"x": pa.array([1])}) == keys_by({"y": pa.array([1])})


def test_many_rows_of_mixed_sign():
    numbers = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, 300)
    wanted = [by_jax.words(by_jax.of_values(7, by_jax.KEYS, int(each))) for each in numbers[-3:]]
    assert keys_by({"x": pa.array(numbers)})[-3:] == wanted


def test_a_text_that_is_no_utf_8_has_a_key_too():
    broken = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    assert len(keys_by({"x": broken})) == 1


def test_nulls_have_no_name():
    table = pa.table({"a": pa.array([1, None, 3]), "b": pa.array(["x", "y", None])})
    assert RowIdentity(("a", "b")).named(table).tolist() == [True, False, False]
    assert len(RowIdentity(("a", "b")).keys(table, 0, 0).pairs(3)) == 3
    assert len(keys_by({"b": pa.nulls(2, pa.string())})) == 2


@pytest.mark.parametrize(
    "kind", [pa.float64(), pa.bool_(), pa.decimal128(5), pa.binary(), pa.time32("s"), pa.list_(pa.int8())]
)
def test_what_cannot_name_a_row(kind):
    assert not can_name(kind)
