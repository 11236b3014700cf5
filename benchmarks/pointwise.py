"""f, f', f'' of √x at 20 and 60 million points, Parquet to Parquet, whole processes in turn: ours, copying, and others.

    python benchmarks/pointwise.py [floor|peers] …

floor: ours against copying the same columns with no compute, at 20 and at 60 million points.
peers: ours, on threads and on Ray, against Daft, Dask, Ray Data and the closed form in Polars, at 20 million points.

The floors read and write the same columns, without the status: by pyarrow.dataset, and file by file on a thread per
CPU, both as pyarrow writes by default and without dictionaries for floats.
BENCH_SCALE=0.1 takes a tenth of the rows.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import SQRT_JOB, Way, bar, in_turn, jaxbatch, machine, script, show

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
FILE_ROWS = int(1_000_000 * SCALE)

DATASET = """
import pyarrow as pa, pyarrow.dataset as ds
schema = ds.dataset("TASKS").schema
for name in ("value", "d1", "d2"):
    schema = schema.append(pa.field(name, pa.float64()))
def copies():
    for batch in ds.dataset("TASKS").to_batches():
        x = batch.column("x")
        yield pa.record_batch([*batch.columns, x, x, x], schema=schema)
ds.write_dataset(copies(), "floor", schema=schema, format="parquet")
"""

THREADS = """
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import pyarrow.parquet as pq
Path("floor").mkdir()
def copy(path):
    table = pq.read_table(path, use_threads=False)
    for name in ("value", "d1", "d2"):
        table = table.append_column(name, table["x"])
    pq.write_table(table, f"floor/{path.name}"OPTIONS)
with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
    list(pool.map(copy, sorted(Path("TASKS").iterdir())))
"""

FUNCTION = """
import jax
jax.config.update("jax_enable_x64", True)
first = jax.grad(jax.numpy.sqrt)
@jax.jit
def compute(x):
    def row(x):
        return jax.numpy.sqrt(x), first(x), jax.grad(first)(x)
    return jax.vmap(row)(x)
"""

DAFT = (
    FUNCTION
    + """
import daft, numpy as np, pyarrow as pa
fields = {name: daft.DataType.float64() for name in ("value", "d1", "d2")}
@daft.cls
class Compute:
    @daft.method.batch(return_dtype=daft.DataType.struct(fields), unnest=True, batch_size=131072)
    def __call__(self, x):
        return pa.StructArray.from_arrays([np.asarray(a) for a in compute(x.to_arrow().to_numpy())], list(fields))
frame = daft.read_parquet("TASKS/*.parquet")
frame.select("id", "x", Compute()(frame["x"])).write_parquet("theirs")
"""
)

DASK = (
    FUNCTION
    + """
import dask, dask.dataframe as dd, numpy as np
dask.config.set(scheduler="threads")
def partition(frame):
    value, d1, d2 = compute(frame["x"].to_numpy())
    return frame.assign(value=np.asarray(value), d1=np.asarray(d1), d2=np.asarray(d2))
frame = dd.read_parquet("TASKS", split_row_groups=False)
meta = {**frame.dtypes.to_dict(), "value": "f8", "d1": "f8", "d2": "f8"}
frame.map_partitions(partition, meta=meta).to_parquet("theirs", write_index=False)
"""
)

RAY_DATA = """
import os, secrets
os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # or Ray leaves one in the home folder
import ray
ray.init(address="local", include_dashboard=False, logging_level="ERROR")
ray.data.DataContext.get_current().enable_progress_bars = False
class Compute:
    def __init__(self):
        source = '''FUNCTION'''
        scope = {}
        exec(source, scope)
        self.compute = scope["compute"]
    def __call__(self, batch):
        import numpy as np
        value, d1, d2 = map(np.asarray, self.compute(batch["x"]))
        return {**batch, "value": value, "d1": d1, "d2": d2}
found = ray.data.read_parquet("TASKS").map_batches(Compute, batch_format="numpy", batch_size=131072, concurrency=1)
found.write_parquet("theirs")
"""

POLARS = """
import polars as pl
x = pl.col("x")
pl.scan_parquet("TASKS/*.parquet").with_columns(
    value=x.sqrt(), d1=0.5 / x.sqrt(), d2=-0.25 / (x * x.sqrt())
).sink_parquet("theirs/all.parquet", compression="snappy", mkdir=True)
"""


def make_tasks(folder: Path, files: int) -> None:
    """Files of a million points each."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(files):
        ids = np.arange(number * FILE_ROWS, (number + 1) * FILE_ROWS)
        pq.write_table(pa.table({"id": ids, "x": rng.uniform(1.0, 9.0, FILE_ROWS)}), folder / f"{number:03d}.parquet")


def ours(tasks: str, *options: str, repeats: int = 3) -> Way:
    """jaxbatch on these tasks, into a new output each time."""
    return Way(jaxbatch("run", f"{tasks}.toml", "--quiet", *options), "ours", repeats)


def floors(tasks: str) -> dict[str, Way]:
    """The ways to copy the columns."""
    plain = ", use_dictionary=['id']"
    return {
        "copy, pyarrow.dataset": Way(script(DATASET, TASKS=tasks), "floor"),
        "copy, files on threads": Way(script(THREADS, TASKS=tasks, OPTIONS=""), "floor"),
        "copy, threads, no dictionaries": Way(script(THREADS, TASKS=tasks, OPTIONS=plain), "floor"),
    }


def floor(folder: Path) -> None:
    """jaxbatch against the copies, at two sizes."""
    medians: dict[int, list[float]] = {}
    for files in (20, 60):
        tasks = f"tasks{files}"
        make_tasks(folder / tasks, files)
        (folder / f"{tasks}.toml").write_text(SQRT_JOB.replace("TASKS", tasks))
        ways = {"ours": ours(tasks), **floors(tasks)}
        in_turn(ways, folder)
        show(f"{files * FILE_ROWS:,} points in {files} files", ways, "copy, files on threads")
        mine, dataset, threads, harder = (way.seconds for way in ways.values())
        medians[files] = [mine, min(dataset, threads), harder]
    for which, name in ((1, "the faster copy as pyarrow does it by itself"), (2, "a copy without dictionaries")):
        twenty, added = medians[20], [more - less for more, less in zip(medians[60], medians[20], strict=True)]
        bar(f"20 million points, ours / {name}", twenty[0] / twenty[which], 1.6)
        bar(f"40 million more, ours / {name}", added[0] / added[which], 1.25)


def peers(folder: Path) -> None:
    """jaxbatch against other libraries."""
    make_tasks(folder / "tasks", 20)
    (folder / "tasks.toml").write_text(SQRT_JOB.replace("TASKS", "tasks"))
    ways = {
        "ours": ours("tasks"),
        "ours, private Ray": ours("tasks", "--engine", "ray", repeats=2),
        "Daft": Way(script(DAFT, TASKS="tasks"), "theirs"),
        "Dask": Way(script(DASK, TASKS="tasks"), "theirs"),
        "Ray Data": Way(script(RAY_DATA, TASKS="tasks", FUNCTION=FUNCTION), "theirs", 2),
        "Polars, closed form": Way(script(POLARS, TASKS="tasks"), "theirs"),
    }
    in_turn(ways, folder)
    show(f"{20 * FILE_ROWS:,} points in 20 files", ways, "ours")
    mine, on_ray = ways["ours"].seconds, ways["ours, private Ray"].seconds
    bar("ours / Daft", mine / ways["Daft"].seconds, 0.6)
    bar("ours / Ray Data", mine / ways["Ray Data"].seconds, 0.15)
    bar("ours on Ray / Ray Data", on_ray / ways["Ray Data"].seconds, 0.4)


def main() -> None:
    """Run the parts named on the command line, or all."""
    print(machine(["jax", "pyarrow", "ray", "daft", "dask", "polars"]))
    parts = {"floor": floor, "peers": peers}
    for name in sys.argv[1:] or parts:
        with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as folder:
            parts[name](Path(folder))


if __name__ == "__main__":
    main()
