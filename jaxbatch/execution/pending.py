"""What an output that grows needs next: to finish a run that was interrupted, or to add the new files of its input."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from pydantic import ValidationError

from jaxbatch.compilation.devices import KEYS
from jaxbatch.errors import InputError, JobError, OutputError
from jaxbatch.input.file_checks import BadFile, refuse
from jaxbatch.input.listing import Listed, is_input, is_lookup, list_files
from jaxbatch.input.where import parse
from jaxbatch.job.model import Job, Lookup
from jaxbatch.output.differences import differences
from jaxbatch.output.ledger import Ledger, Run
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.planner import Addition

_LOG = logging.getLogger(__name__)

_T = TypeVar("_T")

_SAME_INPUT = ("columns", "keep", "defaults", "where", "sample", "key_by")
"""Parts of the input's identity that may not differ."""

_MUTABLE = ("code", *KEYS, "rows_per_part", "compression", "compute", "input", "run")
"""Parts of a run's identity that may differ between the runs of one output: the columns mean the same all the same."""


@dataclass(frozen=True)
class PendingRun:
    """A run to be done next: an unfinished one, or a new one of the files that no run has computed."""

    job: Job
    addition: Addition
    left_out: tuple[BadFile, ...] = ()
    same: Mapping[str, str] | None = None
    """By path: the version of each file that was computed and has since been touched or copied, for the ledger."""
    unfinished: Run | None = None
    """The run to finish, as the ledger has it; None for a new one."""

    @property
    def number(self) -> int:
        """The number of the run."""
        return self.addition.records.number or 0


@dataclass(frozen=True)
class NothingToDo:
    """All files are computed, except those that cannot be used and were left out."""

    left_out: tuple[BadFile, ...] = ()


def next_work(job: Job, known: Ledger) -> PendingRun | NothingToDo:
    """The next run to do.

    Raises:
        InputError: there are no files at all, or some have changed since they were computed.
        OutputError: an unfinished run cannot be finished.
    """
    if (unfinished := known.unfinished) is not None:
        return as_output_error(unfinished, partial(_resume, job, unfinished))
    diff = known.diff(job, list_files(job))
    if diff.changed and job.input.on_bad_file == "stop":
        raise refuse(
            diff.changed,
            remedy='Restore them and put new rows in new files; or recompute everything: mode = "replace"; '
            'or keep their earlier results: on_bad_file = "skip".',
        )
    if not diff.files:
        _check_same_job(job, known)
        for file in diff.changed:
            _LOG.warning("Left out %s: %s.", file.path, file.reason)
        return NothingToDo(tuple(diff.changed))
    types = known.runs[-1].claim.types if known.runs else {}
    return PendingRun(job, Addition(diff.files, types, known.next, known.called), tuple(diff.changed), diff.same)


def _check_same_job(job: Job, known: Ledger) -> None:
    """Compare the job with that of the latest run, where there is nothing to plan and so no identity to compare.

    Raises:
        OutputError: its kernel, parameters, precision, seed, defaults or lookups are others, or which rows it computes.
    """
    was, now = (_unplanned_key(each) for each in (known.runs[-1].claim.job, job.model_dump(mode="json")))
    if was != now:
        raise _incompatible_job_error(known.store.url, was, now)


def _unplanned_key(job: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal in the jobs of all runs of an output, as far as a job alone can tell."""
    inputs = {name: job["input"].get(name) or None for name in ("defaults", "sample", "key_by")}
    compute = {name: job["compute"].get(name) for name in ("precision", "seed")}
    where = job["input"].get("where")
    return {
        **{name: job[name] for name in ("kernel", "params")},
        **compute,
        **inputs,
        "where": where and str(parse(where)),
        "lookup": {name: Lookup(**lookup).mapping for name, lookup in job["input"].get("lookup", {}).items()},
    }


def _incompatible_job_error(where: str, before: Mapping[str, Any], now: Mapping[str, Any]) -> OutputError:
    return OutputError(
        f"{where}: this job does not match the earlier runs: {'; '.join(differences(before, now))}.",
        'Choose another [output] path, or recompute everything: mode = "replace".',
    )


def _resume(job: Job, unfinished: Run) -> PendingRun:
    """An unfinished run with the job, files and types that it began with.

    Raises:
        JobError: its record of the job cannot be read.
        InputError: one of its files is no input of today's job.
    """
    try:
        before = job.with_recorded_values(unfinished.claim.job)
    except ValidationError as error:
        raise JobError("another version of jaxbatch wrote its record", "Use that version") from error
    files = [Listed(before.resolve(each.path), each.name, version=each.version) for each in unfinished.files]
    for file in files:
        if not is_input(job, file.path):
            raise InputError(f"{file.path} is not in [input] path", "Restore [input] path")
    for name, lookup in before.input.lookup.items():
        if not is_lookup(job, name, lookup.path):
            raise InputError(
                f"its lookup '{name}' has the path {lookup.path}, which the job does not name",
                f"Restore [input.lookup.{name}] path",
            )
    skipped = tuple(BadFile(each["path"], each["reason"]) for each in unfinished.claim.skipped_files)
    addition = Addition(files, unfinished.claim.types, unfinished.paths)
    return PendingRun(before, addition, skipped, unfinished=unfinished)


def as_output_error(unfinished: Run | None, action: Callable[[], _T]) -> _T:
    """The result of ``action``; its errors are reported as the unfinished run's, if it is about one.

    The job and input it complains of are those that the run began with, not those that the user sees today.

    Raises:
        OutputError: in place of a JobError or InputError.
    """
    try:
        return action()
    except (JobError, InputError) as error:
        if unfinished is None:
            raise
        raise _cannot_finish(unfinished, error.what, error.remedy) from error


def _cannot_finish(unfinished: Run, what: str, remedy: str = "") -> OutputError:
    if unfinished.receipts is None:
        way_out = "or drop that run with --restart, to compute its files together with the new ones"
    else:
        way_out = "or restore its missing parts from a copy"
    return OutputError(
        f"Run {unfinished.paths.number} is unfinished and cannot be completed: {what.rstrip('.')}.",
        f"{remedy.rstrip('.') or 'Undo the change'}; {way_out}.",
    )


def checked_plan(work: PendingRun, known: Ledger, make_plan: Callable[[], Plan]) -> Plan:
    """The plan of a run, if it fits what the output holds.

    Raises:
        OutputError: it is not what the unfinished run began to compute, or would add columns of another meaning.
    """
    planned = as_output_error(work.unfinished, make_plan)
    if work.unfinished is not None and planned.fingerprint != work.unfinished.fingerprint:
        changed = "; ".join(differences(work.unfinished.claim.identity, planned.identity))
        raise _cannot_finish(work.unfinished, changed)
    before = _compatibility_key(known.runs[-1].claim.identity) if known.runs else None
    if work.unfinished is None and before not in (None, now := _compatibility_key(planned.identity)):
        raise _incompatible_job_error(planned.output, before or {}, now)
    if any(planned.fingerprint[:8] == other[:8] for other in known.others(work.addition.records)):
        raise OutputError(
            f"{planned.output}: by chance this run's fingerprint starts like another's, so part names would clash.",
            "Change [output] rows_per_part by one, which changes the fingerprint.",
        )
    return replace(planned, skipped=(*planned.skipped, *work.left_out))


def may_skip_all(work: PendingRun, known: Ledger) -> bool:
    """Whether a run of which no file can be used counts as nothing to do, and not as an error."""
    return work.unfinished is None and bool(known.runs) and work.job.input.on_bad_file == "skip"


def _compatibility_key(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What must be equal in the identities of all runs of an output."""
    kept = {name: value for name, value in identity.items() if name not in _MUTABLE}
    inputs = {name: identity.get("input", {}).get(name, []) for name in _SAME_INPUT}
    inputs["lookup"] = _mappings(identity)
    compute = {name: identity.get("compute", {}).get(name) for name in ("precision", "seed")}
    columns = [column[:2] for column in identity.get("schema", ())]
    return {**kept, "input": inputs, "schema": columns, **compute}


def _mappings(identity: Mapping[str, Any]) -> dict[str, Any]:
    """What each lookup of an identity joins, whatever its files hold."""
    lookups = identity.get("input", {}).get("lookup", {})
    return {name: {key: value for key, value in lookup.items() if key != "files"} for name, lookup in lookups.items()}
