"""A model of 500 MB scores ten million rows: memory, sizes of files, and the start of a second worker.

    python benchmarks/weights.py [local] [ray] [script] [worker]

A table of a million vectors, of which each row takes one, on both engines, with the table copied to the device or
mapped from its file. Memory is the proportional set size of all processes of a run together, and the largest resident
size of one, looked at four times a second. BENCH_SCALE=0.1 takes a tenth of the rows and of the table.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import jaxbatch, machine, script
from ray import cloudpickle

SCALE = float(os.environ.get("BENCH_SCALE", "1"))
ROWS, FILES, WIDTH, VECTOR = int(10_000_000 * SCALE), 10, 32_768, 64
ITEMS = int(976_562 * SCALE)

MODEL = """
from pathlib import Path
import jax.numpy as jnp
import numpy as np

FOLDER = Path(__file__).parent
TABLE = LOAD
MIX = np.load(FOLDER / "mix.npy")

def score(item, x, table=None):
    found = jnp.asarray(TABLE if table is None else table)[item]
    return jnp.tanh(x * (found @ MIX)).sum()
"""
LOADS = {
    "copied": 'jnp.asarray(np.load(FOLDER / "table.npy"))',
    "mapped": 'np.load(FOLDER / "table.npy", mmap_mode="r")',
}
JOB = f"""
kernel = "apply"
[params]
function = "MODEL.py:score"
integers = ["item"]
[input]
path = "tasks/*.parquet"
defaults = ["table"]
[output]
path = "MODEL"
[compute]
batch_rows = {WIDTH}
"""
SCRIPT = f"""
import os
os.environ["NPROC"] = "8"
import jax, numpy as np, pyarrow as pa, pyarrow.parquet as pq
from pathlib import Path
jax.config.update("jax_enable_x64", True)
from copied import TABLE, score
program = jax.jit(jax.vmap(lambda table, item, x: score(item, x, table), (None, 0, 0)))
Path("script").mkdir(exist_ok=True)
for path in sorted(Path("tasks").iterdir()):
    rows = pq.read_table(path)
    item, x = (rows[name].to_numpy() for name in ("item", "x"))
    found = []
    for start in range(0, len(x), {WIDTH}):
        batch = [np.resize(values[start : start + {WIDTH}], {WIDTH}) for values in (item, x)]
        found.append(np.asarray(program(TABLE, *batch)))
    rows = rows.append_column("value", pa.array(np.concatenate(found)[: len(x)]))
    pq.write_table(rows, Path("script") / path.name)
"""
WORKER = """
import sys, time
started = time.perf_counter()
from pathlib import Path
from jaxbatch.compilation import process_setup
process_setup.prepare(platforms="cpu")
from ray import cloudpickle
plan = cloudpickle.loads(Path("plan.pickle").read_bytes())
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.kernels.program_key import smallest_programs
worker = WorkerProcess(plan)
(program,) = smallest_programs(worker.kernel)
worker.programs.prepare(program, worker.devices[0])
print(time.perf_counter() - started)
"""


def make(folder: Path) -> None:
    """The model, and ten files of tasks."""
    rng = np.random.default_rng(0)
    np.save(folder / "table.npy", rng.standard_normal((ITEMS, VECTOR)))
    np.save(folder / "mix.npy", rng.standard_normal((VECTOR, 8)) / 8)
    (folder / "tasks").mkdir()
    for number in range(FILES):
        n = ROWS // FILES
        columns = {"item": rng.integers(0, ITEMS, n), "x": rng.standard_normal(n)}
        pq.write_table(pa.table(columns), folder / f"tasks/{number}.parquet")
    for name, load in LOADS.items():
        (folder / f"{name}.py").write_text(MODEL.replace("LOAD", load))
        (folder / f"{name}.toml").write_text(JOB.replace("MODEL", name))


def descendants(root: int) -> Iterator[int]:
    """A process and those that it has started, and they."""
    parents: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    waiting = [root]
    while waiting:
        yield (each := waiting.pop())
        waiting += parents.get(each, [])


def memory(process: int) -> tuple[int, int]:
    """The proportional and the resident set size of a process in kB."""
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0, 0
    sizes = {name: int(size.split()[0]) for name, _, size in (line.partition(":") for line in lines)}
    return sizes.get("Pss", 0), sizes.get("Rss", 0)


def watched(name: str, command: list[str], folder: Path) -> None:
    """Run a command, and print its time and the peaks of its memory."""
    started, together, largest = time.perf_counter(), 0, 0
    cache = {"JAXBATCH_CACHE": str(folder / "kept")}
    with subprocess.Popen(command, cwd=folder, env=os.environ | cache, stdout=subprocess.DEVNULL) as run:
        while run.poll() is None:
            found = [memory(process) for process in descendants(run.pid)]
            together = max(together, sum(proportional for proportional, _ in found))
            largest = max([largest, *(resident for _, resident in found)])
            time.sleep(0.25)
    if run.returncode:
        raise SystemExit(f"{name} failed")
    print(f"{name:28}{time.perf_counter() - started:9.1f}{together / 1024:12,.0f}{largest / 1024:12,.0f}", flush=True)


def values(folder: Path) -> bytes:
    """The bytes of the column of scores, in the order of the tasks."""
    return pq.read_table(folder, columns=["value"])["value"].to_numpy().tobytes()


def second_worker(name: str, folder: Path) -> None:
    """Print the size of what a worker is sent, and how long it takes until it could compute."""
    from jaxbatch import Job, plan

    sent = cloudpickle.dumps(plan(Job.load(folder / f"{name}.toml")).for_workers())
    (folder / "plan.pickle").write_bytes(sent)
    runs = []
    for _ in range(5):
        ended = subprocess.run(
            script(WORKER), cwd=folder, env=os.environ | {"JAXBATCH_CACHE": str(folder / "kept")}, capture_output=True
        )
        runs.append(float(ended.stdout))
    took = f"{sorted(runs)[2]:.2f} s ({min(runs):.2f}–{max(runs):.2f})"
    print(f"{name}: sent {len(sent):,} bytes; a worker can compute after {took}")


def main() -> None:
    """Print one table."""
    wanted = sys.argv[1:] or ["local", "ray", "script", "worker"]
    print(machine(["jax", "pyarrow", "ray"]))
    with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as made:
        folder = Path(made)
        make(folder)
        print(f"{ROWS:,} rows, a table of {(folder / 'table.npy').stat().st_size / 1e6:,.0f} MB")
        print(f"{'':28}{'wall s':>9}{'MiB, all':>12}{'largest':>12}")
        if "script" in wanted:
            watched("by hand, weights given", script(SCRIPT), folder)
        for engine in ("local", "ray"):
            for name in LOADS if engine in wanted else ():
                command = jaxbatch("run", f"{name}.toml", "--quiet", "--restart", "--engine", engine, "--workers", "2")
                watched(f"{engine}, {name}", command, folder)
                if "script" in wanted:
                    same = values(folder / name / "data") == values(folder / "script")
                    print(f"  the scores by hand, byte for byte: {same}", flush=True)
        for name in LOADS if "worker" in wanted else ():
            second_worker(name, folder)
        for what, files in {
            "plan.json": folder.glob("*/_jaxbatch/plan.json"),
            "program": folder.glob("kept/*/*"),
        }.items():
            print(f"the largest {what}: {max((file.stat().st_size for file in files), default=0):,} bytes")


if __name__ == "__main__":
    main()
