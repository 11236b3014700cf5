"""One part: published once and whole, its own receipt, and no part when it was cut short."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jaxbatch.errors import OutputError
from jaxbatch.output import part_file
from jaxbatch.output.claim import publish
from jaxbatch.output.part_file import NotAPart, Receipt, read_receipt
from jaxbatch.storage import LocalStore

RUN = "0123456789abcdef" * 4

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def encoded() -> tuple[memoryview, Receipt]:
    table = pa.table({"id": [1, 2, 3], "value": [0.5, 0.25, None]})
    return part_file.encode(table, part=0, fingerprint=RUN, compression="snappy", statuses={"ok": 3})


def files(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def together(count: int, call) -> list[Any]:
    """What ``call(number)`` returns or raises in threads that start at once."""
    barrier = threading.Barrier(count)

    def start(number: int) -> Any:
        barrier.wait()
        try:
            return call(number)
        except OutputError as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(start, range(count)))


def test_of_many_writers_exactly_one_wins(tmp_path):
    store = LocalStore(tmp_path)
    contents = [bytes([number]) * 200_000 for number in range(16)]
    for round_ in range(5):
        name = f"data/part-{round_:07d}-{RUN[:8]}.parquet"
        won = together(16, lambda number, name=name: store.create(name, contents[number]))
        assert won.count(True) == 1
        assert store.read(name) == contents[won.index(True)]
    assert len(files(tmp_path)) == 5


def test_the_same_part_may_be_published_by_all(tmp_path):
    data, receipt = encoded()
    assert together(8, lambda _: publish(LocalStore(tmp_path), data, receipt)) == [None] * 8
    assert files(tmp_path) == {receipt.name: bytes(data)}


def test_another_part_of_that_name_is_refused(tmp_path):
    data, receipt = encoded()
    answers = together(8, lambda number: publish(LocalStore(tmp_path), bytes(data) + bytes([number]), receipt))
    assert answers.count(None) == 1
    assert all("other contents" in str(answer) for answer in answers if answer is not None)
    assert list(files(tmp_path)) == [receipt.name]


def test_listing_beside_writers(tmp_path):
    """Temporary files of others come and go while a folder is listed."""
    store = LocalStore(tmp_path)
    stop = threading.Event()

    def write(number: int) -> None:
        while not stop.is_set():
            store.replace(f"data/{number}", b"x")

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        try:
            for _ in range(300):
                assert all(size >= 0 for _, size in store.list())
        finally:
            stop.set()
        assert [writer.result() for writer in writers] == [None] * 4


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
    stamp = {"part": index, "fingerprint": RUN, "compression": compression, "statuses": statuses}
    data, receipt = part_file.encode(table, **stamp)
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / receipt.name).write_bytes(data)
    assert read_receipt(LocalStore(tmp_path), receipt.name, len(data)) == receipt
    assert (receipt.part, receipt.rows, receipt.bytes) == (index, table.num_rows, len(data))
    assert (receipt.fingerprint, receipt.statuses) == (RUN, statuses)
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
        part_file.encode(each, part=0, fingerprint=RUN, compression="none", statuses={})[0] for each in (table, chunks)
    ]
    assert data[0] == data[1]


def test_a_dictionary_column_is_written_as_its_values():
    texts = ["ok", "nonfinite", None, "ok"]
    table = pa.table({"status": pa.array(texts).dictionary_encode()})
    data, _ = part_file.encode(table, part=0, fingerprint=RUN, compression="none", statuses={})
    assert pq.read_table(pa.BufferReader(data)).equals(pa.table({"status": texts}))


def test_memory_is_used_again_for_the_next_part():
    table, scratch = pa.table({"x": range(200_000)}), part_file.EncodeBuffer()
    stamp: dict[str, Any] = {"fingerprint": RUN, "compression": "none", "statuses": {}}
    alone = bytes(part_file.encode(table, part=1, **stamp)[0])
    first, _ = part_file.encode(table, part=0, scratch=scratch, **stamp)
    assert bytes(first) != alone
    second, _ = part_file.encode(table, part=1, scratch=scratch, **stamp)
    assert second == alone
    assert first == second, "it lies where the first lay"


def test_the_receipt_of_a_long_footer(tmp_path):
    table = pa.table({f"column {number}": [1.0] for number in range(800)})
    data, receipt = part_file.encode(table, part=0, fingerprint=RUN, compression="snappy", statuses={})
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
    data, receipt = part_file.encode(table, part=0, fingerprint=RUN, compression="none", statuses={})
    assert len(data) == receipt.bytes > 2 * table.nbytes + part_file._FOOTER_ROOM
    assert pq.read_table(pa.BufferReader(data)).equals(table)
