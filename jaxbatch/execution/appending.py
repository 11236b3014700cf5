"""Adding to an output: what an earlier run has left unfinished first, and then the input files that none has taken."""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from jaxbatch import __version__
from jaxbatch.compilation.devices import KEYS, Device
from jaxbatch.errors import ClaimedByAnother, ExitCode, InputError, JaxbatchError, JobError, NoUsableFile, OutputError
from jaxbatch.execution import attempt
from jaxbatch.execution.engines import Engine
from jaxbatch.execution.progress import Progress, Summary, combined, summary_of_existing
from jaxbatch.input.listing import Listed, is_input, list_files
from jaxbatch.input.schemas import BadFile, refuse
from jaxbatch.job.model import Job
from jaxbatch.output import ledger
from jaxbatch.output.differences import differences
from jaxbatch.output.ledger import Ledger, Run
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.planner import Addition, plan
from jaxbatch.storage import open_store

_LOG = logging.getLogger(__name__)

_T = TypeVar("_T")

_MUTABLE = ("code", *KEYS, "rows_per_part", "compression", "compute", "input", "run")
"""What may differ between the runs of an output: what is between them is that the same columns mean the same."""


@dataclass(frozen=True)
class PendingRun:
    """What is to be done next: a run that was begun, or a new one of files that nobody has taken."""

    job: Job
    addition: Addition
    left_out: tuple[BadFile, ...] = ()
    same: Mapping[str, str] | None = None
    """Other versions of files that were taken, to be remembered."""
    unfinished: Run | None = None

    @property
    def number(self) -> int:
        """Of the run."""
        return self.addition.records.number or 0


@dataclass(frozen=True)
class NothingToDo:
    """That nothing is to be done, but that some files cannot be used."""

    left_out: tuple[BadFile, ...] = ()


def run(job: Job, open_engine: Callable[[], Engine], *, restart: bool, progress: Callable[[Progress], None]) -> Summary:
    """Finish the runs that have added to the job's output, and add one of all new files of its input.

    With ``restart`` what was never sealed is forgotten, and its files are new again.

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
        with suppress(JaxbatchError, OSError):  # it is the other error that is to be told
            known.sync_success_marker()
        raise
    known.sync_success_marker()
    seconds = time.monotonic() - started
    if done:
        return combined(done, seconds)
    latest = Ledger.read(store, known).runs[-1]
    return summary_of_existing(
        job, latest.fingerprint, latest.receipts or (), latest.records, len(idle.left_out), seconds
    )


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
            if not _may_be_left_out(work, known):
                raise
            _LOG.warning("%s", error.what)
            return done, NothingToDo(
                (*work.left_out, *(BadFile(file.path, error.what) for file in work.addition.files))
            )
        finally:
            backend.close()
        if summary is None:
            continue  # another run has begun, or this one was forgotten: what there is to do is to be asked again
        done.append(summary)
        if new or summary.exit_code == ExitCode.PARTS_FAILED:
            return done, NothingToDo()
    return done, work


def _may_be_left_out(work: PendingRun, known: Ledger) -> bool:
    """Whether it is nothing to do, and no error, if all files of a run are bad."""
    return work.unfinished is None and bool(known.runs) and work.job.input.on_bad_file == "skip"


def next_work(job: Job, known: Ledger) -> PendingRun | NothingToDo:
    """What is to be done first.

    Raises:
        InputError: there are no files at all, or some have changed since they were computed.
        OutputError: a run that was begun cannot be finished.
    """
    if (begun := known.unfinished) is not None:
        return _as_output_error(begun, partial(_begun, job, begun))
    news = known.diff(job, list_files(job))
    if news.changed and job.input.on_bad_file == "stop":
        anew, kept = 'recompute everything: mode = "replace"', 'keep their earlier results: on_bad_file = "skip"'
        raise refuse(news.changed, remedy=f"Restore them and put new rows in new files; or {anew}; or {kept}.")
    if not news.files:
        _check_same_job(job, known)
        for file in news.changed:
            _LOG.warning("Left out %s: %s.", file.path, file.reason)
        return NothingToDo(tuple(news.changed))
    types = known.runs[-1].claim["types"] if known.runs else {}
    return PendingRun(job, Addition(news.files, types, known.next), tuple(news.changed), news.same)


def _check_same_job(job: Job, known: Ledger) -> None:
    """What :func:`checked` finds in a plan, as far as the job tells it, for when there is nothing to plan.

    Raises:
        OutputError: it is of another kernel, or of other parameters.
    """
    before, defaults = known.runs[-1].claim["job"], job.input.defaults
    now = {"kernel": job.kernel, "params": job.params, "precision": job.compute.precision, "defaults": defaults}
    was = {"kernel": before["kernel"], "params": before["params"], "precision": before["compute"]["precision"]}
    was["defaults"] = before["input"].get("defaults", [])
    if was != now:
        raise _unlike(known.store.url, was, now)


def _unlike(where: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> OutputError:
    return OutputError(
        f"{where}: this job does not match the earlier runs: {'; '.join(differences(before, now))}.",
        'Choose another [output] path, or recompute everything: mode = "replace".',
    )


def _begun(job: Job, begun: Run) -> PendingRun:
    """What is to be done of a run that was begun, with the values that it began with."""
    try:
        before = job.as_begun(begun.claim["job"])
    except ValidationError as error:
        raise JobError("another version of jaxbatch wrote its record", "Use that version") from error
    files = [Listed(before.resolve(each.path), each.name, version=each.version) for each in begun.files]
    for file in files:
        if not is_input(job, file.path):
            raise InputError(f"{file.path} is not in [input] path", "Restore [input] path")
    skipped = tuple(BadFile(each["path"], each["reason"]) for each in begun.claim["skipped_files"])
    return PendingRun(before, Addition(files, begun.claim["types"], begun.records), skipped, unfinished=begun)


def _as_output_error(begun: Run | None, make: Callable[[], _T]) -> _T:
    """What a function makes; what is wrong with a run that was begun is told as such, since the job is today's.

    Raises:
        OutputError: there was a JobError or InputError about it.
    """
    try:
        return make()
    except (JobError, InputError) as error:
        if begun is None:
            raise
        raise _cannot_finish(begun, error.what, error.remedy) from error


def _cannot_finish(begun: Run, what: str, remedy: str = "") -> OutputError:
    if begun.receipts is None:
        way_out = "or drop that run with --restart, to compute its files together with the new ones"
    else:
        way_out = "or restore its missing parts from a copy"
    return OutputError(
        f"Run {begun.records.number} is unfinished and cannot be completed: {what.rstrip('.')}.",
        f"{remedy.rstrip('.') or 'Undo the change'}; {way_out}.",
    )


def preview(job: Job, device: Device) -> dict[str, Any]:
    """What would be done first, as JSON values."""
    known = Ledger.read(open_store(job.resolve(job.output.path), job.storage))
    work = next_work(job, known)
    if isinstance(work, NothingToDo):
        return _nothing(job, known)
    try:
        planned = checked(work, known, partial(plan, work.job, device=device, addition=work.addition))
    except NoUsableFile:
        if not _may_be_left_out(work, known):
            raise
        return _nothing(job, known)
    output = attempt.output_of(planned, lambda: known.others(planned.records))
    described = attempt.described(planned, output, output.data.published())
    return described | {"run": planned.records.number, "finishes": work.unfinished is not None}


def checked(work: PendingRun, known: Ledger, make: Callable[[], Plan]) -> Plan:
    """The plan of what is to be done, as the output has it.

    Raises:
        OutputError: it is not what was begun, or would add other columns than are there.
    """
    planned = _as_output_error(work.unfinished, make)
    if work.unfinished is not None and planned.fingerprint != work.unfinished.fingerprint:
        changed = "; ".join(differences(work.unfinished.claim["identity"], planned.identity))
        raise _cannot_finish(work.unfinished, changed)
    before = _compatibility_key(known.runs[-1].claim["identity"]) if known.runs else None
    if work.unfinished is None and before not in (None, now := _compatibility_key(planned.identity)):
        raise _unlike(planned.output, before or {}, now)
    if any(planned.fingerprint[:8] == other[:8] for other in known.others(work.addition.records)):
        raise OutputError(
            f"{planned.output}: by chance this run's fingerprint starts like another's, so part names would clash.",
            "Change [output] rows_per_part by one, which changes the fingerprint.",
        )
    return replace(planned, skipped=(*planned.skipped, *work.left_out))


def _add(work: PendingRun, known: Ledger, backend: Engine, progress: Callable[[Progress], None]) -> Summary | None:
    """Do one run; None where it is no longer what is to be done."""
    started = time.monotonic()
    planned = checked(work, known, partial(attempt.planned_for, work.job, backend, ahead=True, addition=work.addition))
    output = attempt.output_of(planned, lambda: Ledger.read(known.store, known).others(planned.records))
    if work.unfinished is not None and not output.is_ours():
        return None
    output.unseal()  # before the claim, or the mark would stand beside a run that is not finished; and again after
    if work.unfinished is None:
        versions = {file.path: file.version or "" for file in work.addition.files}
        entries = [(ledger.place(work.job, file.path), versions[file.path]) for file in planned.files]
        types = {column.name: str(column.type) for column in planned.read}
        more = {"types": types, "ledger": entries, "seen_again": dict(work.same or {})}
        try:
            output.claim(attempt.record(planned, **more))
        except ClaimedByAnother:
            return None
        output.unseal()
    finish = partial(attempt.finish, planned, output, backend, progress, started, new=work.unfinished is None)
    return _as_output_error(work.unfinished, finish)


def _compatibility_key(identity: Mapping[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in identity.items() if name not in _MUTABLE}
    inputs = {name: identity.get("input", {}).get(name, []) for name in ("columns", "keep", "defaults")}
    columns = [column[:2] for column in identity.get("schema", ())]
    return {**kept, "input": inputs, "schema": columns, "precision": identity.get("compute", {}).get("precision")}


def _nothing(job: Job, known: Ledger) -> dict[str, Any]:
    """The plan of nothing at all."""
    latest = known.runs[-1].claim
    counts = dict.fromkeys(("rows", "rows_skipped", "shards", "parts", "parts_skipped", "partials", "files"), 0)
    return {
        **counts,
        "jaxbatch": __version__,
        "fingerprint": latest["fingerprint"],
        "job": job.model_dump(mode="json"),
        "output": job.resolve(job.output.path),
        "paths_from": str(job.paths_from),
        "skipped_files": [],
        "arguments": latest.get("arguments", {}),
        "columns": {name: kind for name, kind, *_ in latest["identity"]["schema"]},
        "programs": [],
        "rungs": {},
        "run": None,
        "finishes": False,
        "identity": dict(latest["identity"]),
        "compilations": "none",
        "sealed": known.has_success,
    }
