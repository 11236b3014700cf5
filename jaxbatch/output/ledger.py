"""An output that grows (``[output] mode = "append"``): the runs that have added to it, and the input files of each.

Runs are numbered. A run begins by creating the claim of the next number, if absent. So two runs that begin at once
cannot both compute a file: the second one finds the number taken, and has to look again. A number is never reused.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import pyarrow as pa

from jaxbatch.errors import OutputError, printable
from jaxbatch.input.file_checks import BadFile
from jaxbatch.input.input_file import digest, read_footer
from jaxbatch.input.listing import Listed
from jaxbatch.job.model import Job
from jaxbatch.output.ownership import check_no_orphans, list_owned, remove_orphans, tombstone
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, numbered
from jaxbatch.output.receipt import Receipt
from jaxbatch.output.records import ClaimRecord, DamagedRecord, ForgottenRun, Manifest
from jaxbatch.storage import Store, is_remote, open_file

_THREADS = 32


@dataclass(frozen=True)
class Entry:
    """An input file that a run has taken: where it lay, and what tells it from a later file at that place."""

    path: str
    """Relative to the job's folder if the file lies in it; otherwise absolute, or a URL."""
    name: str
    """Its path within the input, with Hive keys."""
    size: int
    footer: str
    version: str
    """Its ETag, or the time of its last change. While that is the same, the file need not be opened to be compared."""
    called: str | None = None
    """What its rows are named by, where they are named by file and place."""


@dataclass(frozen=True)
class Run:
    """A run that has added to an output, or has begun to.

    It has its claim (without the layout), the input files it has taken and, once sealed, the receipts of its parts.
    """

    paths: RunPaths
    claim: ClaimRecord
    files: tuple[Entry, ...]
    receipts: tuple[Receipt, ...] | None
    missing: int = 0
    """How many of these parts are not there any more."""
    damaged: bool = False
    """Whether its manifest cannot be read, and must be written again."""

    @property
    def fingerprint(self) -> str:
        """The digest of its identity."""
        return self.claim.fingerprint

    @property
    def finished(self) -> bool:
        """Whether it is sealed, and all its parts and its manifest are there."""
        return self.receipts is not None and not (self.missing or self.damaged)


@dataclass(frozen=True)
class InputDiff:
    """How the listing of an input differs from a ledger."""

    files: list[Listed] = field(default_factory=list)
    """Files that no run has taken, with size and version."""
    changed: list[BadFile] = field(default_factory=list)
    """Files that have changed since they were taken, with the reason."""
    same: dict[str, str] = field(default_factory=dict)
    """By path, the new version of each file that was opened and found to be the same, as a copy is. It need not be
    opened again."""


@dataclass(frozen=True)
class Ledger:
    """All runs of an output, in order. ``last`` is the highest number ever given, to a forgotten run too;
    ``has_success`` whether the success marker is there."""

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
        sealed = {run.paths: run for run in runs_before if run.receipts is not None and not run.damaged}
        with ThreadPoolExecutor(_THREADS) as pool:
            read = list(pool.map(lambda paths: sealed.get(paths) or _read(store, paths), found))
        runs = _counted([run for run in read if run is not None], names)
        if any(run.missing for run in runs):  # or else the names are older than its manifest
            runs = _counted(runs, dict(store.list()))
        return cls(store, runs, max((paths.number or 0 for paths in found), default=0), SUCCESS in names)

    @property
    def unfinished(self) -> Run | None:
        """The first run that still has parts or a manifest to write."""
        return next((run for run in self.runs if not run.finished), None)

    @property
    def next(self) -> RunPaths:
        """The paths of the run after all of these."""
        return RunPaths(self.last + 1)

    @property
    def called(self) -> dict[str, str]:
        """By what their rows are named, the paths of the files that were computed."""
        return {entry.called: entry.path for run in self.runs for entry in run.files if entry.called is not None}

    def others(self, paths: RunPaths) -> list[str]:
        """The fingerprints of all runs but that of ``paths``."""
        return [run.fingerprint for run in self.runs if run.paths != paths]

    def diff(self, job: Job, listed: Iterable[Listed]) -> InputDiff:
        """What is new in an input, and what has changed in it.

        Raises:
            OSError: a store cannot be reached.
        """
        taken = {entry.path: (run, entry) for run in self.runs for entry in run.files}
        seen = {path: version for run in self.runs for path, version in run.claim.seen_again.items()}

        def look(file: Listed) -> tuple[Run | None, bool, str | None]:
            """The run that has taken a file, whether the file was opened, and how it has changed since if it has."""
            run, entry = taken.get(ledger_path(job, file.path), (None, None))
            if entry is None or (entry.size == file.size and file.version in (entry.version, seen.get(entry.path))):
                return run, False, None
            return run, True, _difference(job, entry, file)

        diff, found = InputDiff(), [_with_version(file) for file in listed]
        with ThreadPoolExecutor(_THREADS) as pool:
            for file, (run, opened, difference) in zip(found, pool.map(look, found), strict=True):
                if run is None:
                    diff.files.append(file)
                elif difference is not None:
                    reason = f"{difference} since run {run.paths.number} computed it"
                    diff.changed.append(BadFile(file.path, reason))
                elif opened and file.version is not None:
                    diff.same[ledger_path(job, file.path)] = file.version
        return diff

    def sync_success_marker(self) -> None:
        """Leave the success marker if there are runs now and all are finished; remove it otherwise."""
        now = Ledger.read(self.store, self)
        while now.has_success != (bool(now.runs) and now.unfinished is None):
            if now.has_success:
                self.store.delete(SUCCESS)
            else:
                self.store.replace(SUCCESS, b"")
            now = Ledger.read(self.store, now)  # another run may have begun, or ended, meanwhile


def forget_unfinished(store: Store) -> int:
    """Give up the runs that were never sealed, so that their files are new again, and remove parts of no run.

    Returns the number of runs that were given up.

    Raises:
        OutputError: see :meth:`Ledger.read`.
    """
    known = Ledger.read(store, orphans=True)
    store.delete(SUCCESS)
    unsealed = [run for run in known.runs if run.receipts is None]
    for run in unsealed:
        tombstone(store, run.paths)
    remove_orphans(store, lambda: [run.fingerprint for run in Ledger.read(store, known, orphans=True).runs])
    return len(unsealed)


def ledger_path(job: Job, path: str) -> str:
    """The path under which a ledger knows a file: relative to the job's folder if the file lies in it."""
    if is_remote(path) or os.path.commonpath([path, job.paths_from]) != str(job.paths_from):
        return path
    return os.path.relpath(path, job.paths_from)


def _read(store: Store, paths: RunPaths) -> Run | None:
    """A run by its records; None if it was given up."""
    try:
        claim = ClaimRecord.read(store, paths)
        entries = _entries(claim)
    except ForgottenRun:
        return None
    except (FileNotFoundError, DamagedRecord, ValueError, KeyError, TypeError):
        raise DamagedRecord(
            f"{store.url}/{paths.plan} is damaged or missing, so it is unknown which files that run computed.",
            f"Restore it from a copy, or delete the whole of {paths.folder} to compute its files again.",
        ) from None
    run = Run(paths, claim.model_copy(update={"layout": []}), entries, None)  # a layout may be long
    try:
        manifest = Manifest.read(store, paths)
    except FileNotFoundError:
        return run
    except DamagedRecord:
        return replace(run, receipts=(), damaged=True)
    if manifest.fingerprint != run.fingerprint:
        return replace(run, receipts=(), damaged=True)
    return replace(run, receipts=tuple(manifest.parts))


def _entries(claim: ClaimRecord) -> tuple[Entry, ...]:
    """The input files that a run has taken.

    Raises:
        ValueError, KeyError, TypeError: its claim does not say.
    """
    if missing := _NEEDED - claim.model_fields_set:
        raise KeyError(*missing)
    files = zip(claim.identity["input"]["files"], claim.ledger, strict=True)
    return tuple(
        Entry(path, file["name"], file["size"], file["footer"], version, file.get("called"))
        for file, (path, version) in files
    )


_NEEDED = {"job", "skipped_files", "types", "ledger", "seen_again"}
"""Fields that the claim of such a run must have, besides those of any claim."""


def _counted(runs: Iterable[Run], names: Mapping[str, int]) -> list[Run]:
    return [replace(run, missing=sum(part.name not in names for part in run.receipts or ())) for run in runs]


def _with_version(file: Listed) -> Listed:
    if is_remote(file.path):
        return file
    try:
        found = os.stat(file.path)
    except OSError:  # opening it will say why
        return file
    return replace(file, size=found.st_size, version=str(found.st_mtime_ns))


def _difference(job: Job, entry: Entry, found: Listed) -> str | None:
    """How a file differs from the one that was taken; None if it is the same. The footer decides, since a copy has
    another time or ETag."""
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
