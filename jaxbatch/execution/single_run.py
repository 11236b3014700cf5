"""One run in its output: plan it, skip the parts that are published, have an engine compute the rest, seal."""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from jaxbatch import __version__
from jaxbatch.errors import JobError, OutputTaken
from jaxbatch.events import emit
from jaxbatch.execution.disk_space import check_space
from jaxbatch.execution.engines import Engine
from jaxbatch.execution.progress import Progress, ProgressTracker
from jaxbatch.execution.summary import Summary
from jaxbatch.failpoints import crash_point
from jaxbatch.job.model import Job
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.output.catalog import PartCatalog
from jaxbatch.output.ownership import check_owner
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord
from jaxbatch.output.run_output import RunOutput
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.planner import Addition, plan
from jaxbatch.planning.stage_plans import StagePlan
from jaxbatch.storage import open_store

_LOG = logging.getLogger(__name__)

OWNER_S = 5.0
"""Seconds between two looks whether the folder still belongs to the run."""


def make_plan(
    job: Job, backend: Engine, *, ahead: bool, limit: int | None = None, addition: Addition | None = None
) -> Plan:
    """A job's plan on an engine, which compiles while the plan is made if something will be computed (``ahead``)."""

    def adopt(programs: ProgramSet) -> None:
        backend.adopt(programs, ahead=ahead)

    made = plan(job, device=backend.device, limit=limit, addition=addition, traced=adopt)
    crash_point("planned")
    return made


def open_output(planned: Plan, others: Callable[[], Iterable[str]] = tuple) -> RunOutput:
    """A plan's output. ``others`` gives the fingerprints of further runs that the folder may hold."""
    store = open_store(planned.output, planned.job.storage)
    return RunOutput(store, planned.fingerprint, planned.final.expected, planned.records, others)


def outstanding(stage: StagePlan, published: Mapping[int, Receipt]) -> dict[int, list[int]]:
    """The parts that are still to be written, by shard."""
    missing = {
        shard.index: [part.index for part in shard.parts if part.index not in published] for shard in stage.shards
    }
    return {shard: parts for shard, parts in missing.items() if parts}


def describe_plan(planned: Plan, output: RunOutput, published: Mapping[int, Receipt]) -> dict[str, Any]:
    """A plan as JSON values, with what of it is published already."""
    output.data.record(published.values())
    return {
        **planned.describe(),
        "compilations": planned.compilations,
        "parts_skipped": len(published),
        "rows_skipped": _rows_behind(planned, published),
        "sealed": output.seal.is_valid(),
    }


def _rows_behind(planned: Plan, published: Collection[int]) -> int:
    """How many rows of the input need not be computed again, because these parts are published."""
    if planned.final is not planned.first:  # each part of the merge comes of all rows
        return planned.rows if len(published) == planned.final.parts else 0
    return sum(part.rows for shard in planned.final.shards for part in shard.parts if part.index in published)


def claim_record(planned: Plan, **more: Any) -> ClaimRecord:
    """The record that claims an output for a plan."""
    return ClaimRecord(**planned.describe(), **more, layout=planned.layout())


def finish(
    planned: Plan,
    output: RunOutput,
    backend: Engine,
    progress: Callable[[Progress], None],
    started: float,
    *,
    new: bool,
) -> Summary:
    """Compute what is missing of a claimed output, and seal it. A ``new`` claim is withdrawn if the job is refused."""
    try:
        return _finish_claimed(planned, output, backend, progress, started)
    except JobError:  # refused after all: the corrected job has another identity, and wants the same folder
        if new:
            output.claim.withdraw()
        raise
    except OutputTaken:
        backend.close()
        output.claim.remove_parts()
        raise


def _finish_claimed(
    planned: Plan, output: RunOutput, backend: Engine, progress: Callable[[Progress], None], started: float
) -> Summary:
    *earlier, final = planned.stages
    published = output.data.published()
    todo = outstanding(final, published)
    tracker = ProgressTracker(planned, published, lambda: backend.workers)
    progress(tracker.progress())
    run = planned.fingerprint
    emit("Writing %d of %d parts to %s.", final.parts - len(published), final.parts, planned.output, run=run)
    if todo:
        check_space(planned, final, todo, output.store)
        output.seal.remove()
        output.data.drop_damaged()
        for stage in earlier:
            partials = PartCatalog(output.store, stage.folder, planned.fingerprint, stage.expected)
            left = partials.drop_damaged()
            tracker.skip(left)
            _run_stage(planned, stage, outstanding(stage, left), backend, partials, tracker, progress)
        if not tracker.failed:
            _run_stage(planned, final, todo, backend, output.data, tracker, progress)
    skipped = [{"path": file.path, "reason": file.reason} for file in planned.skipped]
    summary = tracker.summary(time.monotonic() - started)
    output.claim.check_owner()
    with _prefer_part_failures(tracker.failed):
        output.record_errors(
            [{"part": part, "reason": reason} for part, reason in sorted(tracker.failed.items())]
            + [{"file": file["path"], "reason": file["reason"]} for file in skipped]
        )
        if todo or not output.seal.is_valid():
            output.write_report(
                {**_report(summary, backend, planned), **tracker.timing_report(backend.max_concurrency)}
            )
    if not (tracker.failed or output.seal.is_valid()):
        output.seal.write(skipped)
    emit("Exit code %d after %.3f s.", summary.exit_code, summary.seconds, run=run)
    return summary


@contextmanager
def _prefer_part_failures(failed: Mapping[int, str]) -> Iterator[None]:
    """Report the failures of parts rather than that they cannot be recorded: a full disk may be the cause of both."""
    try:
        yield
    except OSError as error:
        if not failed:
            raise
        _LOG.warning("Could not record the failed parts: %s", error)


def _run_stage(
    planned: Plan,
    stage: StagePlan,
    todo: Mapping[int, list[int]],
    backend: Engine,
    published: PartCatalog,
    tracker: ProgressTracker,
    progress: Callable[[Progress], None],
) -> None:
    if not todo:
        return
    checked = time.monotonic()
    for result in backend.run(planned, stage, todo):
        tracker.add(stage, result)
        for failure in result.failures:
            fields = {"run": planned.fingerprint, "part": failure.part, "worker": result.worker}
            emit("Part %d failed: %s", failure.part, failure.reason, level=logging.ERROR, **fields)
        published.record(result.receipts)
        progress(tracker.progress())
        if time.monotonic() - checked > OWNER_S:
            check_owner(published.store, planned.fingerprint, planned.records)
            checked = time.monotonic()


def _report(summary: Summary, backend: Engine, planned: Plan) -> dict[str, Any]:
    return {
        **asdict(summary),
        "jaxbatch": __version__,
        "engine": backend.name,
        "workers": backend.workers,
        "device": planned.identity["device"],
        "versions": planned.identity["code"]["versions"],
        "planned_programs": [dict(program) for program in planned.programs],
    }
