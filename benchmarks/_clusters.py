"""The cost of a shard for the driver on Ray, and clusters of up to a thousand workers simulated from it."""

import heapq
import json
import math
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from _measure import SQRT_JOB, bar

WORKERS = (1, 3, 10, 30, 100, 300, 1000)
SHARDS = 2000
GROUPS = 20
IN_FLIGHT = (2, 20, 200, 2000)
SPREAD = 0.2
"""The spread of shard times, as the standard deviation of their logarithm."""


@dataclass
class Costs:
    """Seconds of the driver: per shard, per call of ``ray.wait``, and per call in flight that it asks about."""

    shard: float
    look: float
    per_call: float


def measured() -> Costs:
    """The costs on a private Ray of this machine, by many small shards, and by waiting for actors that never answer."""
    import ray

    from jaxbatch import Job
    from jaxbatch.cluster.engine import RayEngine
    from jaxbatch.compilation import process_setup
    from jaxbatch.execution.single_run import claim_record, open_output, outstanding
    from jaxbatch.planning import planner

    process_setup.prepare(platforms="cpu")
    with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as name:
        folder = Path(name)
        _make_tasks(folder / "tasks", SHARDS // GROUPS, rows=10, groups=GROUPS)
        (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks") + "rows_per_part = 10\n")
        job = Job.load(folder / "job.toml")
        engine = RayEngine(job, workers=1)
        try:
            plan = planner.plan(job)
            open_output(plan).claim.write(claim_record(plan))
            outcomes = engine.run(plan, plan.final, outstanding(plan.final, {}))
            assert not next(outcomes).failures
            wall, cpu = time.perf_counter(), time.process_time()
            done = sum(not outcome.failures for outcome in outcomes)
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            assert done == SHARDS - 1
            look, per_call = _wait_costs(ray)
        finally:
            engine.close()
    print(f"\n{SHARDS:,} shards of 10 rows on a private Ray, one worker")
    print(f"driver, a shard: {cpu / done * 1e3:.3f} ms of CPU, all its threads; {wall / done * 1e3:.2f} ms of wall")
    print(f"asking who is ready: {look * 1e6:.0f} µs and {per_call * 1e6:.2f} µs for each call in flight")
    bar("driver's CPU, ms a shard", cpu / done * 1e3, 1)
    return Costs(cpu / done, look, per_call)


def _wait_costs(ray: Any) -> tuple[float, float]:
    """Seconds of a ``ray.wait`` and of each call in flight, by a line fitted to several numbers of calls."""

    @ray.remote(num_cpus=0)
    class Silent:
        def call(self) -> None:
            time.sleep(3600)

    took = []
    for count in IN_FLIGHT:
        actor = Silent.remote()
        calls = [actor.call.remote() for _ in range(count)]
        ray.wait(calls, timeout=0.5)
        times = []
        for _ in range(20):
            began = time.perf_counter()
            ray.wait(calls, num_returns=1, timeout=0)
            ray.wait(calls, num_returns=count, timeout=0)
            times.append(time.perf_counter() - began)
        took.append(np.median(times))
        ray.kill(actor)
    slope, constant = np.polyfit(IN_FLIGHT, took, 1, w=1 / np.array(took))
    return max(float(constant), 0.0), float(slope)


def shard_seconds() -> float:
    """Seconds that a shard of a million rows takes one of two threads on this machine."""
    from jaxbatch import run

    with tempfile.TemporaryDirectory(prefix="jaxbatch-bench-") as name:
        folder = Path(name)
        _make_tasks(folder / "tasks", 6, rows=1_000_000, groups=1)
        (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks"))
        assert run(folder / "job.toml").exit_code == 0
        report = json.loads((folder / "ours/_jaxbatch/report.json").read_text())
        return sum(report["stages"].values()) / report["parts"]


def _make_tasks(folder: Path, files: int, *, rows: int, groups: int) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(files):
        table = pa.table({"x": rng.uniform(1.0, 9.0, rows * groups)})
        pq.write_table(table, folder / f"{number:04d}.parquet", row_group_size=rows)


def simulate(workers: int, seconds: float, costs: Costs) -> tuple[float, float]:
    """How many times faster than one thread a cluster is, and the share of the time that its driver is busy.

    The loop is the engine's: fill all free slots, wait for the first result, take in all that have arrived.
    """
    from jaxbatch.cluster.actors import SLOTS

    slots = workers * SLOTS
    shards = max(10_000, 20 * slots)
    lengths = seconds * np.random.default_rng(0).lognormal(-(SPREAD**2) / 2, SPREAD, shards)
    now = busy = 0.0
    submitted, free, in_flight = 0, slots, list[float]()
    while submitted < shards or in_flight:
        while submitted < shards and free:
            heapq.heappush(in_flight, now + lengths[submitted])
            submitted, free = submitted + 1, free - 1
        now = max(now, in_flight[0])
        spent = costs.look + costs.per_call * len(in_flight)
        while in_flight and in_flight[0] <= now + spent:
            heapq.heappop(in_flight)
            free += 1
            spent += costs.shard
        now, busy = now + spent, busy + spent
    return float(lengths.sum()) / now, busy / now


def clusters(costs: Costs, plot: Path | None) -> None:
    """Print the table of simulated clusters, and draw it if ``plot`` names a file."""
    measured_s = shard_seconds()
    lengths = [measured_s, 10 * measured_s, 100 * measured_s]
    print(
        f"\nsimulated clusters; a shard takes {measured_s:.2f} s, as a million rows of √x do here, "
        "or 10 or 100 times that"
    )
    print(
        f"{'workers':>8}" + "".join(f"{f'{seconds:.2f} s: speed':>18}{'ideal':>7}{'driver':>8}" for seconds in lengths)
    )
    speeds: dict[float, list[float]] = {seconds: [] for seconds in lengths}
    for workers in WORKERS:
        line = f"{workers:8,}"
        for seconds in lengths:
            speed, share = simulate(workers, seconds, costs)
            speeds[seconds].append(speed)
            line += f"{speed:18,.1f}{speed / (2 * workers):7.0%}{share:8.1%}"
        print(line)
    for seconds in lengths:
        limit = 1 / (costs.shard * 2) * seconds
        print(f"a shard of {seconds:.2f} s: the driver alone would keep up with {math.floor(limit):,} workers of two")
    if plot is not None:
        _plot(speeds, plot)


def _plot(speeds: dict[float, list[float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "jaxbatch"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6.4, 4.0))
    axes.loglog(WORKERS, [2 * workers for workers in WORKERS], ":", color="gray", label="ideal: two threads a worker")
    for seconds, found in speeds.items():
        axes.loglog(WORKERS, found, "o-", markersize=4, label=f"shards of {seconds:.2f} s")
    axes.set(xlabel="workers", ylabel="× one thread", title="Simulated clusters, one driver")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})
