"""A job from beginning to end, by its output's mode."""

import os
import time
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Any, Literal

from jaxbatch import appending, attempt, environment, instructions, invariants
from jaxbatch.engines import Engine
from jaxbatch.errors import UsageError, storage_told
from jaxbatch.job import Job
from jaxbatch.planner import plan
from jaxbatch.records import SUCCESS
from jaxbatch.storage import open_store
from jaxbatch.tally import Progress, Summary

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
        restart: remove what is in the output first; of one that grows, what is unfinished.
        allow_unauthenticated: use a Ray cluster that asks for no token.
        progress: called after every shard.

    Raises:
        JobError, InputError: refused before any work.
        UsageError: a ``limit`` for an output that grows.
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
        invariants.check()
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
    def opened() -> Engine:
        return _open_engine(chosen, job, address, workers, allow_unauthenticated)

    if job.output.mode == "append":
        _check_whole(limit)
        return appending.run(job, opened, restart=restart, progress=progress)
    started = time.monotonic()
    with closing(opened()) as backend:
        planned = attempt.planned_for(job, backend, ahead=not _has_success(job), limit=limit)
        output = attempt.output_of(planned)
        if restart:
            output.restart()
        if job.output.mode == "replace" and not output.is_ours():
            output.take_over(attempt.record(planned))
        output.check(planned.identity)
        new = output.claim(attempt.record(planned))
        return attempt.finish(planned, output, backend, progress, started, new=new)


@storage_told()
def preview(job: Job, *, limit: int | None = None) -> dict[str, Any]:
    """What a run on this machine would do, as JSON values: the plan, and what of it is there already.

    Raises:
        JobError, InputError: the job cannot be run.
        OutputError: its output belongs to another run.
    """
    environment.prepare()
    import jax

    device = jax.local_devices()[0].device_kind
    if job.output.mode == "append":
        _check_whole(limit)
        return appending.preview(job, device)
    planned = plan(job, device=device, limit=limit)
    output = attempt.output_of(planned)
    if job.output.mode == "replace" and not output.is_ours():
        return attempt.described(planned, output, {}) | {"replaces": True}
    output.check(planned.identity)
    return attempt.described(planned, output, output.data.published())


def _check_whole(limit: int | None) -> None:
    """Refuse to add a part of some files to an output: nobody would ever add the rest."""
    if limit is not None:
        raise UsageError(
            'The output is one that grows (mode = "append"), where --limit would leave rows out for good.',
            "Try the job with --set 'output.mode=\"create\"' --set 'output.path=\"elsewhere\"'.",
        )


def _has_success(job: Job) -> bool:
    """Whether a run has ended in the job's output, and so perhaps this one: then nothing may be left to compute."""
    try:
        open_store(job.resolve(job.output.path), job.storage).read(SUCCESS)
    except ConnectionError:
        raise
    except OSError:  # there is none, or else planning will say so
        return False
    return True


def _open_engine(
    name: EngineName, job: Job, address: str | None, workers: int | None, allow_unauthenticated: bool
) -> Engine:
    if name == "ray":
        from jaxbatch.engines.ray import RayEngine

        return RayEngine(job, address, workers, allow_unauthenticated=allow_unauthenticated)
    from jaxbatch.engines.local import LocalEngine

    return LocalEngine(workers or job.cluster.workers)
