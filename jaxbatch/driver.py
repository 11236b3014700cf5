"""One run from beginning to end: plan, skip what is published, dispatch, seal."""

import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from typing import Any, Literal

from jaxbatch import __version__, environment, instructions
from jaxbatch.compiled import Programs
from jaxbatch.engines import Engine
from jaxbatch.errors import JobError, OutputTaken, storage_told
from jaxbatch.faults import crash_point
from jaxbatch.job import Job
from jaxbatch.outputs import SUCCESS, Output, check_owner
from jaxbatch.parts import Receipt
from jaxbatch.planner import plan
from jaxbatch.plans import Plan
from jaxbatch.published import Published
from jaxbatch.space import check_space
from jaxbatch.storage import open_store
from jaxbatch.tally import Progress, Summary, Tally

_LOG = logging.getLogger(__name__)

OWNER_S = 5.0
"""So often a run looks whether the folder is its own still."""

EngineName = Literal["local", "ray"]


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
    job = job if isinstance(job, Job) else Job.load(job)
    address = address or job.cluster.address or os.environ.get("RAY_ADDRESS")
    address = None if address == "local" else address
    chosen = engine or ("ray" if address else "local")
    environment.prepare(platforms="cpu" if chosen == "ray" else None)
    with instructions.as_workers_have_it() if chosen == "ray" else nullcontext():
        return _run(job, chosen, address, workers, limit, restart, allow_unauthenticated, progress)


def _run(
    job: Job,
    chosen: EngineName,
    address: str | None,
    workers: int | None,
    limit: int | None,
    restart: bool,
    allow_unauthenticated: bool,
    progress: Callable[[Progress], None],
) -> Summary:
    started = time.monotonic()
    backend = _open_engine(chosen, job, address, workers, allow_unauthenticated)
    try:
        done_once = _has_success(job)

        def adopt(programs: Programs) -> None:
            backend.adopt(programs, ahead=not done_once)

        planned = plan(job, device=backend.device, limit=limit, traced=adopt)
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


def _has_success(job: Job) -> bool:
    """Whether a run has ended in the job's output, and so perhaps this one: then nothing may be left to compute."""
    try:
        open_store(job.resolve(job.output.path), job.storage).read(SUCCESS)
    except ConnectionError:
        raise
    except OSError:  # there is none, or else planning will say so
        return False
    return True


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
    except OutputTaken:
        backend.close()
        output.leave()
        raise


def _finish_claimed(
    planned: Plan, output: Output, backend: Engine, progress: Callable[[Progress], None], started: float
) -> Summary:
    *earlier, final = planned.stages()
    there = output.data.published()
    todo = outstanding(final, there)
    tally = Tally(planned, there)
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
    output.check_owner()
    with _told_anyway(tally.failed):
        output.record_errors(
            [{"part": part, "reason": reason} for part, reason in sorted(tally.failed.items())]
            + [{"file": file["path"], "reason": file["reason"]} for file in skipped]
        )
        if todo or not output.sealed:
            output.report({**_report(summary, backend, planned), **tally.times(backend.at_once)})
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
    tally: "Tally",
    progress: Callable[[Progress], None],
) -> None:
    if not todo:
        return
    checked = time.monotonic()
    for outcome in backend.run(stage, todo):
        tally.add(stage, outcome)
        published.note(outcome.receipts)
        progress(tally.progress())
        if time.monotonic() - checked > OWNER_S:
            check_owner(published.store, stage.fingerprint)
            checked = time.monotonic()


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
