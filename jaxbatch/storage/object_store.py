"""A folder of an object store (S3, Google Cloud Storage, Azure), and its objects as files."""

import io
import os
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

import obstore

from jaxbatch.errors import JobError
from jaxbatch.failpoints import crash_point
from jaxbatch.storage.clients import client
from jaxbatch.storage.errors import retry_interrupted, translate_errors
from jaxbatch.storage.options import StorageOptions
from jaxbatch.storage.urls import normalised, split

TAIL = 64 * 1024
"""A file's end, where the footer is, is read so many bytes at once."""


LIST_RETRIES = 2
"""The client asks again by itself, but not for a listing whose answer breaks off."""


class ObjectStore:
    """A folder of a bucket. An object is put in one conditional request, so there is none that is half written."""

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
        """See :class:`~jaxbatch.storage.Store`. Where a reply was lost, this call may have made what it then finds."""
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

    def mark(self, name: str) -> None:
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

    def settle(self, folder: str) -> None:
        """See :class:`~jaxbatch.storage.Store`. A put that was answered does."""

    def remove_temporaries(self) -> None:
        """See :class:`~jaxbatch.storage.Store`. A put that did not end left nothing."""

    def free(self) -> int | None:
        """See :class:`~jaxbatch.storage.Store`."""
        return None

    def _key(self, name: str) -> str:
        return f"{self._prefix}{name}"

    def _url(self, name: str) -> str:
        return f"{self.url}/{name}"


class ObjectFile(io.RawIOBase):
    """An object to read anywhere in, one request a read; its last ``TAIL`` bytes are fetched at once and kept."""

    def __init__(self, bucket: Any, key: str, url: str, size: int, version: str | None = None):
        self._bucket, self._key, self.name, self._size = bucket, key, url, size
        self._version = version
        """The ETag of what is read, so that no two reads are of different objects."""
        self._position = 0
        self._tail: bytes | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the next read."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """See :class:`io.RawIOBase`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """``size`` bytes, fewer only at the end.

        Raises:
            OSError: the store does not give them.
        """
        start = min(self._position, self._size)
        end = self._size if size is None or size < 0 else min(start + size, self._size)
        data = self._range(start, end)
        self._position = end
        return data

    def _range(self, start: int, end: int) -> bytes:
        if start == end:
            return b""
        tail = max(self._size - TAIL, 0)
        if start < tail:
            return self._fetch(start, end)
        if self._tail is None:
            self._tail = self._fetch(tail, self._size)
        return self._tail[start - tail : end - tail]

    def _fetch(self, start: int, end: int) -> bytes:
        options: Any = {"range": (start, end)}
        if self._version is not None:
            options["if_match"] = self._version

        def ask() -> tuple[str | None, bytes]:
            with translate_errors(self.name):
                got = obstore.get(self._bucket, self._key, options=options)
                return got.meta["e_tag"], bytes(got.bytes())

        self._version, data = retry_interrupted(ask)
        if len(data) != end - start:
            raise ConnectionError(f"{self.name}: the store returned {len(data)} of the {end - start} bytes requested")
        return data


def open_object(url: str, options: StorageOptions, size: int | None) -> BinaryIO:
    """An object as a file.

    Raises:
        OSError: it is not there, or cannot be read.
    """
    scheme, bucket, key = _split(url)
    return _opened(client(scheme, bucket, options), key, url, size)


def list_objects(url: str, options: StorageOptions) -> Iterator[tuple[str, int, str | None]]:
    """URLs, sizes and versions (ETags, where the store has them) of the object at ``url``, if there is one, and of all
    below it.

    Raises:
        OSError: the store cannot be asked.
    """
    scheme, bucket, key = _split(url)
    opened, found = client(scheme, bucket, options), False
    for listed, size, version in _listed(opened, key, url):
        found = True
        yield f"{scheme}://{bucket}/{listed}", size, version
    if key and not found:  # a prefix, to the store, is a folder: it does not find the object of that very name
        try:
            with translate_errors(url):
                head = obstore.head(opened, key)
                yield url, head["size"], head["e_tag"]
        except FileNotFoundError:
            return


def is_below(url: str, options: StorageOptions, wanted: Callable[[str], bool], again: int = LIST_RETRIES) -> bool:
    """Whether an object is below ``url`` whose name from there on is ``wanted``; no, where we may not look there.

    Raises:
        OSError: the store cannot be asked.
    """
    scheme, bucket, key = _split(url)
    try:
        with translate_errors(url):
            pages = obstore.list(client(scheme, bucket, options), prefix=key)  # asked for as they are looked at
            return any(wanted(meta["path"].removeprefix(f"{key}/")) for page in pages for meta in page)
    except PermissionError:
        return False
    except ConnectionError:
        if not again:
            raise
        return is_below(url, options, wanted, again - 1)


def _opened(bucket: Any, key: str, url: str, size: int | None) -> BinaryIO:
    version = None
    if size is None:
        with translate_errors(url):
            found = obstore.head(bucket, key)
        size, version = found["size"], found["e_tag"]
    return ObjectFile(bucket, key, url, size, version)  # type: ignore[return-value]


def _listed(bucket: Any, prefix: str, url: str, again: int = LIST_RETRIES) -> list[tuple[str, int, str | None]]:
    """Keys, sizes and versions below a prefix."""
    try:
        with translate_errors(url):
            batches = list(obstore.list(bucket, prefix=prefix or None))
    except ConnectionError:
        if not again:
            raise
        return _listed(bucket, prefix, url, again - 1)
    found = {meta["path"]: (meta["size"], meta["e_tag"]) for batch in batches for meta in batch}
    folders = {key[:end] for key in found for end in range(len(key)) if key[end] == "/"} | {prefix}
    # Some tools mark folders by empty objects.
    return [(key, size, version) for key, (size, version) in found.items() if size or key not in folders]


def _split(url: str) -> tuple[str, str, str]:
    try:
        return split(url)
    except ValueError as error:
        raise JobError(f"{url.partition('://')[0]}://…: {error}.", "Write s3://bucket/folder.") from None
