"""Which run an output folder belongs to, and which run each object in it belongs to."""

import re
from collections.abc import Callable, Container, Iterable

from jaxbatch.errors import OutputError, OutputTaken
from jaxbatch.output import in_flight
from jaxbatch.output.in_flight import is_mark
from jaxbatch.output.paths import DATA, PARTIALS, SUCCESS, RunPaths, is_part_name, is_part_of, is_record, run_of
from jaxbatch.output.records import TOMBSTONE, as_json
from jaxbatch.storage import Store

_FINGERPRINT = re.compile(rb'"fingerprint": "([0-9a-f]+)"')
_HEAD = 1024
"""Bytes of plan.json that are read to find the fingerprint. The layout at its end may be long."""


def check_owner(store: Store, fingerprint: str, paths: RunPaths) -> None:
    """See that a folder belongs to a run, by the first bytes of its plan.json.

    Raises:
        OutputTaken: it belongs to another run, or to none.
    """
    try:
        with store.open(paths.plan) as file:
            found = _FINGERPRINT.search(file.read(_HEAD))
    except FileNotFoundError:
        found = None
    if found is None or found[1].decode() != fingerprint:
        raise OutputTaken(
            f"{store.url} was taken over by another run, or restarted, while this run was working.",
            "Give each job an [output] path of its own.",
        )


def list_owned(store: Store) -> dict[str, int]:
    """Names and sizes of all objects in an output.

    Raises:
        OutputError: there is an object that jaxbatch did not write.
    """
    names = dict(store.list())
    foreign = [name for name in names if not _is_owned(name)]
    if foreign:
        raise OutputError(
            f"{store.url} holds files that are not from jaxbatch: {', '.join(sorted(foreign)[:3])}.",
            "Move them elsewhere, or choose an empty or new folder in [output] path.",
        )
    return names


def remove_orphans(store: Store, living: Callable[[], Iterable[str]], keep: Container[str] = ()) -> None:
    """Remove parts and marks of runs other than the ``living``, except the names to ``keep``.

    ``living`` gives fingerprints. It is called after the listing, since a run's claim is there before its first part.
    """
    found = [name for folder in (DATA, PARTIALS, in_flight.FOLDER) for name, _ in store.list(folder)]
    spared = {fingerprint[:8] for fingerprint in living()}
    for name in found:
        run = run_of(name) or in_flight.run_of(name)
        if run is not None and run not in spared and name not in keep:
            store.delete(name)


def tombstone(store: Store, paths: RunPaths) -> None:
    """Remove a run's records, but keep that there was a run, so that its number is never reused. Its parts stay."""
    store.replace(paths.plan, as_json(TOMBSTONE))
    for name in paths.names:
        if name != paths.plan:
            store.delete(name)


def check_no_orphans(store: Store, names: Iterable[str], fingerprint: str = "") -> None:
    """See that a folder without a claim holds no parts, except those of the run with this ``fingerprint``.

    Raises:
        OutputError: it holds parts of another run.
    """
    orphans = sorted(name for name in names if name.startswith(f"{DATA}/") and not is_part_of(name, fingerprint, DATA))
    if orphans:
        raise OutputError(
            f"{store.url} holds parts of another run: {orphans[0]}.",
            "Choose another [output] path, or delete them with --restart.",
        )


def _is_owned(name: str) -> bool:
    return (
        name == SUCCESS or is_record(name) or name.startswith("_jaxbatch/tmp/") or is_mark(name) or is_part_name(name)
    )
