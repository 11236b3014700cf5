"""Price and eight partials of 5 million option positions, Parquet to Parquet, whole processes in turn.

    python benchmarks/greeks.py

jaxbatch against a script written by hand for this one job, jit(vmap(…)) over files on threads with pyarrow in and out,
and against Dask with the same function. BENCH_SCALE=0.1 takes a tenth of the rows.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import Way, bar, in_turn, jaxbatch, machine, script, show

FILE_ROWS = int(500_000 * float(os.environ.get("BENCH_SCALE", "1")))
FILES = 10
FUNCTIONS = Path(__file__).parent.parent / "jobs" / "functions.py"

JOB = """
kernel = "derivatives"
[params]
function = "functions.py:black_scholes"
wrt = ["spot", "vol", "maturity", "rate"]
partials = ["spot", "vol", "maturity", "rate", "spot,spot", "spot,vol", "vol,vol", "spot,maturity"]
[input]
path = "tasks"
columns = { rate = "rate" }
[output]
path = "ours"
"""

FUNCTION = """
import jax, numpy as np
jax.config.update("jax_enable_x64", True)
from functions import black_scholes
arguments = ["spot", "strike", "vol", "maturity", "rate"]
names = ["price", "delta", "vega", "theta", "rho", "gamma", "vanna", "volga", "charm"]
@jax.jit
@jax.vmap
def compute(spot, strike, vol, maturity, rate):
    def price(spot, vol, maturity, rate):
        return black_scholes(spot, strike, vol, maturity, rate)
    def gradient(*at):
        value, first = jax.value_and_grad(price, argnums=(0, 1, 2, 3))(*at)
        return first, (value, first)
    at = (spot, vol, maturity, rate)
    _, in_spot, (value, first) = jax.jvp(gradient, at, (1.0, 0.0, 0.0, 0.0), has_aux=True)
    _, in_vol, _ = jax.jvp(gradient, at, (0.0, 1.0, 0.0, 0.0), has_aux=True)
    return value, *first, in_spot[0], in_spot[1], in_vol[1], in_spot[2]
"""

BY_HAND = (
    FUNCTION
    + """
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import pyarrow as pa, pyarrow.parquet as pq
Path("theirs").mkdir()
WIDTH = 65536
def work(path):
    table = pq.read_table(path, use_threads=False)
    columns = [table[name].to_numpy() for name in arguments]
    found = [np.empty(len(table)) for _ in names]
    for start in range(0, len(table), WIDTH):
        part = [column[start : start + WIDTH] for column in columns]
        rows = len(part[0])
        if rows < WIDTH:
            part = [np.pad(column, (0, WIDTH - rows), mode="edge") for column in part]
        for into, values in zip(found, compute(*part)):
            into[start : start + rows] = np.asarray(values)[:rows]
    for name, values in zip(names, found):
        table = table.append_column(name, pa.array(values))
    pq.write_table(table, f"theirs/{path.name}", use_dictionary=False)
with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
    list(pool.map(work, sorted(Path("tasks").iterdir())))
"""
)

DASK = (
    FUNCTION
    + """
import dask, dask.dataframe as dd
dask.config.set(scheduler="threads")
def partition(frame):
    found = compute(*(frame[name].to_numpy() for name in arguments))
    return frame.assign(**{name: np.asarray(values) for name, values in zip(names, found)})
frame = dd.read_parquet("tasks", split_row_groups=False)
meta = {**frame.dtypes.to_dict(), **{name: "f8" for name in names}}
frame.map_partitions(partition, meta=meta).to_parquet("theirs", write_index=False)
"""
)


def make_tasks(folder: Path) -> None:
    """Write the positions, the function and the job."""
    rng = np.random.default_rng(0)
    (folder / "tasks").mkdir()
    for number in range(FILES):
        columns = {
            "id": np.arange(number * FILE_ROWS, (number + 1) * FILE_ROWS),
            "spot": rng.uniform(50, 150, FILE_ROWS),
            "strike": rng.uniform(50, 150, FILE_ROWS),
            "vol": rng.uniform(0.1, 0.6, FILE_ROWS),
            "maturity": rng.uniform(0.05, 3.0, FILE_ROWS),
            "rate": rng.uniform(0.0, 0.05, FILE_ROWS),
        }
        pq.write_table(pa.table(columns), folder / "tasks" / f"{number:02d}.parquet")
    shutil.copy(FUNCTIONS, folder / "functions.py")
    (folder / "job.toml").write_text(JOB)


def check(folder: Path) -> None:
    """Raise unless jaxbatch and the script by hand wrote the same numbers."""
    ours, theirs = (pq.read_table(folder / name) for name in ("ours/data", "theirs"))
    for mine, hand in (("value", "price"), ("d_spot", "delta"), ("d_spot_maturity", "charm"), ("d_vol_vol", "volga")):
        np.testing.assert_allclose(ours[mine].to_numpy(), theirs[hand].to_numpy(), rtol=1e-9, atol=1e-9)


def main() -> None:
    """Print one table."""
    print(machine(["jax", "pyarrow", "dask"]))
    by_hand = Way(script(BY_HAND), "theirs", repeats=5)
    ways = {
        "by hand": by_hand,
        "ours": Way(jaxbatch("run", "job.toml", "--quiet"), "ours", repeats=5),
        "Dask": Way(script(DASK), "theirs"),
    }
    with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as name:
        folder = Path(name)
        make_tasks(folder)
        for way in ("by hand", "ours"):
            ways[way].run(folder)
        check(folder)
        for way in ("by hand", "ours"):
            ways[way].clean(folder)
        in_turn(ways, folder)
    show(f"{FILES * FILE_ROWS:,} positions in {FILES} files", ways, "by hand")
    bar("ours / by hand", ways["ours"].seconds / by_hand.seconds, 1.1)


if __name__ == "__main__":
    main()
