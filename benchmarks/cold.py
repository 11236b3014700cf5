"""The first run of a job on a host, with no compiled program kept, against a script that does the same with JAX alone.

    python benchmarks/cold.py [closed-form|regression|per-site|descent|sqrt-taylor|demo] …

The jobs are those of jobs/, with the sample tasks that jobs/make_tasks.py writes. Each run of ours begins with an empty
cache of programs; a script has none that outlasts it. Both compile all that they need, read the same Parquet, compute
the same columns and write them; that the numbers agree is checked.

demo: what `make demo` does after its installation, likewise from an empty cache.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from _cold_peers import CLOSED_FORM, DESCENT, PADDED, PER_SITE, TAYLOR
from _measure import Way, bar, in_turn, jaxbatch, machine, script, show

JOBS = Path(__file__).parent.parent / "jobs"
REPEATS = 5
CACHE = "cache"
TOLERANCE = 1e-9
"""How far the columns of one number may be from the other's, by their largest."""

PEERS = {
    "closed-form": (CLOSED_FORM, 1.2),
    "regression": (PADDED, 1.5),
    "per-site": (PER_SITE, 1.5),
    "descent": (DESCENT, 1.5),
    "sqrt-taylor": (TAYLOR, 1.5),
}
"""Of each job, the script and at most how many times as long as that ours may take."""

COMPARED = "coefficients", "standard_errors", "p_values", "approximations", "errors"
ROUNDED = {"descent": ("coefficients",)}
"""In float32 what follows from the residuals of an almost exact fit is rounding."""


def compare(job: str, folder: Path) -> None:
    """Run one job and its peer in turn, and print one table."""
    peer, most = PEERS[job]
    ways = {
        "ours": _from_empty_cache(jaxbatch("run", f"{job}.toml", "--restart", "--quiet"), folder),
        "script": Way(script(peer), repeats=REPEATS),
    }
    in_turn(ways, folder)
    _check(job, folder)
    show(f"jobs/{job}.toml from an empty cache", ways, "script")
    bar(f"{job}, ours / script", ways["ours"].seconds / ways["script"].seconds, most)


def demo(folder: Path) -> None:
    """Every job of jobs/ and one on Ray, as `make demo` runs them."""
    seconds, *_ = _from_empty_cache([sys.executable, "demo.py"], folder).run(folder)
    print("\nmake demo after its installation, from an empty cache")
    bar("seconds", seconds, 40)


def _from_empty_cache(command: list[str], folder: Path) -> Way:
    return Way(command, CACHE, REPEATS, {"JAXBATCH_CACHE": str(folder / CACHE)})


def _check(job: str, folder: Path) -> None:
    """End with a message if the two have written different numbers."""
    ours, theirs = pq.read_table(folder / "results" / job / "data"), pq.read_table(folder / "theirs.parquet")
    if job == "per-site":
        ours, theirs = ours.sort_by("site"), theirs.sort_by("site")
    for name in ROUNDED.get(job, COMPARED):
        if name in theirs.column_names:
            mine, others = (np.concatenate(table[name].to_pylist()) for table in (ours, theirs))
            if np.abs(mine - others).max() > TOLERANCE * np.abs(mine).max():
                raise SystemExit(f"jobs/{job}.toml and its script differ in {name}")


def main() -> None:
    """Run the parts named on the command line, or all."""
    print(machine(["jax", "numpy", "pyarrow"]))
    with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as name:
        folder = Path(name) / "jobs"
        shutil.copytree(JOBS, folder, ignore=shutil.ignore_patterns("tasks", "results", "__pycache__"))
        Way([sys.executable, "make_tasks.py"]).run(folder)
        for part in sys.argv[1:] or [*PEERS, "demo"]:
            demo(folder) if part == "demo" else compare(part, folder)


if __name__ == "__main__":
    main()
