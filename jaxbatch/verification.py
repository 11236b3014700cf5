"""Re-reading an output against its manifest."""

import json
import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from jaxbatch.errors import InputError, storage_told
from jaxbatch.outputs import MANIFEST, PLAN, SUCCESS
from jaxbatch.parts import NotAPart, Receipt, data_digest, read_receipt
from jaxbatch.storage import StorageOptions, Store, open_store

_THREADS = 8


@storage_told()
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
    if PLAN not in names and MANIFEST not in names:
        raise InputError(f"{path} holds no output of jaxbatch.", "Give the folder named in [output] path.")
    if MANIFEST not in names:
        return ["The run is not finished: there is no manifest yet. Run it again to finish it."]
    try:
        manifest = json.loads(store.read(MANIFEST))
        rows, parts = manifest["rows"], [Receipt(**p, fingerprint=manifest["fingerprint"]) for p in manifest["parts"]]
    except (ValueError, KeyError, TypeError):
        return [f"{MANIFEST} is damaged."]
    problems = [] if SUCCESS in names else [f"{SUCCESS} is missing: the run was not sealed."]
    if PLAN not in names:
        problems.append(f"{PLAN} is missing.")
    elif _owner(store) != manifest["fingerprint"]:
        problems.append(f"{PLAN} and {MANIFEST} are of different runs.")
    listed = {part.name for part in parts}
    problems += [f"{name} is not in the manifest." for name in sorted(names) if _extra(name, listed)]
    held = sum(part.rows for part in parts)
    if held != rows:
        problems.append(f"{MANIFEST}: its parts hold {held} rows, not {rows}.")
    with ThreadPoolExecutor(_THREADS) as pool:
        found = pool.map(lambda part: _verify_part(store, part, names), parts)
        return problems + [problem for problem in found if problem]


def _owner(store: Store) -> str | None:
    try:
        return json.loads(store.read(PLAN))["fingerprint"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


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
        return f"{part.name} has another footer than the manifest says."
    if data_digest(store, part) != part.digest:
        return f"{part.name}: its data differ from the digest. Delete it and run again to write it anew."
    return None


def _extra(name: str, listed: set[str]) -> bool:
    return name not in listed and name != SUCCESS and not name.startswith("_jaxbatch/")
