"""Adding to an output: what an earlier run has left unfinished first, and then the input files that none has taken."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jaxbatch import __version__, attempt, ledger
from jaxbatch.differences import differences
from jaxbatch.engines import Engine
from jaxbatch.errors import ClaimedByAnother, ExitCode, OutputError
from jaxbatch.inputs import BadFile, refuse
from jaxbatch.job import Job
from jaxbatch.ledger import Ledger, Run
from jaxbatch.listing import Listed, list_files
from jaxbatch.planner import plan
from jaxbatch.plans import Plan
from jaxbatch.records import Records
from jaxbatch.storage import open_store
from jaxbatch.tally import Progress, Summary, combined, nothing_new

_LOG = logging.getLogger(__name__)

_MAY_CHANGE = ("code", "device", "rows_per_part", "compression", "compute", "input")
"""What may differ between the runs of an output: what is between them is that the same columns mean the same."""


@dataclass(frozen=True)
class Work:
    """What is to be done next: a run that was begun, or a new one of files that nobody has taken."""

    job: Job
    files: Sequence[Listed]
    left_out: tuple[BadFile, ...]
    records: Records
    begun: Run | None = None


def run(job: Job, open_engine: Callable[[], Engine], *, restart: bool, progress: Callable[[Progress], None]) -> Summary:
    """Finish the runs that have added to the job's output, and add one of all new files of its input.

    With ``restart`` what is unfinished is forgotten, and its files are new again.

    Raises: see :func:`jaxbatch.driver.run`.
    """
    started = time.monotonic()
    store = open_store(job.resolve(job.output.path), job.storage)
    if restart:
        _forget_unfinished(Ledger.read(store))
    done: list[Summary] = []
    tried: list[tuple[Records, bool]] = []
    while (work := next_work(job, known := Ledger.read(store))) is not None:
        new = work.begun is None
        if (work.records, new) in tried:
            raise OutputError(
                f"{store.url}: what run {work.records.number} has done does not stay.",
                "Something else changes this folder: let that end, and run again.",
            )
        tried.append((work.records, new))
        backend = open_engine()
        try:
            done.append(_add(work, known, backend, progress))
        except ClaimedByAnother:
            if not new:
                raise
            continue  # another has begun a run meanwhile: what is new is to be asked again
        finally:
            backend.close()
        if new or done[-1].exit_code == ExitCode.PARTS_FAILED:
            break
    if not done or done[-1].exit_code != ExitCode.PARTS_FAILED:
        known.succeed()
    seconds = time.monotonic() - started
    return combined(done, seconds) if done else nothing_new(store.url, known.runs[-1].fingerprint, seconds)


def next_work(job: Job, known: Ledger) -> Work | None:
    """What is to be done first; None where nothing is.

    Raises:
        InputError: there are no files at all, or some have changed since they were computed.
    """
    begun = known.unfinished
    if begun is not None:
        before = job.as_begun(begun.job)
        return Work(before, ledger.listed_again(before, begun), (), begun.records, begun)
    new, changed = known.sort(job, list_files(job))
    if changed and job.input.on_bad_file == "stop":
        raise refuse(changed)
    for file in changed if not new else ():
        _LOG.warning("%s is left out: %s.", file.path, file.reason)
    return Work(job, new, tuple(changed), known.next) if new else None


def preview(job: Job, device: str) -> dict[str, Any]:
    """What would be done first, as JSON values."""
    known = Ledger.read(open_store(job.resolve(job.output.path), job.storage))
    work = next_work(job, known)
    if work is None:
        return _nothing(job, known)
    planned = checked(plan(work.job, device=device, files=work.files), work, known)
    output = attempt.output_of(planned, known.others(work.records))
    output.check(planned.identity)
    return attempt.described(planned, output, output.data.published())


def checked(planned: Plan, work: Work, known: Ledger) -> Plan:
    """The plan of what is to be done, as the output has it.

    Raises:
        OutputError: it is not what was begun, or would add other columns than are there.
    """
    number = work.records.number
    if work.begun is not None and planned.fingerprint != work.begun.fingerprint:
        changed = "; ".join(differences(work.begun.identity, planned.identity))
        raise OutputError(
            f"{planned.output}: run {number} is unfinished, and would not be ended as it began: {changed}.",
            "Undo the change; or forget that run with --restart, and its files are computed with the new ones.",
        )
    if work.begun is None and known.runs:
        changed = "; ".join(differences(_meaning(known.runs[-1].identity), _meaning(planned.identity)))
        if changed:
            raise OutputError(
                f"{planned.output}: what this job would add is not like what is there: {changed}.",
                'Choose another [output] path, or compute all anew: mode = "replace".',
            )
    return replace(planned, records=work.records, skipped=(*planned.skipped, *work.left_out))


def _add(work: Work, known: Ledger, backend: Engine, progress: Callable[[Progress], None]) -> Summary:
    started = time.monotonic()
    planned = checked(attempt.planned_for(work.job, backend, ahead=True, files=work.files), work, known)
    output = attempt.output_of(planned, known.others(work.records))
    output.check(planned.identity)
    record = {"ledger": ledger.entries(work.job, planned.files, work.files)}
    return attempt.finish(planned, output, backend, progress, started, record)


def _meaning(identity: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in identity.items() if name not in _MAY_CHANGE}
    inputs = {"columns": identity["input"]["columns"], "keep": identity["input"]["keep"]}
    columns = [column[:2] for column in identity["schema"]]
    return {**kept, "input": inputs, "schema": columns, "precision": identity["compute"]["precision"]}


def _nothing(job: Job, known: Ledger) -> dict[str, Any]:
    """The plan of nothing at all."""
    latest = known.runs[-1]
    counts = dict.fromkeys(("rows", "rows_skipped", "shards", "parts", "parts_skipped", "partials", "files"), 0)
    return {
        **counts,
        "jaxbatch": __version__,
        "fingerprint": latest.fingerprint,
        "job": job.model_dump(mode="json"),
        "output": job.resolve(job.output.path),
        "skipped_files": [],
        "columns": {name: kind for name, kind, *_ in latest.identity["schema"]},
        "programs": [],
        "rungs": {},
        "identity": dict(latest.identity),
        "compilations": "none",
        "sealed": True,
    }


def _forget_unfinished(known: Ledger) -> None:
    for begun in known.runs:
        if not begun.finished:
            known.forget(begun)
