"""Where inputs lie and outputs are kept: folders of local disks, and object stores by URL.

Other wings see an output as a :class:`Store`, where an object is created only if absent, and an input as files to read
anywhere in. What an object means is not known here. Begin with :class:`Store`, then ``local.py``; ``object_store.py``
is the same for a bucket.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

import pyarrow as pa

from jaxbatch.errors import OutputError
from jaxbatch.storage.local import LocalStore
from jaxbatch.storage.options import StorageOptions
from jaxbatch.storage.urls import is_remote

__all__ = ["LocalStore", "StorageOptions", "Store", "is_remote", "open_file", "open_store"]


class Store(Protocol):
    """A folder of objects, named by paths with ``/``. An object is published whole, and can be created only if absent.

    Raises:
        OSError: from every method, if the disk or the object store refuses or cannot be reached; see
            :func:`jaxbatch.storage.errors.translate_errors`.
    """

    url: str
    """The folder, for messages."""

    def create(self, name: str, data: "bytes | memoryview") -> bool:
        """Publish an object if there is none of that name. Returns whether this call did."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Publish an object, in place of any that is there."""
        ...

    def create_marker(self, name: str) -> None:
        """Leave an empty object. It may be lost if the machine fails."""
        ...

    def read(self, name: str, start: int = 0) -> bytes:
        """An object's bytes from ``start`` on. Raises FileNotFoundError if it is absent."""
        ...

    def open(self, name: str) -> BinaryIO:
        """An object as a file to read anywhere in. Raises FileNotFoundError if it is absent."""
        ...

    def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Names, from the store's own folder on, and sizes in bytes of all objects below a folder, in any order."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object. It is no error if it is absent."""
        ...

    def sync(self, folder: str) -> None:
        """Make all objects in a folder outlive a failure of the machine, also those that other processes published."""
        ...

    def remove_temporaries(self) -> None:
        """Remove what unfinished writes left."""
        ...

    def free(self) -> int | None:
        """Bytes that still fit; None if there is no such limit."""
        ...


def open_store(url: str, options: StorageOptions) -> Store:
    """The store of an output path. Nothing is created, and no object store is asked anything yet.

    Raises:
        OutputError: the path cannot be a folder.
        JobError: the URL, its credentials or its options make no sense.
    """
    if is_remote(url):
        from jaxbatch.storage.object_store import ObjectStore

        return ObjectStore.at(url, options)
    folder = Path(url)
    for ancestor in (folder, *folder.parents):
        if ancestor.exists():
            if not ancestor.is_dir():
                raise OutputError(f"{ancestor} is a file, so {url} cannot be an output folder.", "Choose another.")
            break
    return LocalStore(folder)


def open_file(path: str, options: StorageOptions, size: int | None = None) -> BinaryIO:
    """An input file to read anywhere in. If its ``size`` in bytes is known, giving it saves a request.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if is_remote(path):
        from jaxbatch.storage.object_store import open_object

        return open_object(path, options, size)
    return pa.OSFile(path)  # type: ignore[return-value]
