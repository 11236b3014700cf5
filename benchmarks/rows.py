"""What it costs to choose rows and to join columns to them, beside the same job without.

    python benchmarks/rows.py lookup          a table of 10,000 keys joined to 20 million rows, by numbers and by texts
    python benchmarks/rows.py lookup-memory   a table of 200 MiB: peak memory of each process, on both engines

f, f', f'' of √(x · spot), whole processes in turn, medians of five. Without a lookup ``spot`` is a constant; either way
the files have the key's column, which is kept. BENCH_SCALE=0.1 takes a tenth of the rows.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import Way, bar, in_turn, jaxbatch, machine, show

ROWS = int(20_000_000 * float(os.environ.get("BENCH_SCALE", "1")))
FILES = 20
KEYS = 10_000

JOB = """
kernel = "derivatives"
[params]
function = "price.py:f"
order = 2
wrt = ["x"]
[input]
path = "tasks"
SPOT
[output]
path = "OUT"
"""

LOOKUP = """
[input.lookup.market]
path = "market.parquet"
on = ["KEY"]
columns = ["spot"]
"""

PRICE = "import jax.numpy as jnp\n\n\ndef f(x, spot):\n    return jnp.sqrt(x * spot)\n"


def make(folder: Path, keys: int) -> None:
    """Tasks with a number and a text for a key, each of which has a row in the table."""
    rng = np.random.default_rng(0)
    (folder / "tasks").mkdir()
    (folder / "price.py").write_text(PRICE)
    texts = pa.array([f"TICKER{number:05}" for number in range(min(keys, KEYS))])
    for number in range(FILES):
        rows = ROWS // FILES
        key = rng.integers(0, keys, rows)
        table = {"id": np.arange(rows) + number * rows, "number": key, "x": rng.uniform(1.0, 2.0, rows)}
        table["text"] = texts.take(pa.array(key % len(texts)))
        pq.write_table(pa.table(table), folder / f"tasks/{number:02}.parquet")
    order = rng.permutation(keys)
    spots = {f"spot{more or ''}": rng.uniform(1.0, 2.0, keys) for more in range(3)}
    pq.write_table(pa.table({"number": order, **spots}), folder / "numbers.parquet")
    if keys == KEYS:
        pq.write_table(pa.table({"text": texts.take(pa.array(order)), "spot": spots["spot"]}), folder / "texts.parquet")


def way(folder: Path, name: str, spot: str) -> Way:
    """One job, as a way to do the work."""
    (folder / f"{name}.toml").write_text(JOB.replace("OUT", name).replace("SPOT", spot))
    return Way(jaxbatch("run", f"{name}.toml", "--quiet"), leaves=name, repeats=5)


def lookup() -> None:
    """The time of a join of 10,000 keys."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, KEYS)
        ways = {"without": way(folder, "without", "constants = { spot = 1.5 }")}
        for kind in ("number", "text"):
            spot = LOOKUP.replace("KEY", kind).replace("market.parquet", f"{kind}s.parquet")
            ways[f"lookup by {kind}"] = way(folder, kind, spot)
        in_turn(ways, folder)
        show(f"{ROWS:,} rows, a table of {KEYS:,} keys", ways, "without")
        for kind in ("number", "text"):
            bar(f"lookup by {kind}, × without", ways[f"lookup by {kind}"].seconds / ways["without"].seconds, 1.3)


def lookup_memory() -> None:
    """The memory of processes that hold a table of 200 MiB: a number and three floats a row."""
    keys = 200 * 2**20 // 32
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, keys)
        wide = (
            LOOKUP.replace("KEY", "number")
            .replace("market.parquet", "numbers.parquet")
            .replace('["spot"]', '["spot", "spot1", "spot2"]')
        )
        (folder / "price.py").write_text(
            PRICE.replace("x, spot", "x, spot, spot1, spot2").replace("* spot", "* spot * spot1 * spot2")
        )
        constants = "constants = { spot = 1.5, spot1 = 1.5, spot2 = 1.5 }"
        print(f"{ROWS:,} rows, a table of {keys:,} keys and {keys * 32 / 2**20:.0f} MiB; MiB of memory at the peak")
        for engine, options in (("local", ()), ("four workers of Ray", ("--engine", "ray", "--workers", "4"))):
            for case, spot in (("without", constants), ("lookup", wide)):
                (folder / "job.toml").write_text(JOB.replace("OUT", "out").replace("SPOT", spot))
                seconds, peaks = _watched(jaxbatch("run", "job.toml", "--quiet", "--restart", *options), folder)
                print(
                    f"{engine:22}{case:10}{seconds:6.1f} s   {', '.join(f'{peak:,.0f}' for peak in peaks)}", flush=True
                )


def _watched(command: list[str], folder: Path) -> tuple[float, list[float]]:
    """Seconds of a command, and the peak memory (MiB, Linux's Pss) of it and those of its processes that compute."""
    import subprocess

    started, peaks = time.perf_counter(), dict[int, float]()
    process = subprocess.Popen(command, cwd=folder)
    while process.poll() is None:
        for pid in _descendants(process.pid):
            name = _read(pid, "cmdline").replace("\0", " ")
            if pid == process.pid or "ray::" in name:
                peaks[pid] = max(peaks.get(pid, 0.0), _pss(pid))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    own = peaks.pop(process.pid, 0.0)
    return time.perf_counter() - started, [own, *sorted((peak for peak in peaks.values() if peak > 100), reverse=True)]


def _descendants(pid: int) -> list[int]:
    children = [int(child) for child in _read(pid, f"task/{pid}/children").split()]
    return [pid, *(each for child in children for each in _descendants(child))]


def _pss(pid: int) -> float:
    lines = [line.split() for line in _read(pid, "smaps_rollup").splitlines()]
    return next((int(line[1]) / 1024 for line in lines if line[0] == "Pss:"), 0.0)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # it has ended
        return ""


COMMANDS: dict[str, Callable[[], None]] = {"lookup": lookup, "lookup-memory": lookup_memory}

if __name__ == "__main__":
    chosen = sys.argv[1:] or list(COMMANDS)
    print(machine(("jax", "numpy", "pyarrow")))
    for each in chosen:
        COMMANDS[each]()
