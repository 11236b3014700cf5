"""An output as what another job reads: its data folder, once it is finished."""

import glob
import os

from jaxbatch.errors import InputError
from jaxbatch.output.paths import DATA, SINGLE_RUN, SUCCESS
from jaxbatch.storage import StorageOptions, Store, is_remote, open_store


def data_folder(path: str, options: StorageOptions) -> str | None:
    """The folder of parts of the output at a path or URL, or of that whose parts lie there; None if it is no output.

    Raises:
        InputError: its run is not finished.
        OSError: an object store cannot be asked.
    """
    parent, _, last = path.rpartition("/")
    for folder in (path, *([parent] if last == DATA else [])):
        if glob.has_magic(folder) or not (is_remote(folder) or os.path.isdir(folder)):
            continue
        store = open_store(folder, options)
        if next(iter(store.list(SINGLE_RUN.folder)), None) is None:
            continue
        if not _has(store, SUCCESS):
            raise InputError(f"{folder} is an output whose run is not finished.", "Run its job again to finish it.")
        return f"{folder}/{DATA}"
    return None


def _has(store: Store, name: str) -> bool:
    try:
        store.open(name).close()
    except FileNotFoundError:
        return False
    return True
