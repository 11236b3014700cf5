"""One part: published once and whole, its own receipt, and no part when it was cut short."""

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxbatch.output import part_file
from jaxbatch.output.encode_buffers import EncodeBuffer
from jaxbatch.output.publish import publish
from jaxbatch.output.receipt import NotAPart, read_receipt
from jaxbatch.storage import LocalStore
from tests.output.helpers import OURS, encoded

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw) -> pa.Table:
    rows = draw(st.integers(0, 6))
    column = {
        "number": st.none() | st.floats(width=32),
        "text": st.none() | st.text(max_size=5),
        "list": st.none() | st.lists(st.none() | st.integers(-9, 9), max_size=3),
    }
    kinds = {"number": pa.float32(), "text": pa.string(), "list": pa.list_(pa.int64())}
    names = draw(st.lists(st.sampled_from(list(column)), min_size=1, unique=True))
    return pa.table(
        {name: pa.array(draw(st.lists(column[name], min_size=rows, max_size=rows)), kinds[name]) for name in names}
    )


@unhurried
@given(
    table=tables(),
    index=st.integers(0, 10**8),
    compression=st.sampled_from(["none", "snappy", "gzip", "brotli", "lz4", "zstd"]),
    statuses=st.dictionaries(st.sampled_from(["ok", "nonfinite", "null_input"]), st.integers(1, 9)),
)
def test_a_part_is_its_own_receipt(tmp_path, table, index, compression, statuses):
    stamp = {"part": index, "fingerprint": OURS, "compression": compression, "statuses": statuses}
    data, receipt = part_file.encode(table, **stamp)
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / receipt.name).write_bytes(data)
    assert read_receipt(LocalStore(tmp_path), receipt.name, len(data)) == receipt
    assert (receipt.part, receipt.rows, receipt.bytes) == (index, table.num_rows, len(data))
    assert (receipt.fingerprint, receipt.statuses) == (OURS, statuses)
    assert str(pq.read_table(pa.BufferReader(data)).to_pylist()) == str(table.to_pylist())


@settings(unhurried, max_examples=20)
@given(
    rows=st.integers(1, 9_000) | st.integers(40_000, 60_000),
    borders=st.lists(
        st.integers(0, 9)
        | st.integers(1, 58).map(lambda writes: 1024 * writes)
        | st.integers(1, 30).map(lambda pages: 2048 * pages)
        | st.integers(0, 60_000)
    ),
    nulls=st.sampled_from([0.0, 0.001, 0.5]),
    seed=st.integers(0, 99),
)
def test_chunk_borders_do_not_reach_the_bytes(rows, borders, nulls, seed):
    rng = np.random.default_rng(seed)
    lists = np.arange(64 * rows).reshape(rows, 64).tolist()  # a page of them ends for its size
    columns = {
        "number": rng.normal(size=rows).tolist(),
        "few texts": rng.integers(0, 300, rows).astype(str).tolist(),
        "many texts": [f"{number:030d}" for number in rng.integers(0, 10**9, rows)],  # their dictionary overflows
        "long texts": [f"{number}" * 300 for number in rng.integers(0, 9, rows)],
        "list": [values[: 1 + row % 64] for row, values in enumerate(lists)],
    }
    table = pa.table(
        {name: [None if rng.random() < nulls else value for value in values] for name, values in columns.items()}
    )
    ends = [0, *sorted(border for border in set(borders) if 0 < border < rows), rows]
    chunks = pa.concat_tables([table.slice(start, end - start) for start, end in itertools.pairwise(ends)])
    data = [
        part_file.encode(each, part=0, fingerprint=OURS, compression="none", statuses={})[0] for each in (table, chunks)
    ]
    assert data[0] == data[1]


def test_a_dictionary_column_is_written_as_its_values():
    texts = ["ok", "nonfinite", None, "ok"]
    table = pa.table({"status": pa.array(texts).dictionary_encode()})
    data, _ = part_file.encode(table, part=0, fingerprint=OURS, compression="none", statuses={})
    assert pq.read_table(pa.BufferReader(data)).equals(pa.table({"status": texts}))


def test_memory_is_used_again_for_the_next_part():
    table, buffer = pa.table({"x": range(200_000)}), EncodeBuffer()
    stamp: dict[str, Any] = {"fingerprint": OURS, "compression": "none", "statuses": {}}
    alone = bytes(part_file.encode(table, part=1, **stamp)[0])
    first, _ = part_file.encode(table, part=0, buffer=buffer, **stamp)
    assert bytes(first) != alone
    second, _ = part_file.encode(table, part=1, buffer=buffer, **stamp)
    assert second == alone
    assert first == second, "it lies where the first lay"


def test_the_receipt_of_a_long_footer(tmp_path):
    table = pa.table({f"column {number}": [1.0] for number in range(800)})
    data, receipt = part_file.encode(table, part=0, fingerprint=OURS, compression="snappy", statuses={})
    assert int.from_bytes(data[-8:-4], "little") > 64 * 1024
    publish(LocalStore(tmp_path), data, receipt)
    assert read_receipt(LocalStore(tmp_path), receipt.name, len(data)) == receipt


@unhurried
@given(length=st.integers(0, len(encoded()[0]) - 1))
def test_no_truncated_part_has_a_receipt(tmp_path, length):
    data, receipt = encoded()
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / receipt.name).write_bytes(data[:length])
    with pytest.raises(NotAPart):
        read_receipt(LocalStore(tmp_path), receipt.name, length)


@pytest.mark.parametrize("change", [lambda data: data[:20] + data[30:], lambda data: data[:20] + b"x" + data[20:]])
def test_a_part_with_a_whole_footer_but_other_data_has_no_receipt(tmp_path, change):
    name, data = encoded()[1].name, change(bytes(encoded()[0]))
    LocalStore(tmp_path).create(name, data)
    with pytest.raises(NotAPart, match="bytes of data"):
        read_receipt(LocalStore(tmp_path), name, len(data))


def test_parquet_of_others_has_no_receipt(tmp_path):
    pq.write_table(pa.table({"a": [1]}), tmp_path / "x.parquet")
    with pytest.raises(NotAPart):
        read_receipt(LocalStore(tmp_path), "x.parquet", (tmp_path / "x.parquet").stat().st_size)


def test_a_file_that_is_larger_than_its_table_is_written_all_the_same():
    """A row, and a footer with a long name for each of its numbers."""
    table = pa.table({f"{'long' * 200} {number}": [1.0] for number in range(1000)})
    data, receipt = part_file.encode(table, part=0, fingerprint=OURS, compression="none", statuses={})
    assert len(data) == receipt.bytes > 2 * table.nbytes + part_file._FOOTER_ROOM
    assert pq.read_table(pa.BufferReader(data)).equals(table)
