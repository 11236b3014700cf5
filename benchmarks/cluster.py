"""The overhead of driver and workers: a job of 10,000 small parts on a Ray cluster of three nodes on this machine.

    python benchmarks/cluster.py [PARTS]

The job is submitted with a token. Parts have ten rows, so computing takes next to no time. Measured are the CPU time of
the driver's process and the wall time, per part, and the share of the time that workers were idle. The workers share
the cores of this machine with the driver and with Ray.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import SQRT_JOB, bar, machine

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.cluster.conftest import RayCluster

GROUPS = 100
UNREACHABLE = 75
TICKS = os.sysconf("SC_CLK_TCK")


def make_tasks(folder: Path, parts: int) -> None:
    """Files of a hundred row groups of ten rows."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(parts // GROUPS):
        table = pa.table({"x": rng.uniform(1.0, 9.0, 10 * GROUPS)})
        pq.write_table(table, folder / f"{number:04d}.parquet", row_group_size=10)


def watch(spent: dict[int, float], ended: threading.Event) -> None:
    """Record the CPU seconds of every driver process on this machine, by its id, until ``ended`` is set."""
    while not ended.wait(0.2):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if b"\0run\0cluster.toml\0" in (process / "cmdline").read_bytes():
                    fields = (process / "stat").read_text().rpartition(")")[2].split()
                    spent[int(process.name)] = (int(fields[11]) + int(fields[12])) / TICKS
            except OSError:
                continue  # it has just ended


def main() -> None:
    """Run the job and print one line per measure."""
    parts = int(sys.argv[1]) if sys.argv[1:] else 10_000
    print(machine(["jax", "ray", "pyarrow"]))
    os.environ.setdefault("JAXBATCH_CACHE", str(Path.home() / ".cache"))
    with tempfile.TemporaryDirectory(prefix="jb-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        make_tasks(folder / "tasks", parts)
        (folder / "cluster.toml").write_text(
            SQRT_JOB.replace("TASKS", "tasks") + 'rows_per_part = 10\n[compute]\ndevice = "cpu"\n'
        )
        (folder / "ray").mkdir()
        cluster = RayCluster(str(folder / "ray"))
        spent: dict[int, float] = {}
        ended = threading.Event()
        try:
            cluster.add()
            cluster.add()
            threading.Thread(target=watch, args=(spent, ended), daemon=True).start()
            command = [sys.executable, "-m", "jaxbatch", "submit", "cluster.toml", "--address", cluster.url, "--quiet"]
            while (code := subprocess.run(command, cwd=folder, env=cluster.environment).returncode) == UNREACHABLE:
                time.sleep(1)  # the head's agent, which starts jobs, comes up after its job server
            assert code == 0, code
        finally:
            ended.set()
            cluster.close()
        report = json.loads((folder / "ours/_jaxbatch/report.json").read_text())
    assert report["parts_done"] == parts
    at_work = sum(sum(worker["stages"].values()) for worker in report["by_worker"].values())
    driver = max(spent.values())
    print(f"{parts:,} parts, {len(report['by_worker'])} workers, {report['seconds']:.1f} s in all")
    print(
        f"a part: {report['seconds'] / parts * 1e3:.2f} ms of wall, {driver / parts * 1e3:.2f} ms of the driver's CPU"
    )
    print(f"workers were idle {report['wait'] / (report['wait'] + at_work):.0%} of the time")
    bar("driver's CPU, ms a part, start included", driver / parts * 1e3, 1)


if __name__ == "__main__":
    main()
