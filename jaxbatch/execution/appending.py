"""Runs that add to an output: first the one that was interrupted, then one of the input files that are new."""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from jaxbatch import __version__
from jaxbatch.compilation.devices import Device
from jaxbatch.errors import ClaimedByAnother, ExitCode, JaxbatchError, NoUsableFile, OutputError
from jaxbatch.execution import single_run
from jaxbatch.execution.engines import Engine
from jaxbatch.execution.pending import NothingToDo, PendingRun, as_output_error, checked_plan, may_skip_all, next_work
from jaxbatch.execution.progress import Progress
from jaxbatch.execution.summary import Summary, combined, summary_of_existing
from jaxbatch.input.file_checks import BadFile
from jaxbatch.job.model import Job
from jaxbatch.output import ledger
from jaxbatch.output.ledger import Ledger
from jaxbatch.planning.planner import plan
from jaxbatch.storage import open_store

_LOG = logging.getLogger(__name__)


def run(job: Job, open_engine: Callable[[], Engine], *, restart: bool, progress: Callable[[Progress], None]) -> Summary:
    """Finish the unfinished run of the job's output, if there is one, and add a run of all new files of its input.

    With ``restart`` a run that was never sealed is forgotten, and its files count as new.

    Raises: see :func:`jaxbatch.api.run`.
    """
    started = time.monotonic()
    store = open_store(job.resolve(job.output.path), job.storage)
    forgotten = ledger.forget_unfinished(store) if restart else 0
    known = Ledger.read(store)
    if restart and not forgotten and known.runs and known.unfinished is None:
        _LOG.warning('--restart has nothing to remove: no run is unfinished, and mode = "append" keeps sealed runs.')
    try:
        done, idle = _run(job, known, open_engine, progress)
    except JaxbatchError:
        with suppress(JaxbatchError, OSError):  # the first error is the one to report
            known.sync_success_marker()
        raise
    known.sync_success_marker()
    seconds = time.monotonic() - started
    if done:
        return combined(done, seconds)
    latest = Ledger.read(store, known).runs[-1]
    return summary_of_existing(job, latest.claim, latest.receipts or (), latest.paths, len(idle.left_out), seconds)


def _run(
    job: Job, known: Ledger, open_engine: Callable[[], Engine], progress: Callable[[Progress], None]
) -> tuple[list[Summary], NothingToDo]:
    done: list[Summary] = []
    tried: list[tuple[int, bool]] = []
    while isinstance(work := next_work(job, known := Ledger.read(known.store, known)), PendingRun):
        new = work.unfinished is None
        if (work.number, new) in tried:
            raise OutputError(
                f"{known.store.url}: the records of run {work.number} keep disappearing.",
                "Something else is changing this folder: stop it, then run again.",
            )
        tried.append((work.number, new))
        backend = open_engine()
        try:
            summary = _add(work, known, backend, progress)
        except NoUsableFile as error:
            if not may_skip_all(work, known):
                raise
            _LOG.warning("%s", error.what)
            return done, NothingToDo(
                (*work.left_out, *(BadFile(file.path, error.what) for file in work.addition.files))
            )
        finally:
            backend.close()
        if summary is None:
            continue  # another driver has claimed a run or forgotten this one: ask the ledger again
        done.append(summary)
        if new or summary.exit_code == ExitCode.PARTS_FAILED:
            return done, NothingToDo()
    return done, work


def _add(work: PendingRun, known: Ledger, backend: Engine, progress: Callable[[Progress], None]) -> Summary | None:
    """Do one run; None if another driver was faster, and it is no longer the next one."""
    started = time.monotonic()
    make_plan = partial(single_run.make_plan, work.job, backend, ahead=True, addition=work.addition)
    planned = checked_plan(work, known, make_plan)
    output = single_run.open_output(planned, lambda: Ledger.read(known.store, known).others(planned.records))
    if work.unfinished is not None and not output.claim.is_held():
        return None
    output.seal.remove()  # before the claim: _SUCCESS must not stand beside an unfinished run; and again after it
    if work.unfinished is None:
        versions = {file.path: file.version or "" for file in work.addition.files}
        entries = [(ledger.ledger_path(work.job, file.path), versions[file.path]) for file in planned.files]
        types = {column.name: str(column.type) for column in planned.read}
        more = {"types": types, "ledger": entries, "seen_again": dict(work.same or {})}
        try:
            output.claim.write(single_run.claim_record(planned, **more))
        except ClaimedByAnother:
            return None
        output.seal.remove()
    finish = partial(single_run.finish, planned, output, backend, progress, started, new=work.unfinished is None)
    return as_output_error(work.unfinished, finish)


def preview(job: Job, device: Device) -> dict[str, Any]:
    """The plan of the next run, as JSON values."""
    known = Ledger.read(open_store(job.resolve(job.output.path), job.storage))
    work = next_work(job, known)
    if isinstance(work, NothingToDo):
        return _nothing_to_do(job, known)
    try:
        planned = checked_plan(work, known, partial(plan, work.job, device=device, addition=work.addition))
    except NoUsableFile:
        if not may_skip_all(work, known):
            raise
        return _nothing_to_do(job, known)
    output = single_run.open_output(planned, lambda: known.others(planned.records))
    described = single_run.describe_plan(planned, output, output.data.published())
    return described | {"run": planned.records.number, "finishes": work.unfinished is not None}


def _nothing_to_do(job: Job, known: Ledger) -> dict[str, Any]:
    """The plan where there is nothing to do, as JSON values with the keys of any other."""
    latest = known.runs[-1].claim
    counts = dict.fromkeys(
        (
            "rows",
            "rows_skipped",
            "row_groups",
            "row_groups_read",
            "shards",
            "parts",
            "parts_skipped",
            "partials",
            "files",
        ),
        0,
    )
    return {
        **counts,
        "jaxbatch": __version__,
        "fingerprint": latest.fingerprint,
        "job": job.model_dump(mode="json"),
        "output": job.resolve(job.output.path),
        "paths_from": str(job.paths_from),
        "skipped_files": [],
        "arguments": latest.arguments,
        "columns": {name: kind for name, kind, *_ in latest.identity["schema"]},
        "programs": [],
        "rungs": {},
        "rows_are_chosen": False,
        "run": None,
        "finishes": False,
        "identity": dict(latest.identity),
        "compilations": "none",
        "sealed": known.has_success,
    }
