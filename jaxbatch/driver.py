"""One run from beginning to end: plan, skip what is published, dispatch, seal."""

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

from jaxbatch import __version__, environment
from jaxbatch.columns import Status
from jaxbatch.engines import Engine
from jaxbatch.errors import ExitCode, JobError, storage_told
from jaxbatch.faults import crash_point
from jaxbatch.job import Job
from jaxbatch.outcome import Outcome
from jaxbatch.outputs import Output
from jaxbatch.parts import Receipt
from jaxbatch.planner import plan
from jaxbatch.plans import Plan
from jaxbatch.published import Published
from jaxbatch.space import check_space
from jaxbatch.storage import open_store

_LOG = logging.getLogger(__name__)

EngineName = Literal["local", "ray"]


@dataclass(frozen=True)
class Progress:
    """How far a run is, for whoever shows it."""

    rows: int
    rows_done: int
    rows_skipped: int
    failed_rows: int
    parts: int
    parts_done: int


@dataclass(frozen=True)
class Summary:
    """How a run ended. Rows and statuses are those of the whole output, ``rows_per_second`` of this run."""

    exit_code: int
    output: str
    fingerprint: str
    rows: int
    failed_rows: int
    flagged_rows: int
    statuses: Mapping[str, int]
    parts: int
    parts_done: int
    parts_failed: int
    parts_skipped: int
    seconds: float
    rows_per_second: float
    stages: Mapping[str, float]
    compilations: int
    padding: float | None
    """How much longer padded batches of lists were than the lists, as a fraction; None without lists."""
    failures: tuple[str, ...]


@storage_told()
def run(
    job: Job | str | os.PathLike[str],
    *,
    engine: EngineName | None = None,
    address: str | None = None,
    workers: int | None = None,
    limit: int | None = None,
    restart: bool = False,
    allow_unauthenticated: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> Summary:
    """Run a job, or finish one that was interrupted.

    Args:
        job: the job, or the path of its file.
        engine: ``"local"`` or ``"ray"``; by default Ray where an address is given, here, in the job or in
            ``RAY_ADDRESS``.
        address: of a Ray cluster.
        workers: shards in flight (local) or worker processes (Ray).
        limit: compute only the first so many rows.
        restart: remove what is in the output first.
        allow_unauthenticated: use a Ray cluster that asks for no token.
        progress: called after every shard.

    Raises:
        JobError, InputError: refused before any work.
        OutputError: the output belongs to another run or holds other things.
        AccessError: a cluster or a store refuses us, or the cluster asks for no token.
        ClusterError, StorageError: the cluster or a store cannot be reached.
    """
    started = time.monotonic()
    job = job if isinstance(job, Job) else Job.load(job)
    address = address or job.cluster.address or os.environ.get("RAY_ADDRESS")
    address = None if address == "local" else address
    chosen = engine or ("ray" if address else "local")
    environment.prepare(platforms="cpu" if chosen == "ray" else None)
    backend = _open_engine(chosen, job, address, workers, allow_unauthenticated)
    try:
        planned = plan(job, device=backend.device, limit=limit)
        crash_point("planned")
        output = _output(planned)
        if restart:
            output.restart()
        output.check(planned.identity)
        return _finish(planned, output, backend, progress, started)
    finally:
        backend.close()


@storage_told()
def preview(job: Job, *, limit: int | None = None) -> dict[str, Any]:
    """What a run on this machine would do, as JSON values: the plan, and what of it is there already.

    Raises:
        JobError, InputError: the job cannot be run.
        OutputError: its output belongs to another run.
    """
    environment.prepare()
    import jax

    planned = plan(job, device=jax.local_devices()[0].device_kind, limit=limit)
    output = _output(planned)
    output.check(planned.identity)
    there = output.data.published()
    output.data.note(there.values())
    return {
        **planned.describe(),
        "compilations": planned.compilations,
        "parts_skipped": len(there),
        "rows_skipped": sum(receipt.rows for receipt in there.values()),
        "sealed": output.sealed,
    }


def outstanding(planned: Plan, there: Mapping[int, Receipt]) -> dict[int, list[int]]:
    """The parts that are still to be written, by shard."""
    missing = {shard.index: [part.index for part in shard.parts if part.index not in there] for shard in planned.shards}
    return {shard: parts for shard, parts in missing.items() if parts}


def _output(planned: Plan) -> Output:
    store = open_store(planned.output, planned.job.storage)
    return Output(store, planned.fingerprint, planned.stages()[-1].expected)


def _open_engine(
    name: EngineName, job: Job, address: str | None, workers: int | None, allow_unauthenticated: bool
) -> Engine:
    if name == "ray":
        from jaxbatch.engines.ray import RayEngine

        return RayEngine(job, address, workers, allow_unauthenticated=allow_unauthenticated)
    from jaxbatch.engines.local import LocalEngine

    return LocalEngine(workers or job.cluster.workers)


def _finish(
    planned: Plan, output: Output, backend: Engine, progress: Callable[[Progress], None], started: float
) -> Summary:
    new = output.claim({**planned.describe(), "layout": planned.layout()})
    try:
        return _finish_claimed(planned, output, backend, progress, started)
    except JobError:  # refused after all: whoever heeds the remedy has another identity, and wants the same folder
        if new:
            output.disclaim()
        raise


def _finish_claimed(
    planned: Plan, output: Output, backend: Engine, progress: Callable[[Progress], None], started: float
) -> Summary:
    *earlier, final = planned.stages()
    there = output.data.published()
    todo = outstanding(final, there)
    tally = _Tally(planned, there)
    progress(tally.progress())
    if todo:
        check_space(final, todo, output.store)
        output.unseal()
        output.data.recover()
        for stage in earlier:
            partials = Published(output.store, stage.folder, stage.fingerprint, stage.expected)
            left = partials.recover()
            tally.skip(left)
            _run_stage(stage, outstanding(stage, left), backend, partials, tally, progress)
        if not tally.failed:
            _run_stage(final, todo, backend, output.data, tally, progress)
    skipped = [{"path": file.path, "reason": file.reason} for file in planned.skipped]
    summary = tally.summary(time.monotonic() - started)
    with _told_anyway(tally.failed):
        output.record_errors(
            [{"part": part, "reason": reason} for part, reason in sorted(tally.failed.items())]
            + [{"file": file["path"], "reason": file["reason"]} for file in skipped]
        )
        if todo or not output.sealed:
            output.report(_report(summary, backend, planned))
    if not (tally.failed or output.sealed):
        output.seal(skipped)
    return summary


@contextmanager
def _told_anyway(failed: Mapping[int, str]) -> Iterator[None]:
    """Where parts have failed, perhaps of a full disk, that is the news, and not that it cannot be written down."""
    try:
        yield
    except OSError as error:
        if not failed:
            raise
        _LOG.warning("The record of the failed parts could not be written: %s", error)


def _run_stage(
    stage: Plan,
    todo: Mapping[int, list[int]],
    backend: Engine,
    published: Published,
    tally: "_Tally",
    progress: Callable[[Progress], None],
) -> None:
    if not todo:
        return
    for outcome in backend.run(stage, todo):
        tally.add(stage, outcome)
        published.note(outcome.receipts)
        progress(tally.progress())


class _Tally:
    """What has come of a run so far."""

    def __init__(self, planned: Plan, there: Mapping[int, Receipt]):
        self._plan = planned
        self._final = planned.stages()[-1]
        self._skipped = len(there)
        self._receipts = dict(there)
        self._rows_of = {part.index: part.rows for shard in planned.shards for part in shard.parts}
        self._rows_skipped = self._rows_done = 0
        self.failed: dict[int, str] = {}
        self._stages: Counter[str] = Counter()
        self._compilations = 0
        self._padding: Counter[str] = Counter()
        if self._final is planned:
            self.skip(there)
        elif self._skipped == self._final.parts:
            self._rows_skipped = self._rows_done = planned.rows

    def skip(self, there: Iterable[int]) -> None:
        """Count input that earlier attempts have dealt with."""
        self._rows_skipped = sum(self._rows_of[part] for part in there)
        self._rows_done = self._rows_skipped

    def add(self, stage: Plan, outcome: Outcome) -> None:
        """Count one shard's outcome."""
        if stage is self._plan:
            self._rows_done += sum(self._rows_of[receipt.part] for receipt in outcome.receipts)
        if stage.folder == self._final.folder:
            self._receipts |= {receipt.part: receipt for receipt in outcome.receipts}
        first = "first stage: " if stage.folder != self._final.folder else ""
        self.failed |= {failure.part: f"{first}{failure.reason}" for failure in outcome.failures}
        self._stages.update(outcome.stages)
        self._padding.update(outcome.padding)
        self._compilations = max(self._compilations, outcome.compilations)

    def progress(self) -> Progress:
        """The state of things, to show."""
        statuses = self._statuses()
        return Progress(
            rows=self._plan.rows,
            rows_done=self._rows_done,
            rows_skipped=self._rows_skipped,
            failed_rows=sum(count for name, count in statuses.items() if Status[name].failed),
            parts=self._final.parts,
            parts_done=len(self._receipts),
        )

    def summary(self, seconds: float) -> Summary:
        """The end of things."""
        statuses = self._statuses()
        rows = sum(receipt.rows for receipt in self._receipts.values())
        failed_rows = sum(count for name, count in statuses.items() if Status[name].failed)
        if self.failed:
            code = ExitCode.PARTS_FAILED
        elif not self._plan.job.limits.allows(failed_rows, rows):
            code = ExitCode.TOO_MANY_FAILED_ROWS
        else:
            code = ExitCode.DONE
        return Summary(
            exit_code=int(code),
            output=self._plan.output,
            fingerprint=self._plan.fingerprint,
            rows=rows,
            failed_rows=failed_rows,
            flagged_rows=sum(count for name, count in statuses.items() if Status[name].flagged),
            statuses=statuses,
            parts=self._final.parts,
            parts_done=len(self._receipts) - self._skipped,
            parts_failed=len(self.failed),
            parts_skipped=self._skipped,
            seconds=round(seconds, 3),
            rows_per_second=round((self._rows_done - self._rows_skipped) / max(seconds, 1e-9), 1),
            stages={name: round(spent, 3) for name, spent in sorted(self._stages.items())},
            compilations=self._compilations,
            padding=round(self._padding["computed"] / given - 1, 3) if (given := self._padding["given"]) else None,
            failures=tuple(f"part {part}: {reason}" for part, reason in sorted(self.failed.items())),
        )

    def _statuses(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for receipt in self._receipts.values():
            counts.update(receipt.statuses)
        return dict(sorted(counts.items()))


def _report(summary: Summary, backend: Engine, planned: Plan) -> dict[str, Any]:
    return {
        **asdict(summary),
        "jaxbatch": __version__,
        "engine": type(backend).__name__.removesuffix("Engine").lower(),
        "workers": backend.workers,
        "device": planned.identity["device"],
        "versions": planned.identity["code"]["versions"],
        "planned_programs": [dict(program) for program in planned.programs],
    }
