"""What a table of 200 MiB takes in each process that joins it, on both engines.

    python benchmarks/lookup_memory.py [local] [ray]

20 million points in 20 files, joined by a number to a table of 6.5 million rows of that number and three floats, or
the same with constants. Memory is Linux's Pss, which divides what processes share among them; of the process that was
started, and of each of Ray's workers. BENCH_SCALE=0.1 takes a tenth of the points.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import jaxbatch, machine

FILES, FILE_ROWS = 20, int(1_000_000 * float(os.environ.get("BENCH_SCALE", "1")))
KEYS = 200 * 2**20 // 32

JOB = """
kernel = "apply"
[params]
function = "price.py:f"
[input]
path = "tasks"
MARKET
[output]
path = "ours"
[cluster]
cpus_per_worker = 0.5
"""

MARKETS = {
    "constants": "constants = { spot = 1.0, vol = 1.0, rate = 1.0 }",
    "joined": '[input.lookup.market]\npath = "market.parquet"\non = ["number"]',
}

ENGINES = {"local": (), "ray": ("--engine", "ray", "--workers", "4")}


def make(folder: Path) -> None:
    """The points and the table."""
    rng = np.random.default_rng(27)
    (folder / "tasks").mkdir()
    for number in range(FILES):
        columns = {"number": rng.integers(0, KEYS, FILE_ROWS), "x": rng.random(FILE_ROWS)}
        pq.write_table(pa.table(columns), folder / f"tasks/{number:02}.parquet")
    market = {name: rng.random(KEYS) for name in ("spot", "vol", "rate")}
    pq.write_table(pa.table({"number": rng.permutation(KEYS), **market}), folder / "market.parquet")
    (folder / "price.py").write_text("def f(x, spot, vol, rate):\n    return x * spot * vol * rate\n")


def watched(command: list[str], folder: Path) -> tuple[float, list[float]]:
    """Seconds of a command, and the peak MiB of its process and then of each of Ray's workers that computes."""
    started, peaks = time.perf_counter(), dict[int, float]()
    process = subprocess.Popen(command, cwd=folder)
    while process.poll() is None:
        for pid in _descendants(process.pid):
            if pid == process.pid or "ray::Actor" in _read(pid, "cmdline"):
                peaks[pid] = max(peaks.get(pid, 0.0), _pss(pid))
        time.sleep(0.05)
    if process.returncode:
        raise SystemExit(f"{command} failed")
    return time.perf_counter() - started, [peaks.pop(process.pid), *sorted(peaks.values(), reverse=True)]


def _descendants(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*")
    children = [int(child) for task in tasks for child in _read(pid, f"task/{task.name}/children").split()]
    return [pid, *(each for child in children for each in _descendants(child))]


def _pss(pid: int) -> float:
    lines = [line.split() for line in _read(pid, "smaps_rollup").splitlines()]
    return next((int(line[1]) / 1024 for line in lines if line[0] == "Pss:"), 0.0)


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:  # the process has ended
        return ""


def main() -> None:
    """Run both cases on both engines."""
    print(machine(("jax", "pyarrow", "ray")))
    print(f"\n{FILES * FILE_ROWS:,} points, a table of {KEYS:,} rows and {KEYS * 32 / 2**20:.0f} MiB")
    print(f"{'':34}{'wall s':>8}   MiB of the command, then of each worker")
    with tempfile.TemporaryDirectory() as base:
        folder = Path(base)
        make(folder)
        for engine in sys.argv[1:] or ENGINES:
            options = ENGINES[engine]
            for case, market in MARKETS.items():
                (folder / "job.toml").write_text(JOB.replace("MARKET", market))
                command = jaxbatch("run", "job.toml", "--quiet", "--restart", *options)
                seconds, peaks = watched(command, folder)
                told = ", ".join(f"{peak:,.0f}" for peak in peaks)
                print(f"{f'{engine}, {case}':34}{seconds:8.1f}   {told}", flush=True)


if __name__ == "__main__":
    main()
