"""Timestamps of 96 bits come back exactly or are refused: a unit of Arrow's holds only some of them."""

import base64
import datetime
import json
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.errors import InputError
from jaxbatch.input.int96 import aligned_batches
from jaxbatch.planning.planner import plan
from tests.types.by_hand import Leaf, int96, parquet
from tests.types.count import COUNT

KEPT = """
kernel = "apply"
[params]
function = "jax.numpy:abs"
[input]
path = "tasks"
keep = ["k"]
"""
GROUPED = """
kernel = "count.py:Count"
[params]
by = ["k"]
[input]
path = "tasks"
[output]
path = "groups"
"""
US, NS = pa.timestamp("us"), pa.timestamp("ns")
AGES = [
    datetime.datetime(9999, 12, 31),
    datetime.datetime(1, 1, 1),
    None,
    datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999),
    datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
    datetime.datetime(2262, 4, 12),
]
EVER, BEGIN = AGES[:2]
NANOSECONDS = pa.array([-(2**63), 2**63 - 1, None, -1, 1, 0], pa.int64()).cast(NS)


@pytest.fixture
def written(bench):
    """A file whose timestamps have 96 bits, with the Arrow schema in it or without."""

    def written(column: pa.Array, name: str = "a", **options) -> None:
        table = pa.table({"x": np.zeros(len(column)), "k": column})
        bench.tasks(table, f"tasks/{name}.parquet", use_deprecated_int96_timestamps=True, **options)

    return written


@pytest.fixture
def kept(bench):
    """The column as it is kept."""
    return lambda: bench.output(bench.run(KEPT, restart=True))["k"].combine_chunks()


def reason(bench) -> str:
    """Why the one part of the job failed."""
    summary = bench.run(KEPT)
    assert summary.exit_code == 1
    errors = (Path(summary.output) / "_jaxbatch/errors.jsonl").read_text().splitlines()
    assert len(errors) == 1
    return json.loads(errors[0])["reason"]


@pytest.mark.parametrize("store_schema", [True, False])
def test_all_ages_are_kept_and_name_groups(bench, written, kept, store_schema):
    written(pa.array(AGES, US), store_schema=store_schema, row_group_size=4)
    assert kept().equals(pa.array(AGES, US))
    bench.file("count.py", COUNT)
    groups = bench.output(bench.run(GROUPED))
    assert groups["k"].to_pylist() == [*sorted(filter(None, AGES)), None]
    assert set(groups["rows"].to_pylist()) == {1}


def test_nanoseconds_are_kept_where_the_file_says_that_it_has_them(written, kept):
    written(NANOSECONDS)
    assert kept().equals(NANOSECONDS)


def test_nanoseconds_that_no_schema_tells_of_are_refused(bench, written):
    written(pa.array([0, 1_000, 1_001], NS), store_schema=False)
    assert reason(bench) == (
        f"{bench.folder}/tasks/a.parquet, row group 0, column 'k' holds the INT96 timestamp "
        "1970-01-01T00:00:00.000001001, which timestamp[us] cannot hold: rewrite the column as 64-bit "
        "timestamps, or leave it out of [input] keep."
    )


def test_what_nanoseconds_cannot_hold_is_refused(bench, written):
    """One field of a struct has nanoseconds, so the whole column is read in them; the other has a far date."""
    kind = pa.struct([("fine", NS), ("far", US)])
    written(pa.array([{"fine": 1, "far": EVER}], kind))
    assert "column 'k' holds the INT96 timestamp 9999-12-31T00:00:00.000000000, which timestamp[ns]" in reason(bench)


@pytest.mark.parametrize(("days", "nanoseconds"), [(0, 1), (2**32 - 1 - 2_440_588, 0), (0, -1_000), (107_000_000, 0)])
def test_what_microseconds_cannot_hold_is_refused(bench, days, nanoseconds):
    values = [int96(0, 0), None, int96(days, nanoseconds)]
    leaves = [Leaf("x", "DOUBLE", [struct.pack("<d", 0.0)] * 3), Leaf("k", "INT96", values)]
    (bench.folder / "tasks").mkdir()
    (bench.folder / "tasks/a.parquet").write_bytes(parquet(leaves))
    assert "column 'k' holds the INT96 timestamp" in reason(bench)


NESTED = {
    "list": pa.array([[EVER, None], None, [], [BEGIN]], pa.list_(US)),
    "large list": pa.array([[EVER, None], None, [], [BEGIN]], pa.large_list(US)),
    "list view": pa.array([[EVER, None], None, [], [BEGIN]], pa.list_view(US)),
    "list of one length": pa.array([[EVER, None], None, [BEGIN, BEGIN]], pa.list_(US, 2)),
    "struct": pa.array(
        [{"t": EVER, "s": "a"}, None, {"t": None}, {"t": BEGIN}], pa.struct([("s", pa.string()), ("t", US)])
    ),
    "map": pa.array([[("a", EVER), ("b", None)], None, [], [("c", BEGIN)]], pa.map_(pa.string(), US)),
    "map by time": pa.array([[(EVER, 1)], None, [(BEGIN, None)]], pa.map_(US, pa.int64())),
    "deep": pa.array(
        [[{"a": {"t": [EVER]}}], None, [None, {"a": None}, {"a": {"t": [None, BEGIN]}}]],
        pa.list_(pa.struct([("a", pa.struct([("t", pa.list_(US))]))])),
    ),
}


@pytest.mark.parametrize("rows", [1, 1000])
def test_nested_ones(bench, rows):
    """In several row groups, and beside each other in one file."""
    length = max(map(len, NESTED.values()))
    columns = {name: pa.concat_arrays([each, pa.nulls(length - len(each), each.type)]) for name, each in NESTED.items()}
    table = pa.table({"x": np.zeros(length), **columns})
    bench.tasks(table, "tasks/a.parquet", use_deprecated_int96_timestamps=True, row_group_size=rows)
    found = bench.output(bench.run(KEPT.replace('["k"]', json.dumps(list(NESTED)))))
    for name, column in columns.items():
        assert found[name].to_pylist() == column.to_pylist(), name


def test_batches_that_end_elsewhere():
    """A reader's batches end where one of its columns' chunks does: then those of two readers need not agree."""
    rows = pa.record_batch({"a": np.arange(10)})
    one, other = ([rows.slice(at, size) for at, size in cuts] for cuts in ([(0, 4), (4, 6)], [(0, 0), (0, 3), (3, 7)]))
    pairs = list(aligned_batches(iter(one), iter(other)))
    assert [left.num_rows for left, _ in pairs] == [0, 3, 1, 6]
    assert all(left.equals(right) for left, right in pairs)
    assert pa.Table.from_batches([left for left, _ in pairs]).equals(pa.Table.from_batches(one))


def test_files_that_say_otherwise_are_named(bench, written):
    written(pa.array(AGES, US), "a")
    written(pa.array(AGES, US), "b")
    written(NANOSECONDS, "c")
    with pytest.raises(InputError, match=r"c\.parquet: column 'k' is timestamp\[ns\], in other files timestamp\[us\]"):
        plan(bench.job(KEPT))


def test_an_output_that_grows_keeps_its_unit(bench, written):
    """Runs of earlier versions wrote nanoseconds."""
    text = KEPT + '[output]\npath = "results"\nmode = "append"\n'
    written(pa.array([1_000], NS), "a")
    bench.run(text)
    written(pa.array([2_000], NS), "b", store_schema=False)
    summary = bench.run(text)
    parts = sorted((Path(summary.output) / "data").glob("*.parquet"))
    assert [pq.read_schema(part).field("k").type for part in parts] == [NS, NS]


def test_values_as_whole_numbers_say(bench, kept):
    """Against Python's whole numbers, at random over all that microseconds hold."""
    rng = np.random.default_rng(0)
    micros = [int(value) for value in rng.integers(-(2**57), 2**57, 500)]  # before and after the Julian day 0
    days, within = zip(*(divmod(value, 86_400_000_000) for value in micros), strict=True)
    inside = [place for place, day in enumerate(days) if day >= -2_440_588]
    values = [int96(days[place], within[place] * 1000) for place in inside]
    leaves = [Leaf("x", "DOUBLE", [struct.pack("<d", 0.0)] * len(values)), Leaf("k", "INT96", values)]
    (bench.folder / "tasks").mkdir()
    (bench.folder / "tasks/a.parquet").write_bytes(parquet(leaves))
    assert kept().view(pa.int64()).to_pylist() == [micros[place] for place in inside]


def test_other_timestamps_are_not_taken_for_them(bench, kept):
    """Seconds, which are the mark of INT96 while a file is read, are no type of Parquet's, whatever a schema says."""
    seconds = pa.array([0, None, -(2**53)], pa.timestamp("s"))
    schema = pa.schema([("x", pa.float64()), ("k", pa.timestamp("s"))])
    stored = {"ARROW:schema": base64.b64encode(schema.serialize().to_pybytes()).decode()}
    table = pa.table({"x": np.zeros(3), "k": seconds}).replace_schema_metadata(stored)
    bench.tasks(table, "tasks/a.parquet", store_schema=False)
    assert kept().cast(pa.timestamp("s")).equals(seconds)
