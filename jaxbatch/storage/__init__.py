"""Where inputs lie and outputs are kept: local disks, and object stores by URL.

Everything above knows outputs as a :class:`Store`, whose objects are created only if absent, and inputs as files that
can be read from any place. What an object means is not known here. Begin with :class:`Store`, then ``local.py``;
``object_store.py`` is the same for a bucket.
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
    """A folder of whole objects, named by paths with ``/``, that can be created only if absent."""

    url: str

    def create(self, name: str, data: "bytes | memoryview") -> bool:
        """Publish a whole object if there is none of that name; whether this call did."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Publish a whole object, whatever was there."""
        ...

    def mark(self, name: str) -> None:
        """Leave an empty object, which need not outlive the machine."""
        ...

    def read(self, name: str, start: int = 0) -> bytes:
        """An object's bytes from ``start`` on. FileNotFoundError if absent."""
        ...

    def open(self, name: str) -> BinaryIO:
        """An object as a file to read anywhere in. FileNotFoundError if absent."""
        ...

    def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """Names and sizes of everything below a folder."""
        ...

    def delete(self, name: str) -> None:
        """Remove an object; no error if absent."""
        ...

    def settle(self, folder: str) -> None:
        """See to it that all objects there outlive the machine, whoever published them."""
        ...

    def remove_temporaries(self) -> None:
        """Remove what unfinished attempts left."""
        ...

    def free(self) -> int | None:
        """Bytes that still fit, or None where there is no such limit."""
        ...


def open_store(url: str, options: StorageOptions) -> Store:
    """The store of an output path. Nothing is created or asked yet.

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
    """A file of the input to read anywhere in; its ``size`` saves a request where it is known.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    if is_remote(path):
        from jaxbatch.storage.object_store import open_object

        return open_object(path, options, size)
    return pa.OSFile(path)  # type: ignore[return-value]
