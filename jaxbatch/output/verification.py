"""Re-reading an output against the manifests of its runs."""

import os
from collections import Counter
from collections.abc import Collection, Container, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from jaxbatch.errors import InputError, translate_storage_errors
from jaxbatch.output.paths import SINGLE_RUN, SUCCESS, RunPaths, numbered
from jaxbatch.output.receipt import NotAPart, Receipt, data_digest, read_receipt
from jaxbatch.output.records import ClaimRecord, DamagedRecord, ForgottenRun, Manifest
from jaxbatch.storage import StorageOptions, Store, open_store

_THREADS = 8


@translate_storage_errors()
def verify(path: str | os.PathLike[str], storage: StorageOptions | None = None) -> list[str]:
    """Re-read an output against its manifests. Returns every difference in words: an empty list means that all is well.

    Args:
        path: the output folder.
        storage: how the output is reached, if its path is a URL.

    Raises:
        InputError: there is no output of jaxbatch at ``path``.
    """
    store = open_store(os.fspath(path), storage or StorageOptions())
    names = dict(store.list())
    claims = _claims(store, names)
    if not claims:
        raise InputError(f"{path} is not an output of jaxbatch.", "Give the folder named in [output] path.")
    problems = _taken_twice(claims)
    verified = {
        paths: _verify_run(store, paths, claim, names) for paths, claim in claims.items() if paths.manifest in names
    }
    problems += [problem for _, found in verified.values() for problem in found]
    if unfinished := [paths for paths in claims if paths not in verified]:
        return [f"{_named(paths)} is not finished: {_AGAIN}" for paths in unfinished] + problems
    if SUCCESS not in names:
        problems.insert(0, f"{SUCCESS} is missing: the run was not sealed.")
    if any(parts is None for parts, _ in verified.values()):
        return problems
    listed = Counter(part.name for parts, _ in verified.values() for part in parts or ())
    problems += [f"{name} is in {count} manifests." for name, count in listed.items() if count > 1]
    return [f"{name} is not in the manifest." for name in sorted(names) if _extra(name, listed)] + problems


_AGAIN = "it has no manifest yet. Run it again to finish it."


def _named(paths: RunPaths) -> str:
    return "The run" if paths == SINGLE_RUN else f"Run {paths.number}"


def _claims(store: Store, names: Collection[str]) -> dict[RunPaths, ClaimRecord | None]:
    """The claims of all runs that were not given up; None if one is missing or damaged."""
    claims: dict[RunPaths, ClaimRecord | None] = {}
    for paths in (SINGLE_RUN, *numbered(names)):
        if paths.plan in names or paths.manifest in names:
            with suppress(ForgottenRun):
                claims[paths] = _claim(store, paths)
    return claims


def _claim(store: Store, paths: RunPaths) -> ClaimRecord | None:
    try:
        claim = ClaimRecord.read(store, paths)
    except (FileNotFoundError, DamagedRecord):
        return None
    return claim.model_copy(update={"identity": {}, "layout": []})  # which are long, and one output may have many runs


def _taken_twice(claims: Mapping[RunPaths, ClaimRecord | None]) -> list[str]:
    """Complaints about input files that two runs of an output claim to have computed."""
    taken: dict[str, int] = {}
    problems = []
    for paths, claim in claims.items():
        for file, _ in claim.ledger if claim else ():
            if file in taken:
                problems.append(f"{file} was computed by run {taken[file]} and by run {paths.number}.")
            taken[file] = paths.number or 0
    return problems


def _verify_run(
    store: Store, paths: RunPaths, claim: ClaimRecord | None, names: Mapping[str, int]
) -> tuple[list[Receipt] | None, list[str]]:
    """The parts that a run's manifest lists, and every difference from it; None in place of parts if it is damaged."""
    try:
        manifest = Manifest.read(store, paths)
    except DamagedRecord:
        return None, [f"{paths.manifest} is damaged."]
    problems = []
    if paths.plan not in names:
        problems.append(f"{paths.plan} is missing.")
    elif claim is None:
        problems.append(f"{paths.plan} is damaged.")
    elif claim.fingerprint != manifest.fingerprint:
        problems.append(f"{paths.plan} and {paths.manifest} belong to different runs.")
    rows = sum(part.rows for part in manifest.parts)
    if rows != manifest.rows:
        problems.append(f"{paths.manifest}: its parts hold {rows} rows, not {manifest.rows}.")
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda part: _verify_part(store, part, names), manifest.parts)
        return manifest.parts, problems + [problem for problem in found if problem]


def _verify_part(store: Store, part: Receipt, names: Mapping[str, int]) -> str | None:
    if part.name not in names:
        return f"{part.name} is missing."
    if names[part.name] != part.bytes:
        return f"{part.name} has {names[part.name]} bytes, the manifest says {part.bytes}."
    try:
        if read_receipt(store, part.name, part.bytes) != part:
            return f"{part.name} has a different footer than the manifest says."
        if data_digest(store, part) != part.digest:
            return f"{part.name}: its data do not match the digest. Delete it and run again to rewrite it."
    except NotAPart as error:
        return f"{error}."
    return None


def _extra(name: str, listed: Container[str]) -> bool:
    return name not in listed and name != SUCCESS and not name.startswith("_jaxbatch/")
