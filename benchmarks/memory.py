"""The memory of a worker for one file of 1, 10 and 100 million rows, which should make no difference.

    python benchmarks/memory.py [MILLIONS …]

f, f', f'' of √x, whole processes, the peak resident size of each, medians of five. The file has row groups of a million
rows, as most writers make them, or a single one of all its rows, which is cut into parts as it is read. Four shards are
in flight at a time; a single row group, like a file of a million rows, is one shard only.
BENCH_SCALE=0.1 takes a tenth.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import SQRT_JOB, Way, bar, jaxbatch, machine

MILLION = int(1_000_000 * float(os.environ.get("BENCH_SCALE", "1")))
SIZES = (1, 10, 100)
REPEATS = 5


def make_tasks(path: Path, millions: int, *, single: bool) -> None:
    """One file, written a million rows at a time."""
    rng = np.random.default_rng(0)
    schema = pa.schema([("id", pa.int64()), ("x", pa.float64())])

    def batches():
        for number in range(millions):
            ids = np.arange(number * MILLION, (number + 1) * MILLION)
            yield pa.record_batch([ids, rng.uniform(1.0, 9.0, MILLION)], schema=schema)

    with pq.ParquetWriter(path, schema, use_dictionary=False) as writer:
        if single:
            writer.write_table(pa.Table.from_batches(batches()), row_group_size=millions * MILLION)
        else:
            for batch in batches():
                writer.write_batch(batch, row_group_size=MILLION)


def main() -> None:
    """Print one table."""
    sizes = [int(size) for size in sys.argv[1:]] or list(SIZES)
    print(machine(["jax", "pyarrow"]))
    print(f"\n{'rows in one file':>16}{'row groups':>12}{'wall s':>9}{'MiB':>8}")
    peaks: dict[bool, list[float]] = {False: [], True: []}
    for single in (False, True):
        for millions in sizes:
            way = Way(jaxbatch("run", "job.toml", "--quiet"), "ours")
            with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as name:
                folder = Path(name)
                make_tasks(folder / "tasks.parquet", millions, single=single)
                (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks.parquet"))
                runs = []
                for _ in range(REPEATS):
                    runs.append(way.run(folder))
                    way.clean(folder)
            wall, _, peak = (statistics.median(found) for found in zip(*runs, strict=True))
            peaks[single].append(peak)
            print(f"{millions * MILLION:>16,}{1 if single else millions:>12}{wall:9.2f}{peak:8,.0f}", flush=True)
    few, many = (1, -1) if len(sizes) > 2 else (0, -1)
    for single, found in peaks.items():
        what = "a single row group" if single else "row groups of a million rows"
        bar(f"{what}: memory, {sizes[many]} / {sizes[few]} million rows", found[many] / found[few], 1.1)


if __name__ == "__main__":
    main()
