"""An output that grows (``[output] mode = "append"``): the runs that have added to it, and the input files of each.

Runs are numbered, and one begins by creating the record of the next number, if absent: two that begin at once cannot
both compute a file, because whoever comes second has to look again.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

import pyarrow as pa

from jaxbatch.errors import OutputError
from jaxbatch.input_file import InputFile, digest, read_footer
from jaxbatch.inputs import BadFile
from jaxbatch.job import Job
from jaxbatch.listing import Listed
from jaxbatch.outputs import check_no_orphans, ours
from jaxbatch.parts import DATA, is_part_name, run_of
from jaxbatch.records import ALONE, SUCCESS, Records, numbered
from jaxbatch.storage import Store, is_remote, open_file

_THREADS = 8


@dataclass(frozen=True)
class Entry:
    """An input file that a run has taken: where it lay, and what tells it from a later one of that place."""

    path: str
    """From the job's folder, if it lies there; absolute, or a URL, otherwise."""
    name: str
    """Within the input, with Hive keys."""
    size: int
    version: str
    """Its ETag, or the time of its last change: what need not be opened if it is the same still."""
    footer: str


@dataclass(frozen=True)
class Run:
    """A run that has added to an output, or is to."""

    records: Records
    fingerprint: str
    identity: Mapping[str, Any]
    job: Mapping[str, Any]
    files: tuple[Entry, ...]
    finished: bool
    """Whether its manifest is there, and every part in it."""


class Ledger:
    """All runs of an output, in order."""

    def __init__(self, store: Store, runs: Sequence[Run]):
        self.store = store
        self.runs = runs

    @classmethod
    def read(cls, store: Store) -> "Ledger":
        """The ledger as it is now.

        Raises:
            OutputError: the output is not one that grows, holds other things, or a record is damaged.
        """
        names = ours(store)
        if ALONE.plan in names:
            raise OutputError(
                f"{store.url} is the output of a single run, to which nothing can be added.",
                'Choose another [output] path, or compute all anew: mode = "replace".',
            )
        found = numbered(names)
        if not found:
            check_no_orphans(store, names)
        with ThreadPoolExecutor(_THREADS) as pool:
            runs = list(pool.map(lambda records: _read(store, records, names), found))
        return cls(store, [run for run in runs if run is not None])

    @property
    def unfinished(self) -> Run | None:
        """The first run that has parts to write still."""
        return next((run for run in self.runs if not run.finished), None)

    @property
    def next(self) -> Records:
        """Of a run that comes after all of these."""
        return Records(1 + max((run.records.number or 0 for run in self.runs), default=0))

    def others(self, records: Records) -> list[str]:
        """The fingerprints of all other runs."""
        return [run.fingerprint for run in self.runs if run.records != records]

    def sort(self, job: Job, listed: Iterable[Listed]) -> tuple[list[Listed], list[BadFile]]:
        """The files that no run has taken, with size and version; and those that were another file then."""
        taken = {entry.path: (run, entry) for run in self.runs for entry in run.files}
        new, changed = [], []
        for file in listed:
            found = _with_version(file)
            run, entry = taken.get(_place(job, file.path), (None, None))
            if entry is None:
                new.append(found)
            elif run is not None and not _is_same(job, entry, found):
                changed.append(BadFile(file.path, f"it has changed since run {run.records.number} computed it"))
        return new, changed

    def forget(self, run: Run) -> None:
        """Remove what a run has written: its claim, and then its parts, so that another may take its files."""
        self.store.delete(SUCCESS)
        for name in run.records.names:
            self.store.delete(name)
        for name, _ in list(self.store.list(DATA)):
            if is_part_name(name) and run_of(name) == run.fingerprint[:8]:
                self.store.delete(name)

    def succeed(self) -> None:
        """Leave the mark of success, if all runs that there are now are finished."""
        if any(name == SUCCESS for name, _ in self.store.list()) or Ledger.read(self.store).unfinished:
            return
        self.store.replace(SUCCESS, b"")
        if Ledger.read(self.store).unfinished:  # one that has begun in between, and found no mark to remove
            self.store.delete(SUCCESS)


def entries(job: Job, files: Iterable[InputFile], listed: Iterable[Listed]) -> list[dict[str, Any]]:
    """The files of a run as JSON values for its record."""
    versions = {file.path: file.version for file in listed}
    return [asdict(Entry(_place(job, f.path), f.name, f.size, versions[f.path] or "", f.footer_digest)) for f in files]


def listed_again(job: Job, run: Run) -> list[Listed]:
    """The input of a run, from its record."""
    return [Listed(job.resolve(entry.path), entry.name, entry.size, entry.version) for entry in run.files]


def _read(store: Store, records: Records, names: Mapping[str, int]) -> Run | None:
    """A run by its records; None where it was claimed by nobody, or by somebody who has taken that back."""
    try:
        claim = json.loads(store.read(records.plan))
        files = tuple(Entry(**entry) for entry in claim["ledger"])
        run = Run(records, claim["fingerprint"], claim["identity"], claim["job"], files, finished=False)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        raise OutputError(
            f"{store.url}/{records.plan} is damaged, so nobody knows which files that run has computed.",
            f"Put it back from a copy; or remove {records.folder}, and that run's files are computed again.",
        ) from None
    return replace(run, finished=_is_finished(store, run, names))


def _is_finished(store: Store, run: Run, names: Mapping[str, int]) -> bool:
    try:
        manifest = json.loads(store.read(run.records.manifest))
        return manifest["fingerprint"] == run.fingerprint and all(p["name"] in names for p in manifest["parts"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):  # resuming it writes the manifest anew
        return False


def _place(job: Job, path: str) -> str:
    if is_remote(path):
        return path
    path, folder = os.path.realpath(path), os.path.realpath(job.paths_from)
    return os.path.relpath(path, folder) if os.path.commonpath([path, folder]) == folder else path


def _with_version(file: Listed) -> Listed:
    if is_remote(file.path):
        return file
    found = os.stat(file.path)
    return replace(file, size=found.st_size, version=str(found.st_mtime_ns))


def _is_same(job: Job, entry: Entry, found: Listed) -> bool:
    """Whether a file is the one that was taken: by its footer too, since a copy has another time or ETag."""
    if entry.size != found.size:
        return False
    if entry.version and entry.version == found.version:
        return True
    try:
        with open_file(found.path, job.storage, found.size) as file:
            return digest(read_footer(file)[1]) == entry.footer
    except pa.ArrowInvalid:
        return False
