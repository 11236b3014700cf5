"""f, f', f'' of √x at 20 million points in 20 files, whole processes: ours against copying the same columns.

    python benchmarks/pointwise.py [ROWS]

The floor is pyarrow.dataset reading and writing the columns that we read and write, with no compute. Peers run in
turn with ours, three times after a warm-up; medians, and the ratio to the floor.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

REPEATS = 3
FILES = 20

JOB = """
kernel = "derivatives"
[params]
function = "jax.numpy:sqrt"
order = 2
[input]
path = "tasks"
[output]
path = "ours"
"""

FLOOR = """
import pyarrow as pa, pyarrow.dataset as ds
schema = ds.dataset("tasks").schema
for name in ("value", "d1", "d2"):
    schema = schema.append(pa.field(name, pa.float64()))
def copies():
    for batch in ds.dataset("tasks").to_batches():
        x = batch.column("x")
        yield pa.record_batch([*batch.columns, x, x, x], schema=schema)
ds.write_dataset(copies(), "floor", schema=schema, format="parquet", existing_data_behavior="overwrite_or_ignore")
"""


def make_tasks(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    (folder / "tasks").mkdir()
    each = rows // FILES
    for number in range(FILES):
        ids = np.arange(number * each, (number + 1) * each)
        table = pa.table({"id": ids, "x": rng.uniform(1.0, 9.0, each)})
        pq.write_table(table, folder / "tasks" / f"{number:03d}.parquet")


def seconds(command: list[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tasks(folder, rows)
        (folder / "job.toml").write_text(JOB)
        ours = [sys.executable, "-m", "jaxbatch", "run", "job.toml", "--quiet", "--restart"]
        ways = {
            "floor: copy, no compute": [sys.executable, "-c", FLOOR],
            "jaxbatch, local": ours,
            "jaxbatch, private Ray": [*ours, "--engine", "ray"],
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for repeat in range(REPEATS + 1):
            for way, command in ways.items():
                spent = seconds(command, folder)
                shutil.rmtree(folder / "floor", ignore_errors=True)
                if repeat:
                    times[way].append(spent)
        report = json.loads((folder / "ours" / "_jaxbatch" / "report.json").read_text())
    floor = statistics.median(times["floor: copy, no compute"])
    print(f"{rows:,} rows, {os.cpu_count()} CPUs, jax {report['versions']['jax']}, median of {REPEATS} (min–max)")
    for way, spent in times.items():
        middle = statistics.median(spent)
        print(f"{way:26}{middle:7.2f} s ({min(spent):.2f}–{max(spent):.2f}){middle / floor:7.2f} × floor")


if __name__ == "__main__":
    main()
