"""The cost of a part in the control plane, without data; and how many workers one driver can serve.

    python benchmarks/scaling.py [--parts 10000 100000 1000000] [--no-clusters] [--plot docs/scaling.svg]

Every number of parts is measured in a process of its own. A file has a hundred row groups, each a shard and a part. The
store is a dictionary and the engine answers at once, so jaxbatch alone is measured: cutting the input, writing the
plan, counting results, finding existing parts (one listing), the manifest and the seal. Bytes are those of the process,
per part: its peak after each step less its peak before the first.
"""

import argparse
import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from _clusters import clusters, measured
from _measure import SQRT_JOB, bar, machine

SIZES = (10_000, 100_000, 1_000_000)
GROUPS = 100
FILES = (10_000, 100_000)
LINKS = 50_000


class MemoryStore:
    """A store in memory: of parts it keeps names and sizes, of all else the contents."""

    url = "memory"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.parts: dict[str, int] = {}

    def create(self, name: str, data: bytes) -> bool:
        """See jaxbatch.storage.Store."""
        return self.kept.setdefault(name, data) is data

    def replace(self, name: str, data: bytes) -> None:
        """See jaxbatch.storage.Store."""
        self.kept[name] = data

    def create_marker(self, name: str) -> None:
        """See jaxbatch.storage.Store."""
        self.kept[name] = b""

    def read(self, name: str, start: int = 0) -> bytes:
        """See jaxbatch.storage.Store."""
        if name not in self.kept:
            raise FileNotFoundError(name)
        return self.kept[name][start:]

    def open(self, name: str) -> io.BytesIO:
        """See jaxbatch.storage.Store."""
        return io.BytesIO(self.read(name))

    def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See jaxbatch.storage.Store."""
        below = f"{folder}/" if folder else ""
        yield from ((name, len(data)) for name, data in self.kept.items() if name.startswith(below))
        yield from ((name, size) for name, size in self.parts.items() if name.startswith(below))

    def delete(self, name: str) -> None:
        """See jaxbatch.storage.Store."""
        self.kept.pop(name, None)
        self.parts.pop(name, None)

    def sync(self, folder: str) -> None:
        """See jaxbatch.storage.Store."""

    def remove_temporaries(self) -> None:
        """See jaxbatch.storage.Store."""

    def free(self) -> None:
        """See jaxbatch.storage.Store."""


class InstantEngine:
    """An engine that returns a result for every shard at once, without computing."""

    device = "cpu"
    workers = max_concurrency = 1
    name = "scaling"

    def __init__(self, store: MemoryStore) -> None:
        self.store = store

    def run(self, plan: Any, stage: Any, outstanding: Any) -> Iterator[Any]:
        """See jaxbatch.execution.engines.Engine."""
        from jaxbatch.execution.shard_result import ShardResult
        from jaxbatch.output.paths import part_name
        from jaxbatch.output.receipt import Receipt

        del stage
        for shard, wanted in outstanding.items():
            result = ShardResult(shard, "here")
            for part in wanted:
                name = part_name(part, plan.fingerprint)
                self.store.parts[name] = 1000
                digest = f"{part:064x}"
                result.receipts.append(Receipt(part, name, 10, 1000, digest, digest, plan.fingerprint, {"ok": 10}))
            result.stages = {"read": 0.001, "compute": 0.001}
            yield result

    def adopt(self, programs: Any, *, ahead: bool) -> None:
        """See jaxbatch.execution.engines.Engine."""

    def close(self) -> None:
        """See jaxbatch.execution.engines.Engine."""


def one(parts: int) -> None:
    """Measure one size in this process, and print seconds and bytes by step as JSON."""
    from jaxbatch import Job
    from jaxbatch.compilation import process_setup
    from jaxbatch.execution import single_run
    from jaxbatch.input.shards import cut, row_groups
    from jaxbatch.output.run_output import RunOutput
    from jaxbatch.planning import planner
    from jaxbatch.planning.stage_plans import RowPlan

    process_setup.prepare(platforms="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pq.write_table(pa.table({"x": [1.0] * 10}), folder / "tasks.parquet")
        (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks.parquet") + "rows_per_part = 10\n")
        small = planner.plan(Job.load(folder / "job.toml"))
    found: dict[str, tuple[float, float]] = {}
    before = _peak()

    def step(what: str, since: float) -> float:
        now = time.perf_counter()
        found[what] = (now - since, _peak() - before)
        return time.perf_counter()

    began = time.perf_counter()
    files = tuple(
        replace(small.files[0], path=f"tasks/{n:07d}.parquet", name=f"{n:07d}.parquet", row_groups=(10,) * GROUPS)
        for n in range(parts // GROUPS)
    )
    groups = row_groups(files)
    plan = replace(small, files=files, stages=(RowPlan(cut(groups, 10)),))
    began = step("plan", began)
    store = MemoryStore()
    output = RunOutput(store, plan.fingerprint, plan.final.expected)  # type: ignore[arg-type]
    output.claim.write(single_run.claim_record(plan))
    engine: Any = InstantEngine(store)
    summary = single_run.finish(plan, output, engine, lambda _: None, time.monotonic(), new=True)
    began = step("run and seal", began)
    assert (summary.exit_code, summary.parts_done, output.seal.is_valid()) == (0, parts, True)
    print(json.dumps(found))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def plan_files(files: int) -> None:
    """Plan this number of files, links to a few, in this process, and print seconds and bytes as JSON."""
    from jaxbatch import Job
    from jaxbatch.compilation import process_setup
    from jaxbatch.planning import planner

    process_setup.prepare(platforms="cpu")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tasks").mkdir()
        table = pa.table({f"column {number}": [0.5] * GROUPS for number in range(20)} | {"x": [1.0] * GROUPS})
        for number in range(files):
            original = folder / f"{number // LINKS}.parquet"
            if not original.exists():
                pq.write_table(table, original, row_group_size=10)
            os.link(original, folder / "tasks" / f"{number:06d}.parquet")
        footer = pq.read_metadata(folder / "0.parquet").serialized_size
        (folder / "job.toml").write_text(SQRT_JOB.replace("TASKS", "tasks"))
        before, began = _peak(), time.perf_counter()
        plan = planner.plan(Job.load(folder / "job.toml"))
        assert plan.rows == files * GROUPS
        print(json.dumps([time.perf_counter() - began, _peak() - before, footer]))


def planning() -> None:
    """Print the table of costs per file."""
    found, footer = [], 1
    for files in FILES:
        out = subprocess.run(
            [sys.executable, __file__, "--plan", str(files)], capture_output=True, text=True, check=True
        )
        seconds, peak, footer = json.loads(out.stdout)
        found.append((seconds / files * 1e6, peak / files))
    print(f"\n{f'a file costs, of {footer:,} B of footer':36}" + "".join(f"{files:>24,}" for files in FILES))
    print(f"{'plan':36}" + "".join(f"{micros:12.1f} µs {peak:6,.0f} B" for micros, peak in found))
    bar("plan: time of a file, most files / fewest", found[-1][0] / found[0][0], 1.3)
    bar("plan: bytes of a file / its footer", found[-1][1] / footer, 1)


def control_plane(sizes: list[int]) -> None:
    """Print the table of costs per part."""
    costs: dict[str, list[tuple[float, float]]] = {}
    for parts in sizes:
        out = subprocess.run(
            [sys.executable, __file__, "--one", str(parts)], capture_output=True, text=True, check=True
        )
        for what, (seconds, peak) in json.loads(out.stdout).items():
            costs.setdefault(what, []).append((seconds / parts * 1e6, peak / parts))
    print(f"\n{'a part costs':16}" + "".join(f"{parts:>24,}" for parts in sizes))
    for what, found in costs.items():
        print(f"{what:16}" + "".join(f"{micros:12.1f} µs {peak:6,.0f} B" for micros, peak in found))
    for what, found in costs.items():
        bar(f"{what}: time of a part, most parts / fewest", found[-1][0] / found[0][0], 1.3)
        bar(f"{what}: bytes of a part, most parts / fewest", found[-1][1] / found[0][1], 1.3)


def main() -> None:
    """Print the tables, and draw the picture if a file is named for it."""
    if sys.argv[1:2] == ["--one"]:
        one(int(sys.argv[2]))
        return
    if sys.argv[1:2] == ["--plan"]:
        plan_files(int(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", type=int, nargs="*", default=SIZES)
    parser.add_argument("--no-clusters", action="store_true")
    parser.add_argument("--plot", type=Path)
    wanted = parser.parse_args()
    print(machine(["jax", "pyarrow", "ray"]))
    if wanted.parts:
        control_plane(wanted.parts)
        planning()
    if not wanted.no_clusters:
        clusters(measured(), wanted.plot)


if __name__ == "__main__":
    main()
