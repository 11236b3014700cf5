"""Few bytes that become many, long texts, and many files and row groups: memory and time stay bounded."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxbatch.execution.compute_slots import ShardAbandoned
from jaxbatch.execution.host_memory import HostMemoryPool, MemoryLimitExceeded
from jaxbatch.input import row_reader
from tests.bad_inputs.conftest import JOB
from tests.conftest import Bench

MIB = 2**20

SCRIPT = """
import sys
from pathlib import Path
from jaxbatch import cli
from jaxbatch.compilation import device_memory
if int(sys.argv[1]):
    device_memory.host_bytes = lambda: int(sys.argv[1])
try:
    cli.main(["run", "job.toml", "--engine", "local", "--quiet", *sys.argv[2:]])
finally:  # not getrusage: a child begins with its parent's peak
    status = Path("/proc/self/status").read_text()
    print("peak", int(status.split("VmHWM:")[1].split()[0]) * 1024)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="peaks are read from /proc")


def run(bench: Bench, *overrides: str, memory: int = 0) -> tuple[subprocess.CompletedProcess[str], int]:
    """Run the job in a process of its own, on a machine of so much memory if any is given: how it ended, its peak."""
    bench.file("job.toml", JOB)
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(memory), *(word for override in overrides for word in ("--set", override))],
        cwd=bench.folder,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert "peak" in ended.stdout, ended
    return ended, int(ended.stdout.split("peak")[1])


@pytest.fixture(scope="module")
def baseline(tmp_path_factory: pytest.TempPathFactory) -> int:
    """The peak of a job of one row: the interpreter, its libraries and the compiler."""
    bench = Bench(tmp_path_factory.mktemp("baseline"))
    bench.tasks({"x": [1.0]}, "tasks/a.parquet")
    ended, peak = run(bench)
    assert ended.returncode == 0
    return peak


def test_bomb_of_one_number(bench, baseline):
    """20 million rows in one row group of 85 KiB. A part of a million rows, copied twice, is some 75 MB and a chunk of
    131,072 a few more; all of the row group's numbers at once would be 160, and its results 320."""
    rows = 20_000_000
    table = pa.table({"x": pa.repeat(pa.scalar(1.5), rows)})
    path = bench.tasks(table, "tasks/a.parquet", row_group_size=rows, compression="zstd")
    assert path.stat().st_size < 200_000
    assert pq.read_metadata(path).num_row_groups == 1
    ended, peak = run(bench, "input.keep=[]")
    assert ended.returncode == 0, ended.stderr
    assert peak < baseline + 200 * MIB
    parts = list((bench.folder / "results/data").iterdir())
    assert sum(pq.read_metadata(part).num_rows for part in parts) == rows


def test_bomb_of_lists(bench, baseline):
    """500 lists of 100,000 equal numbers, 400 MB of them, in a few hundred KB: a row has a few bytes as stored."""
    lists = pa.ListArray.from_arrays(pa.array(np.arange(501) * 100_000, pa.int32()), pa.repeat(1.5, 50_000_000))
    path = bench.tasks({"x": lists}, "tasks/a.parquet", compression="zstd")
    assert path.stat().st_size < 500_000
    bench.file("own.py", "def total(x):\n    return x.sum()\n")
    ended, peak = run(bench, 'kernel="apply"', 'params.function="own.py:total"', "input.keep=[]")
    assert ended.returncode == 0, ended.stderr
    assert peak < baseline + 700 * MIB


def texts_of_10_mb(bench, rows: int, shared: bool) -> None:
    text = "ab" * 5_000_000
    if shared:
        column: Any = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array([text]))
    else:
        column = pa.array([f"{row:04d}{text}" for row in range(rows)])
    bench.tasks(
        {"x": np.arange(float(rows)), "text": column},
        "tasks/a.parquet",
        use_dictionary=["text"] if shared else False,
        dictionary_pagesize_limit=1 << 28,
        write_batch_size=1 << 20 if shared else 1,
    )


def test_long_texts(bench, baseline):
    """60 texts of 10 MB: a part of 600 MB, which writing copies, and pages to read it from."""
    texts_of_10_mb(bench, 60, shared=False)
    ended, peak = run(
        bench,
    )
    assert ended.returncode == 0, ended.stderr
    assert peak < baseline + 3 * 600_000_000
    (part,) = (bench.folder / "results/data").iterdir()
    with pq.ParquetFile(part) as parquet:
        found = [text[:5] for batch in parquet.iter_batches(1, columns=["text"]) for text in batch["text"].to_pylist()]
    assert found == [f"{row:04d}a" for row in range(60)]


def test_long_texts_that_share_one_entry_of_a_dictionary(bench, baseline):
    """3000 rows of one text of 10 MB are 30 GB when they are decoded, and 480 KB as stored."""
    texts_of_10_mb(bench, 3000, shared=True)
    ended, peak = run(bench, memory=2048 * MIB)
    assert ended.returncode == 1
    (first, second) = ended.stderr.splitlines()
    assert "part 0: its rows hold more than the 0.5 GiB of memory available for parts" in first
    assert "[output] rows_per_part" in first
    assert "[input] keep" in first
    assert "errors.jsonl" in second
    # Beside what is held: one read, and its copy; and what the allocator keeps of the two attempts before the last.
    assert peak < baseline + 512 * MIB + 8 * row_reader.READ_BYTES
    ended, peak = run(bench, "input.keep=['x']", "output.path='without'")
    assert ended.returncode == 0
    assert peak < baseline + 100 * MIB


def test_such_texts_come_out_where_parts_are_small_enough(bench, baseline):
    texts_of_10_mb(bench, 90, shared=True)
    ended, peak = run(bench, "output.rows_per_part=15")
    assert ended.returncode == 0, ended.stderr
    assert peak < baseline + 700 * MIB
    parts = sorted((bench.folder / "results/data").iterdir())
    assert [pq.read_metadata(part).num_rows for part in parts] == [15] * 6
    assert pq.read_table(parts[5], columns=["x"])["x"].to_pylist() == list(map(float, range(75, 90)))
    (last,) = pq.ParquetFile(parts[5]).iter_batches(15, columns=["text"])
    assert {(len(text), text[-2:]) for text in map(str, last["text"])} == {(10_000_000, "ab")}


@pytest.mark.parametrize("encoding", ["dictionary", "DELTA_BYTE_ARRAY"])
def test_how_much_is_decoded_at_once(bench, monkeypatch, encoding):
    """Whatever is chosen, the same rows come out in the same parts, byte for byte."""
    texts = [None, *["x" * 30_000] * 400, *(f"{row}" * 9 for row in range(600))]
    delta = {"use_dictionary": False, "column_encoding": {"text": encoding}} if encoding != "dictionary" else {}
    columns = {"x": np.arange(1001.0), "text": texts, "lists": [[float(row)] * (row % 7) for row in range(1001)]}
    bench.tasks(columns, "tasks/a.parquet", **delta)
    written = []
    for limit in (1 << 20, 64 << 20):
        monkeypatch.setattr(row_reader, "READ_BYTES", limit)
        summary = bench.run(JOB, "input.keep=['x', 'text', 'lists']", "output.rows_per_part=300", restart=True)
        assert summary.exit_code == 0
        assert bench.output(summary).select(list(columns)).to_pydict() == {
            **columns,
            "x": list(map(float, range(1001))),
        }
        written.append([part.read_bytes() for part in sorted((bench.folder / "results/data").iterdir())])
    assert written[0] == written[1]


def test_ten_thousand_files(bench):
    data = bench.tasks({"x": [1.0, 2.0]}, "tasks/00000.parquet").read_bytes()
    for number in range(1, 10_000):
        (bench.folder / f"tasks/{number:05d}.parquet").write_bytes(data)
    started = time.monotonic()
    summary = bench.run(JOB)
    assert (summary.exit_code, summary.rows, summary.parts) == (0, 20_000, 1)
    assert bench.output(summary)["x"].to_pylist() == [1.0, 2.0] * 10_000
    assert time.monotonic() - started < 60


def test_ten_thousand_row_groups(bench):
    bench.tasks({"x": np.arange(20_000.0)}, "tasks/a.parquet", row_group_size=2)
    started = time.monotonic()
    summary = bench.run(JOB)
    assert summary.exit_code == 0
    assert bench.output(summary)["x"].to_pylist() == list(map(float, range(20_000)))
    assert time.monotonic() - started < 60


def test_a_part_that_finds_no_room_is_made_alone_and_none_that_fits_alone_is_turned_away():
    """Twelve parts of 4 on six threads share room for 10, as a worker makes them."""
    room, made, at_once, most = HostMemoryPool(10), [], [0], [0]

    def make(number):
        for alone in (False, True):
            try:
                with room.part(number, exclusive=alone) as hold:
                    at_once[0] += 1
                    for _ in range(4):
                        hold(1)
                        most[0] = max(most[0], at_once[0] if alone else 0)
                        time.sleep(0.001)
                    made.append(number)
                    at_once[0] -= 1
                return
            except MemoryLimitExceeded:
                at_once[0] -= 1
                assert not alone

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make, range(12)))
    assert sorted(made) == list(range(12))
    assert most[0] in (0, 1), "nobody is beside one that is alone"
    with room.part("last") as hold:
        hold(10)
        with pytest.raises(MemoryLimitExceeded):
            hold(1)


def test_a_part_that_was_given_up_is_waited_for_no_more_and_begins_nothing_new():
    room = HostMemoryPool(10)
    with room.part("late") as hold:
        hold(4)
        room.abandon("late")
        with room.part("next", exclusive=True) as hold_next:
            hold_next(6)
            with pytest.raises(MemoryLimitExceeded):
                hold_next(1)  # the one that was given up holds its memory still
            with pytest.raises(ShardAbandoned):
                hold(1)
    with pytest.raises(ShardAbandoned), room.part("late"):
        pass
    with room.part("last", exclusive=True) as hold_last:
        hold_last(10)
