"""An output that grows (``[output] mode = "append"``): the runs that have added to it, and the input files of each.

Runs are numbered, and one begins by creating the record of the next number, if absent: two that begin at once cannot
both compute a file, because whoever comes second has to look again. A number is never given to another run.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import pyarrow as pa

from jaxbatch.errors import OutputError, printable
from jaxbatch.input.input_file import digest, read_footer
from jaxbatch.input.listing import Listed
from jaxbatch.input.schemas import BadFile
from jaxbatch.job.model import Job
from jaxbatch.output.ownership import TOMBSTONE, check_no_orphans, list_owned, remove_orphans, tombstone
from jaxbatch.output.part_file import Receipt
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, numbered
from jaxbatch.storage import Store, is_remote, open_file

_THREADS = 32


@dataclass(frozen=True)
class Entry:
    """An input file that a run has taken: where it lay, and what tells it from a later one of that place."""

    path: str
    """From the job's folder, if it lies there; absolute, or a URL, otherwise."""
    name: str
    """Within the input, with Hive keys."""
    size: int
    footer: str
    version: str
    """Its ETag, or the time of its last change: what need not be opened if it is the same still."""


@dataclass(frozen=True)
class Run:
    """A run that has added to an output, or is to: what it said when it began, and its parts once it was sealed."""

    records: RunPaths
    claim: Mapping[str, Any]
    files: tuple[Entry, ...]
    receipts: tuple[Receipt, ...] | None
    missing: int = 0
    """How many of those are not there any more."""
    damaged: bool = False
    """Whether its manifest cannot be read, and is to be written anew."""

    @property
    def fingerprint(self) -> str:
        """Of its identity."""
        return self.claim["fingerprint"]

    @property
    def finished(self) -> bool:
        """Whether it was sealed, and is whole."""
        return self.receipts is not None and not (self.missing or self.damaged)


@dataclass(frozen=True)
class InputDiff:
    """What an input's listing has that a ledger does not."""

    files: list[Listed] = field(default_factory=list)
    """Files that no run has taken, with size and version."""
    changed: list[BadFile] = field(default_factory=list)
    """Files that were others when they were taken."""
    same: dict[str, str] = field(default_factory=dict)
    """By place: other versions of files that are the same, as a copy has, which need not be opened again."""


@dataclass(frozen=True)
class Ledger:
    """All runs of an output, in order; the last number, forgotten or not; whether the mark of success is there."""

    store: Store
    runs: Sequence[Run]
    last: int
    has_success: bool

    @classmethod
    def read(cls, store: Store, before: "Ledger | None" = None, *, orphans: bool = False) -> "Ledger":
        """The ledger as it is now; records of runs that were sealed ``before`` are not read again.

        Raises:
            OutputError: the output is not one that grows, holds other things (or, unless allowed, ``orphans``), or a
                record is damaged.
        """
        names = list_owned(store)
        if SINGLE_RUN.plan in names:
            raise OutputError(
                f"{store.url} is the output of a single run and cannot be appended to.",
                'Choose another [output] path, or recompute everything: mode = "replace".',
            )
        found = numbered(names)
        if not (found or orphans):
            check_no_orphans(store, names)
        runs_before = before.runs if before else ()
        sealed = {run.records: run for run in runs_before if run.receipts is not None and not run.damaged}
        with ThreadPoolExecutor(_THREADS) as pool:
            read = list(pool.map(lambda records: sealed.get(records) or _read(store, records), found))
        runs = _counted([run for run in read if run is not None], names)
        if any(run.missing for run in runs):  # or else the names are older than its manifest
            runs = _counted(runs, dict(store.list()))
        return cls(store, runs, max((records.number or 0 for records in found), default=0), SUCCESS in names)

    @property
    def unfinished(self) -> Run | None:
        """The first run that has parts to write still."""
        return next((run for run in self.runs if not run.finished), None)

    @property
    def next(self) -> RunPaths:
        """Of a run that comes after all of these."""
        return RunPaths(self.last + 1)

    def others(self, records: RunPaths) -> list[str]:
        """The fingerprints of all other runs."""
        return [run.fingerprint for run in self.runs if run.records != records]

    def diff(self, job: Job, listed: Iterable[Listed]) -> InputDiff:
        """What is new in an input."""
        taken = {entry.path: (run, entry) for run in self.runs for entry in run.files}
        seen = {path: version for run in self.runs for path, version in run.claim.get("seen_again", {}).items()}

        def look(file: Listed) -> tuple[Run | None, bool, str | None]:
            """The run that has taken a file; whether it was opened, and what was found then."""
            run, entry = taken.get(place(job, file.path), (None, None))
            if entry is None or (entry.size == file.size and file.version in (entry.version, seen.get(entry.path))):
                return run, False, None
            return run, True, _difference(job, entry, file)

        news, found = InputDiff(), [_with_version(file) for file in listed]
        with ThreadPoolExecutor(_THREADS) as pool:
            for file, (run, opened, difference) in zip(found, pool.map(look, found), strict=True):
                if run is None:
                    news.files.append(file)
                elif difference is not None:
                    reason = f"{difference} since run {run.records.number} computed it"
                    news.changed.append(BadFile(file.path, reason))
                elif opened and file.version is not None:
                    news.same[place(job, file.path)] = file.version
        return news

    def sync_success_marker(self) -> None:
        """Leave the mark of success if there are runs now, and all are finished, and take it away if not."""
        now = Ledger.read(self.store, self)
        while now.has_success != (bool(now.runs) and now.unfinished is None):
            if now.has_success:
                self.store.delete(SUCCESS)
            else:
                self.store.replace(SUCCESS, b"")
            now = Ledger.read(self.store, now)  # another run may have begun, or ended, meanwhile


def forget_unfinished(store: Store) -> int:
    """Give up the runs that were never sealed, so that their files are new again; and remove parts of no run.

    Returns how many there were.

    Raises:
        OutputError: see :meth:`Ledger.read`.
    """
    known = Ledger.read(store, orphans=True)
    store.delete(SUCCESS)
    unsealed = [run for run in known.runs if run.receipts is None]
    for run in unsealed:
        tombstone(store, run.records)
    remove_orphans(store, lambda: [run.fingerprint for run in Ledger.read(store, known, orphans=True).runs])
    return len(unsealed)


def place(job: Job, path: str) -> str:
    """How a ledger calls a file: by its path from the job's folder, if it lies there."""
    if is_remote(path) or os.path.commonpath([path, job.paths_from]) != str(job.paths_from):
        return path
    return os.path.relpath(path, job.paths_from)


def _read(store: Store, records: RunPaths) -> Run | None:
    """A run by its records; None where it was forgotten."""
    try:
        claim = json.loads(store.read(records.plan))
        if claim == TOMBSTONE:
            return None
        files = claim["identity"]["input"]["files"]
        entries = tuple(
            Entry(path, file["name"], file["size"], file["footer"], version)
            for file, (path, version) in zip(files, claim["ledger"], strict=True)
        )
        kept = {name: claim[name] for name in _KEPT}
        run = Run(records, kept, entries, None)
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise OutputError(
            f"{store.url}/{records.plan} is damaged or missing, so it is unknown which files that run computed.",
            f"Restore it from a copy, or delete the whole of {records.folder} to compute its files again.",
        ) from None
    try:
        return replace(run, receipts=_receipts(store, records, run.fingerprint))
    except (ValueError, KeyError, TypeError):
        return replace(run, receipts=(), damaged=True)


_KEPT = ("fingerprint", "identity", "job", "skipped_files", "types", "seen_again")
"""What is asked of a claim later."""


def _receipts(store: Store, records: RunPaths, fingerprint: str) -> tuple[Receipt, ...] | None:
    try:
        manifest = json.loads(store.read(records.manifest))
    except FileNotFoundError:
        return None
    if manifest["fingerprint"] != fingerprint:
        raise ValueError
    return tuple(Receipt(**part, fingerprint=fingerprint) for part in manifest["parts"])


def _counted(runs: Iterable[Run], names: Mapping[str, int]) -> list[Run]:
    return [replace(run, missing=sum(part.name not in names for part in run.receipts or ())) for run in runs]


def _with_version(file: Listed) -> Listed:
    if is_remote(file.path):
        return file
    try:
        found = os.stat(file.path)
    except OSError:  # whoever opens it says why
        return file
    return replace(file, size=found.st_size, version=str(found.st_mtime_ns))


def _difference(job: Job, entry: Entry, found: Listed) -> str | None:
    """What tells a file from the one that was taken: by its footer, since a copy has another time or ETag."""
    if entry.size != found.size:
        return "it has changed"
    try:
        with open_file(found.path, job.storage, found.size) as file:
            return None if digest(read_footer(file)[1]) == entry.footer else "it has changed"
    except pa.ArrowInvalid:
        return "it has changed"
    except OSError as error:
        if is_remote(found.path):
            raise
        return f"it cannot be read ({printable(error, 100)}), to see whether it has changed"
