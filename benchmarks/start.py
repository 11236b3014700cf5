"""Start-up times of the command line: --help, kernels, plan and a run of one row, whole processes in turn.

python benchmarks/start.py
"""

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from _measure import SQRT_JOB, Way, bar, in_turn, jaxbatch, machine, script, show

BY_HAND = """
import jax, numpy as np, pyarrow as pa, pyarrow.parquet as pq
jax.config.update("jax_enable_x64", True)
first = jax.grad(jax.numpy.sqrt)
second = jax.grad(first)
table = pq.read_table("tasks.parquet")
found = jax.jit(jax.vmap(lambda x: (jax.numpy.sqrt(x), first(x), second(x))))(table["x"].to_numpy())
for name, values in zip(("value", "d1", "d2"), found):
    table = table.append_column(name, pa.array(np.asarray(values)))
pq.write_table(table, "theirs.parquet")
"""

REPEATS = 7


def main() -> None:
    """Print one table."""
    print(machine(["jax", "pyarrow", "click"]))
    ways = {
        "import click": Way(script("import click"), repeats=REPEATS),
        "--help": Way(jaxbatch("--help"), repeats=REPEATS),
        "kernels": Way(jaxbatch("kernels"), repeats=REPEATS),
        "plan, one row": Way(jaxbatch("plan", "job.toml"), repeats=REPEATS),
        "run, one row": Way(jaxbatch("run", "job.toml", "--quiet"), "ours", repeats=REPEATS),
        "by hand, one row": Way(script(BY_HAND), repeats=REPEATS),
    }
    with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as name:
        folder = Path(name)
        pq.write_table(pa.table({"id": [1], "x": [2.0]}), folder / "tasks.parquet")
        (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks.parquet"))
        in_turn(ways, folder)
    show("starting", ways, "by hand, one row")
    bar("--help / import click", ways["--help"].seconds / ways["import click"].seconds, 3)
    bar("run of one row / by hand", ways["run, one row"].seconds / ways["by hand, one row"].seconds, 1.5)


if __name__ == "__main__":
    main()
