"""Values at the edges of their types, and types at the edges of what is taken."""

import math
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bad_inputs.conftest import JOB

IDENTITY = JOB.replace("jax.numpy:sin", "own.py:identity").replace("derivatives", "apply")
PAYLOADS = np.array([0x7FF8000000000000, 0xFFF8DEADBEEF0001, 0x7FF0000000000001, 0x8000000000000000, 1], np.uint64)
"""NaNs of either sign, quiet and signalling, with something in them; the negative zero; the least number there is."""


@pytest.fixture
def identity(bench):
    """The output of a function that gives back what it is given."""
    bench.file("own.py", "def identity(x):\n    return x\n")

    def identity(columns, *overrides):
        bench.tasks(columns, "tasks/a.parquet")
        return bench.output(bench.run(IDENTITY, *overrides, restart=True))

    return identity


def test_nulls(bench, identity):
    table = identity({"x": [1.0, None, 3.0]})
    assert table["value"].to_pylist() == [1.0, None, 3.0]
    assert table["x"].to_pylist() == [1.0, None, 3.0]
    assert table["status"].to_pylist() == ["ok", "null_input", "ok"]
    summary = bench.run(IDENTITY, "limits.max_failed_rows=0")
    assert (summary.exit_code, summary.failed_rows) == (3, 1)


def test_column_of_nulls_alone(identity):
    table = identity({"x": pa.array([None, None], pa.float64())})
    assert table["status"].to_pylist() == ["null_input"] * 2
    assert table["value"].null_count == 2


def test_column_of_no_type(bench, refusal):
    bench.tasks({"x": pa.nulls(2)}, "tasks/a.parquet")
    assert "x" in refusal()


@pytest.mark.parametrize("kept", [np.float64, np.float32])
def test_kept_columns_keep_their_bits(identity, kept):
    bits = PAYLOADS if kept is np.float64 else (PAYLOADS >> np.uint64(32)).astype(np.uint32)
    table = identity({"x": np.zeros(len(bits)), "kept": bits.view(kept)})
    assert (table["kept"].to_numpy().view(bits.dtype) == bits).all()


def test_input_columns_are_kept_with_their_bits_too(identity):
    table = identity({"x": PAYLOADS.view(np.float64)})
    assert (table["x"].to_numpy().view(np.uint64) == PAYLOADS).all()


def test_nan_infinities_and_the_negative_zero_are_computed_with(identity):
    values = [math.nan, math.inf, -math.inf, -0.0, 0.0, 1.0]
    table = identity({"x": values})
    np.testing.assert_array_equal(table["value"].to_numpy(), values)
    assert np.signbit(table["value"].to_numpy()[1:]).tolist() == [False, True, True, False, False]
    assert table["status"].to_pylist() == [*["nonfinite"] * 3, *["ok"] * 3]


@pytest.mark.parametrize(
    "kind", [pa.decimal128(38, 20), pa.decimal128(5, 0), pa.decimal256(60, 30), pa.decimal256(76, 0)], ids=str
)
def test_decimals(identity, kind):
    written = [Decimal("12.5"), Decimal("-0.1"), Decimal("98765432109876543.0123"), None]
    if kind.scale == 0:
        written = [Decimal(12000), Decimal(-98765), None]
    table = identity({"x": pa.array(written, kind)})
    assert table["x"].type == kind
    assert table["x"].to_pylist() == written
    assert table["value"].to_pylist() == [None if each is None else float(each) for each in written]


TIMES = {
    "date32": pa.array([0, 20_000, None], pa.date32()),
    "date64": pa.array([0, 86_400_000, None], pa.date64()),
    "timestamp": pa.array([-1, 2**62, None], pa.timestamp("ns")),
    "zoned": pa.array([0, 1, None], pa.timestamp("us", "Asia/Kathmandu")),
    "time": pa.array([0, 1, None], pa.time64("us")),
    "duration": pa.array([0, -1, None], pa.duration("ms")),
}


def test_dates_and_times_are_kept(identity):
    table = identity({"x": [1.0, 2.0, 3.0], **TIMES})
    for name, array in TIMES.items():
        assert table[name].cast(array.type).combine_chunks().equals(array), name


@pytest.mark.parametrize("name", [*TIMES, "text", "truth", "bytes", "struct"])
def test_no_number_where_a_number_is_wanted(bench, refusal, name):
    others = {"text": ["1"], "truth": [True], "bytes": [b"1"], "struct": [{"a": 1.0}]}
    array = TIMES.get(name, pa.array(others.get(name, [])))
    bench.tasks({"x": array}, "tasks/a.parquet")
    message = refusal()
    assert "'x'" in message
    stored = pq.read_schema(bench.folder / "tasks/a.parquet").field("x").type
    assert f"is {stored}, but numbers are needed" in message


@pytest.mark.parametrize("numbers", [pa.array([1.5, -2.0, None, 1.5]), pa.array([1, 2, None, 1], pa.int16())])
def test_numbers_stored_as_a_dictionary(identity, numbers):
    table = identity({"x": numbers.dictionary_encode()})
    assert table["x"].type == numbers.type
    assert table["value"].to_pylist() == numbers.cast(pa.float64()).to_pylist()
    assert table["status"].to_pylist() == ["ok", "ok", "null_input", "ok"]


@pytest.mark.parametrize("index", [pa.int8(), pa.uint16(), pa.int32()])
def test_texts_stored_as_a_dictionary(identity, index):
    texts = ["b", None, "a", "b"]
    table = identity({"x": [1.0] * 4, "text": pa.array(texts).cast(pa.dictionary(index, pa.string()))})
    assert table["text"].type == pa.string()
    assert table["text"].to_pylist() == texts


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.binary(2)], ids=str)
def test_texts_of_every_kind_are_kept(identity, kind):
    texts = pa.array([b"ab", None, b"cd"], pa.binary()).cast(kind) if pa.types.is_fixed_size_binary(kind) else (
        pa.array(["ab", None, "cd"]).cast(kind))  # fmt: skip
    table = identity({"x": [1.0] * 3, "text": texts})
    assert table["text"].to_pylist() == texts.to_pylist()
