"""A folder of an object store (S3, Google Cloud Storage, Azure), and its objects as files."""

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import obstore

from jaxbatch.errors import JobError
from jaxbatch.failpoints import crash_point
from jaxbatch.storage.clients import client
from jaxbatch.storage.errors import retry_interrupted, translate_errors
from jaxbatch.storage.object_file import ObjectFile
from jaxbatch.storage.options import StorageOptions
from jaxbatch.storage.urls import normalised, split


class ObjectStore:
    """A folder of a bucket. An object is put in one request, so none is ever half written."""

    def __init__(self, bucket: Any, prefix: str, url: str):
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self.url = url

    @classmethod
    def at(cls, url: str, options: StorageOptions) -> "ObjectStore":
        """The folder at a URL.

        Raises:
            JobError: the URL or the options make no sense.
        """
        scheme, bucket, key = _split(url)
        return cls(client(scheme, bucket, options), key, normalised(url))

    def create(self, name: str, data: "bytes | memoryview") -> bool:
        """See :class:`~jaxbatch.storage.Store`. After a lost reply it may return False for an object that it made."""
        crash_point("create.begun")
        try:
            with translate_errors(self._url(name)):
                obstore.put(self._bucket, self._key(name), data, mode="create", use_multipart=False)
        except FileExistsError:
            return False
        crash_point("put")
        return True

    def replace(self, name: str, data: bytes) -> None:
        """See :class:`~jaxbatch.storage.Store`."""
        crash_point("replace.begun")
        with translate_errors(self._url(name)):
            obstore.put(self._bucket, self._key(name), data, use_multipart=False)
        crash_point("put")

    def create_marker(self, name: str) -> None:
        """See :class:`~jaxbatch.storage.Store`."""
        self.replace(name, b"")

    def read(self, name: str, start: int = 0) -> bytes:
        """See :class:`~jaxbatch.storage.Store`."""
        options: Any = {"range": {"offset": start}} if start else {}

        def ask() -> bytes:
            with translate_errors(self._url(name)):
                return bytes(obstore.get(self._bucket, self._key(name), options=options).bytes())

        return retry_interrupted(ask)

    def open(self, name: str) -> BinaryIO:
        """See :class:`~jaxbatch.storage.Store`."""
        return _opened(self._bucket, self._key(name), self._url(name), None)

    def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See :class:`~jaxbatch.storage.Store`."""
        below = f"{self._prefix}{folder}".rstrip("/")
        for key, size, _ in _listed(self._bucket, below, self.url):
            yield key.removeprefix(self._prefix), size

    def delete(self, name: str) -> None:
        """See :class:`~jaxbatch.storage.Store`."""
        try:
            with translate_errors(self._url(name)):
                obstore.delete(self._bucket, self._key(name))
        except FileNotFoundError:
            pass
        crash_point("deleted")

    def sync(self, folder: str) -> None:
        """See :class:`~jaxbatch.storage.Store`. An object whose put was answered does so already."""

    def remove_temporaries(self) -> None:
        """See :class:`~jaxbatch.storage.Store`. There are none: an unfinished put leaves nothing."""

    def free(self) -> int | None:
        """See :class:`~jaxbatch.storage.Store`."""
        return None

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _url(self, name: str) -> str:
        return f"{self.url}/{name}"


def open_object(url: str, options: StorageOptions, size: int | None) -> BinaryIO:
    """An object as a file; its ``size`` in bytes saves a request if it is known.

    Raises:
        OSError: the object is not there, or cannot be read.
    """
    scheme, bucket, key = _split(url)
    return _opened(client(scheme, bucket, options), key, url, size)


def list_objects(url: str, options: StorageOptions) -> Iterator[tuple[str, int, str | None]]:
    """URLs, sizes in bytes and versions of all objects below ``url``, or of the object at ``url`` itself.

    A version is an ETag; None if the store has none.

    Raises:
        OSError: the store cannot be asked.
    """
    scheme, bucket, key = _split(url)
    opened, found = client(scheme, bucket, options), False
    for listed, size, version in _listed(opened, key, url):
        found = True
        yield f"{scheme}://{bucket}/{listed}", size, version
    if key and not found:  # to the store a prefix is a folder: it does not find the object of that very name
        try:
            with translate_errors(url):
                head = obstore.head(opened, key)
                yield url, head["size"], head["e_tag"]
        except FileNotFoundError:
            return


def is_below(url: str, options: StorageOptions, wanted: Callable[[str], bool]) -> bool:
    """Whether ``wanted`` is true of the name, below ``url``, of any object there. False if access is refused.

    Raises:
        OSError: the store cannot be asked.
    """
    scheme, bucket, key = _split(url)

    def look() -> bool:
        with translate_errors(url):
            pages = obstore.list(client(scheme, bucket, options), prefix=key)  # requested one after the other
            return any(wanted(meta["path"].removeprefix(f"{key}/")) for page in pages for meta in page)

    try:
        return retry_interrupted(look, ConnectionError)
    except PermissionError:
        return False


def _opened(bucket: Any, key: str, url: str, size: int | None) -> BinaryIO:
    version = None
    if size is None:
        with translate_errors(url):
            found = obstore.head(bucket, key)
        size, version = found["size"], found["e_tag"]
    return ObjectFile(bucket, key, url, size, version)  # type: ignore[return-value]


def _listed(bucket: Any, prefix: str, url: str) -> list[tuple[str, int, str | None]]:
    """Keys, sizes and versions of the objects below a prefix. Empty objects by which some tools mark folders are left
    out."""

    def ask() -> list[Any]:
        with translate_errors(url):
            return list(obstore.list(bucket, prefix=prefix or None))

    pages = retry_interrupted(ask, ConnectionError)
    found = {meta["path"]: (meta["size"], meta["e_tag"]) for page in pages for meta in page}
    folders = {key[:end] for key in found for end in range(len(key)) if key[end] == "/"} | {prefix}
    return [(key, size, version) for key, (size, version) in found.items() if size or key not in folders]


def _split(url: str) -> tuple[str, str, str]:
    try:
        return split(url)
    except ValueError as error:
        raise JobError(f"{url.partition('://')[0]}://…: {error}.", "Write s3://bucket/folder.") from None
