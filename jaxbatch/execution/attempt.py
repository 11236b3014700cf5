"""One run in its output: plan it, skip what is published, dispatch the rest, seal."""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from jaxbatch import __version__
from jaxbatch.compilation.programs import Programs
from jaxbatch.errors import JobError, OutputTaken
from jaxbatch.events import emit
from jaxbatch.execution.engines import Engine
from jaxbatch.execution.progress import Progress, ProgressTracker, Summary
from jaxbatch.execution.space import check_space
from jaxbatch.failpoints import crash_point
from jaxbatch.job.model import Job
from jaxbatch.output.catalog import PartCatalog
from jaxbatch.output.claim import Output
from jaxbatch.output.ownership import check_owner
from jaxbatch.output.part_file import Receipt
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.planner import Addition, plan
from jaxbatch.storage import open_store

_LOG = logging.getLogger(__name__)

OWNER_S = 5.0
"""So often a run looks whether the folder is its own still."""


def planned_for(
    job: Job, backend: Engine, *, ahead: bool, limit: int | None = None, addition: Addition | None = None
) -> Plan:
    """A job's plan on an engine, which compiles ``ahead`` of its end if there will be something to compute."""

    def adopt(programs: Programs) -> None:
        backend.adopt(programs, ahead=ahead)

    made = plan(job, device=backend.device, limit=limit, addition=addition, traced=adopt)
    crash_point("planned")
    return made


def output_of(planned: Plan, others: Callable[[], Iterable[str]] = tuple) -> Output:
    """A plan's output, which may hold that of ``others``, by fingerprint."""
    store = open_store(planned.output, planned.job.storage)
    return Output(store, planned.fingerprint, planned.stages()[-1].expected, planned.records, others)


def outstanding(planned: Plan, there: Mapping[int, Receipt]) -> dict[int, list[int]]:
    """The parts that are still to be written, by shard."""
    missing = {shard.index: [part.index for part in shard.parts if part.index not in there] for shard in planned.shards}
    return {shard: parts for shard, parts in missing.items() if parts}


def described(planned: Plan, output: Output, there: Mapping[int, Receipt]) -> dict[str, Any]:
    """A plan as JSON values, and what of it is there already."""
    output.data.record(there.values())
    return {
        **planned.describe(),
        "compilations": planned.compilations,
        "parts_skipped": len(there),
        "rows_skipped": _rows_behind(planned, there),
        "sealed": output.sealed,
    }


def _rows_behind(planned: Plan, there: Iterable[int]) -> int:
    """How many rows of the input need not be computed again, for the parts that are there."""
    published = set(there)
    final = planned.stages()[-1]
    if final is not planned:  # whose parts come of all rows
        return planned.rows if len(published) == final.parts else 0
    return sum(part.rows for shard in planned.shards for part in shard.parts if part.index in published)


def record(planned: Plan, **more: Any) -> dict[str, Any]:
    """What claims an output for a plan."""
    return {**planned.describe(), **more, "layout": planned.layout()}


def finish(
    planned: Plan,
    output: Output,
    backend: Engine,
    progress: Callable[[Progress], None],
    started: float,
    *,
    new: bool,
) -> Summary:
    """Do all that is missing of an output that is claimed; where that is ``new``, it is taken back if it cannot be."""
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
    tally = ProgressTracker(planned, there, lambda: backend.workers)
    progress(tally.progress())
    run = planned.fingerprint
    emit("Writing %d of %d parts to %s.", final.parts - len(there), final.parts, planned.output, run=run)
    if todo:
        check_space(final, todo, output.store)
        output.unseal()
        output.data.drop_damaged()
        for stage in earlier:
            partials = PartCatalog(output.store, stage.folder, stage.fingerprint, stage.expected)
            left = partials.drop_damaged()
            tally.skip(left)
            _run_stage(stage, outstanding(stage, left), backend, partials, tally, progress)
        if not tally.failed:
            _run_stage(final, todo, backend, output.data, tally, progress)
    skipped = [{"path": file.path, "reason": file.reason} for file in planned.skipped]
    summary = tally.summary(time.monotonic() - started)
    output.check_owner()
    with _prefer_part_failures(tally.failed):
        output.record_errors(
            [{"part": part, "reason": reason} for part, reason in sorted(tally.failed.items())]
            + [{"file": file["path"], "reason": file["reason"]} for file in skipped]
        )
        if todo or not output.sealed:
            output.report({**_report(summary, backend, planned), **tally.timing_report(backend.max_concurrency)})
    if not (tally.failed or output.sealed):
        output.seal(skipped)
    emit("Exit code %d after %.3f s.", summary.exit_code, summary.seconds, run=run)
    return summary


@contextmanager
def _prefer_part_failures(failed: Mapping[int, str]) -> Iterator[None]:
    """Where parts have failed, perhaps of a full disk, that is the news, and not that it cannot be written down."""
    try:
        yield
    except OSError as error:
        if not failed:
            raise
        _LOG.warning("Could not record the failed parts: %s", error)


def _run_stage(
    stage: Plan,
    todo: Mapping[int, list[int]],
    backend: Engine,
    published: PartCatalog,
    tally: ProgressTracker,
    progress: Callable[[Progress], None],
) -> None:
    if not todo:
        return
    checked = time.monotonic()
    for outcome in backend.run(stage, todo):
        tally.add(stage, outcome)
        for failure in outcome.failures:
            told = {"run": stage.fingerprint, "part": failure.part, "worker": outcome.worker}
            emit("Part %d failed: %s", failure.part, failure.reason, level=logging.ERROR, **told)
        published.record(outcome.receipts)
        progress(tally.progress())
        if time.monotonic() - checked > OWNER_S:
            check_owner(published.store, stage.fingerprint, stage.records)
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
