"""Whose an output folder is, and what in it is of which run."""

import json
import re
from collections.abc import Callable, Container, Iterable, Mapping
from typing import Any

from jaxbatch.errors import OutputError, OutputTaken
from jaxbatch.output import in_flight
from jaxbatch.output.in_flight import is_mark
from jaxbatch.output.part_file import DATA, PARTIALS, is_part_name, is_part_of, run_of
from jaxbatch.output.paths import SUCCESS, RunPaths, is_record
from jaxbatch.storage import Store

_FINGERPRINT = re.compile(rb'"fingerprint": "([0-9a-f]+)"')
TOMBSTONE = {"forgotten": True}
"""What the record of a run that was given up says."""

_HEAD = 1024
"""The plan's fingerprint is among its first bytes; its layout may be long."""


def check_owner(store: Store, fingerprint: str, records: RunPaths) -> None:
    """See that a folder belongs to a run, by its records.

    Raises:
        OutputTaken: another has.
    """
    try:
        with store.open(records.plan) as file:
            found = _FINGERPRINT.search(file.read(_HEAD))
    except FileNotFoundError:
        found = None
    if found is None or found[1].decode() != fingerprint:
        raise OutputTaken(
            f"{store.url} was taken over by another run, or restarted, while this run was working.",
            "Give each job an [output] path of its own.",
        )


def list_owned(store: Store) -> dict[str, int]:
    """Names and sizes of all that is in an output.

    Raises:
        OutputError: there is something that is not jaxbatch's.
    """
    names = dict(store.list())
    foreign = [name for name in names if not _is_ours(name)]
    if foreign:
        raise OutputError(
            f"{store.url} holds files that are not from jaxbatch: {', '.join(sorted(foreign)[:3])}.",
            "Move them elsewhere, or choose an empty or new folder in [output] path.",
        )
    return names


def remove_orphans(store: Store, living: Callable[[], Iterable[str]], keep: Container[str] = ()) -> None:
    """Remove parts and marks that are of no ``living`` run, by fingerprint, but those to ``keep``.

    The living are asked for after the listing: a run's claim is there before its first part.
    """
    found = [name for folder in (DATA, PARTIALS, in_flight.FOLDER) for name, _ in store.list(folder)]
    spared = {fingerprint[:8] for fingerprint in living()}
    for name in found:
        run = run_of(name) or in_flight.run_of(name)
        if run is not None and run not in spared and name not in keep:
            store.delete(name)


def tombstone(store: Store, records: RunPaths) -> None:
    """Leave of a run nothing but that there was one, so that its number is never another's. Its parts are left."""
    store.replace(records.plan, as_json(TOMBSTONE))
    for name in records.names:
        if name != records.plan:
            store.delete(name)


def check_no_orphans(store: Store, names: Iterable[str], fingerprint: str = "") -> None:
    """See that no parts are there, but perhaps of one run, where no record says whose they are.

    Raises:
        OutputError: there are.
    """
    orphans = sorted(name for name in names if name.startswith(f"{DATA}/") and not is_part_of(name, fingerprint, DATA))
    if orphans:
        raise OutputError(
            f"{store.url} holds parts of another run: {orphans[0]}.",
            "Choose another [output] path, or delete them with --restart.",
        )


def _is_ours(name: str) -> bool:
    return (
        name == SUCCESS or is_record(name) or name.startswith("_jaxbatch/tmp/") or is_mark(name) or is_part_name(name)
    )


def as_json(value: Mapping[str, Any]) -> bytes:
    """A record as it is written."""
    return (json.dumps(value, indent=1, default=str) + "\n").encode()
