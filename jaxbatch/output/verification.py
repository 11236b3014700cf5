"""Re-reading an output against its manifest."""

import json
import os
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from jaxbatch.errors import InputError, translate_storage_errors
from jaxbatch.output.ownership import TOMBSTONE
from jaxbatch.output.part_file import NotAPart, Receipt, data_digest, read_receipt
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, numbered
from jaxbatch.storage import StorageOptions, Store, open_store

_THREADS = 8


@translate_storage_errors()
def verify(path: str | os.PathLike[str], storage: StorageOptions | None = None) -> list[str]:
    """Re-read an output against its manifest: every difference, in words; none means that all is well.

    Args:
        path: the output folder.
        storage: how it is reached, where it is a URL.

    Raises:
        InputError: there is no output of jaxbatch at ``path``.
    """
    store = open_store(os.fspath(path), storage or StorageOptions())
    names = dict(store.list())
    found = (records for records in (SINGLE_RUN, *numbered(names)) if {records.plan, records.manifest} & set(names))
    runs = [records for records in found if _claim(store, records) != TOMBSTONE]
    if not runs:
        raise InputError(f"{path} is not an output of jaxbatch.", "Give the folder named in [output] path.")
    problems = _taken_twice(store, runs)
    verified = {records: _verify_run(store, records, names) for records in runs if records.manifest in names}
    problems += [problem for _, found in verified.values() for problem in found]
    if unfinished := [records for records in runs if records not in verified]:
        return [f"{_named(records)} is not finished: {_AGAIN}" for records in unfinished] + problems
    if SUCCESS not in names:
        problems.insert(0, f"{SUCCESS} is missing: the run was not sealed.")
    if any(parts is None for parts, _ in verified.values()):
        return problems
    listed = Counter(part.name for parts, _ in verified.values() for part in parts or ())
    problems += [f"{name} is in {count} manifests." for name, count in listed.items() if count > 1]
    return [f"{name} is not in the manifest." for name in sorted(names) if _extra(name, listed)] + problems


_AGAIN = "it has no manifest yet. Run it again to finish it."


def _named(records: RunPaths) -> str:
    return "The run" if records == SINGLE_RUN else f"Run {records.number}"


def _taken_twice(store: Store, runs: Iterable[RunPaths]) -> list[str]:
    """Input files that two runs of an output say to have computed."""
    taken: dict[str, int] = {}
    problems = []
    for records in runs:
        for path, _ in _claim(store, records).get("ledger", ()):
            if path in taken:
                problems.append(f"{path} was computed by run {taken[path]} and by run {records.number}.")
            taken[path] = records.number or 0
    return problems


def _verify_run(store: Store, records: RunPaths, names: Mapping[str, int]) -> tuple[list[Receipt] | None, list[str]]:
    """The parts of one run, by its manifest if that can be read, and every difference from it."""
    try:
        manifest = json.loads(store.read(records.manifest))
        rows, parts = manifest["rows"], [Receipt(**p, fingerprint=manifest["fingerprint"]) for p in manifest["parts"]]
    except (ValueError, KeyError, TypeError):
        return None, [f"{records.manifest} is damaged."]
    problems = []
    if records.plan not in names:
        problems.append(f"{records.plan} is missing.")
    elif _claim(store, records).get("fingerprint") != manifest["fingerprint"]:
        problems.append(f"{records.plan} and {records.manifest} belong to different runs.")
    held = sum(part.rows for part in parts)
    if held != rows:
        problems.append(f"{records.manifest}: its parts hold {held} rows, not {rows}.")
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda part: _verify_part(store, part, names), parts)
        return parts, problems + [problem for problem in found if problem]


def _claim(store: Store, records: RunPaths) -> dict[str, Any]:
    try:
        return json.loads(store.read(records.plan))
    except (FileNotFoundError, ValueError):
        return {}


def _verify_part(store: Store, part: Receipt, names: Mapping[str, int]) -> str | None:
    if part.name not in names:
        return f"{part.name} is missing."
    if names[part.name] != part.bytes:
        return f"{part.name} has {names[part.name]} bytes, the manifest says {part.bytes}."
    try:
        receipt = read_receipt(store, part.name, part.bytes)
    except NotAPart as error:
        return f"{error}."
    if receipt != part:
        return f"{part.name} has a different footer than the manifest says."
    if data_digest(store, part) != part.digest:
        return f"{part.name}: its data do not match the digest. Delete it and run again to rewrite it."
    return None


def _extra(name: str, listed: Container[str]) -> bool:
    return name not in listed and name != SUCCESS and not name.startswith("_jaxbatch/")
