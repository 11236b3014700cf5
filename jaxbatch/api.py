"""What Python users call: run a job, or see what a run would do, by its output's mode."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Literal

from jaxbatch.cluster.resources import check_device
from jaxbatch.compilation import devices, instructions, invariants, process_setup
from jaxbatch.errors import UsageError, translate_storage_errors
from jaxbatch.execution import single_run
from jaxbatch.execution.engines import Engine
from jaxbatch.execution.engines.local import LocalEngine
from jaxbatch.execution.progress import Progress
from jaxbatch.execution.summary import Summary
from jaxbatch.job.model import Job
from jaxbatch.output.paths import SUCCESS
from jaxbatch.planning.planner import plan
from jaxbatch.storage import open_store

EngineName = Literal["local", "ray"]


@translate_storage_errors()
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
        engine: ``"local"`` or ``"ray"``; by default Ray if an address is given here, in the job or in RAY_ADDRESS.
        address: of a Ray cluster, as ``ray.init`` takes it; ``"local"`` for a private Ray.
        workers: how many shards (local) or worker processes (Ray) are at work at once.
        limit: compute only this number of rows, the first of the input.
        restart: remove what is in the output first; of one that grows, only an unfinished run.
        allow_unauthenticated: use a Ray cluster that asks for no token, too.
        progress: called with the counts so far at the beginning and after every shard.

    Returns:
        How the run ended. Parts and rows that failed are counted there, and raise nothing.

    Raises:
        JobError, InputError: refused before any work.
        UsageError: a ``limit`` for an output that grows.
        OutputError: the output belongs to another run or holds other things.
        AccessError: a cluster or a store refuses access, or the cluster asks for no token.
        ClusterError, StorageError: the cluster or a store cannot be reached.
    """
    job = job if isinstance(job, Job) else Job.load(job)
    address = address or _address_for(job)
    chosen = engine or ("ray" if address else "local")
    address = None if address == "local" else address
    platforms = devices.confined_to() if chosen == "ray" else None

    def open_engine() -> Engine:
        if chosen == "local":
            return LocalEngine(workers or job.cluster.workers, job.compute.device)
        from jaxbatch.cluster.engine import RayEngine

        return RayEngine(job, address, workers, allow_unauthenticated=allow_unauthenticated, platforms=platforms)

    if chosen == "ray":
        check_device(job, on_cluster=address is not None)
    with _computing_for(job, chosen):
        return _run(job, open_engine, limit, restart, progress)


def _address_for(job: Job) -> str | None:
    return job.cluster.address or os.environ.get("RAY_ADDRESS")


@contextmanager
def _computing_for(job: Job, engine: EngineName) -> Iterator[None]:
    """Set up JAX in this process for a job on an engine, and restore the caller's settings afterwards.

    With Ray this process only plans: on the CPU, so that the GPUs' memory is left to the workers.

    Raises:
        JobError: JAX finds no device as the job asks for.
    """
    on_ray = engine == "ray"
    with ExitStack() as entered:
        entered.enter_context(process_setup.prepared(platforms="cpu" if on_ray else None))
        try:
            entered.enter_context(devices.computing_on("cpu" if on_ray else job.compute.device))
        except devices.NoDevice as error:
            raise job.error(("compute", "device"), error.what, error.remedy) from error
        if on_ray:
            entered.enter_context(instructions.worker_xla_flags())
        invariants.check_flags()
        yield


def _run(
    job: Job, open_engine: Callable[[], Engine], limit: int | None, restart: bool, progress: Callable[[Progress], None]
) -> Summary:
    if job.output.mode == "append":
        from jaxbatch.execution import appending

        _check_whole(limit)
        return appending.run(job, open_engine, restart=restart, progress=progress)
    started = time.monotonic()
    with closing(open_engine()) as backend:
        planned = single_run.make_plan(job, backend, ahead=not _has_success(job), limit=limit)
        output = single_run.open_output(planned)
        if restart:
            output.claim.restart()
        if job.output.mode == "replace" and not output.claim.is_held():
            output.claim.take_over(single_run.claim_record(planned))
        output.claim.check(planned.identity)
        new = output.claim.write(single_run.claim_record(planned))
        return single_run.finish(planned, output, backend, progress, started, new=new)


@translate_storage_errors()
def preview(job: Job, *, limit: int | None = None) -> dict[str, Any]:
    """What a run on this machine would do, as JSON values: the plan, and what of it is published already.

    Raises:
        JobError, InputError: the job cannot be run.
        OutputError: its output belongs to another run.
    """
    if address := _address_for(job):
        check_device(job, on_cluster=address != "local")
    with _computing_for(job, "local"):
        return _preview(job, devices.described_here(job.compute.device), limit)


def _preview(job: Job, device: devices.Device, limit: int | None) -> dict[str, Any]:
    if job.output.mode == "append":
        from jaxbatch.execution import appending

        _check_whole(limit)
        return appending.preview(job, device)
    planned = plan(job, device=device, limit=limit)
    output = single_run.open_output(planned)
    if job.output.mode == "replace" and not output.claim.is_held():
        return single_run.describe_plan(planned, output, {}) | {"replaces": True}
    output.claim.check(planned.identity)
    return single_run.describe_plan(planned, output, output.data.published())


def _check_whole(limit: int | None) -> None:
    """Refuse to add only some rows of a file to an output that grows: no later run would add the others."""
    if limit is not None:
        raise UsageError(
            'In an output with mode = "append", --limit would leave rows out for good.',
            "Try the job with --set 'output.mode=\"create\"' --set 'output.path=\"elsewhere\"'.",
        )


def _has_success(job: Job) -> bool:
    """Whether a run has ended in the job's output: it may be this one, with nothing left to compute."""
    try:
        open_store(job.resolve(job.output.path), job.storage).read(SUCCESS)
    except ConnectionError:
        raise
    except OSError:  # there is none, or planning will report the error
        return False
    return True
