"""An object of an object store as a file."""

import io
import os
from typing import Any

import obstore

from jaxbatch.storage.errors import retry_interrupted, translate_errors

_TAIL = 64 * 1024
"""Bytes of a file's end, where a footer is, that are read in one request."""


class ObjectFile(io.RawIOBase):
    """An object to read anywhere in. A read is one request, but the object's last 64 KiB are fetched once and kept."""

    def __init__(self, bucket: Any, key: str, url: str, size: int, version: str | None = None):
        self._bucket, self._key, self.name, self._size = bucket, key, url, size
        self._version = version
        """The ETag of the object when it was first read, so that all reads are of the same object."""
        self._position = 0
        self._tail: bytes | None = None

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True

    def tell(self) -> int:
        """The position of the next read."""
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position of the next read, and return it."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        self._position = max(base + offset, 0)
        return self._position

    def readinto(self, buffer: Any) -> int:
        """See :class:`io.RawIOBase`."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def read(self, size: int | None = -1) -> bytes:
        """The next ``size`` bytes, or fewer at the end.

        Raises:
            OSError: the store does not give them, or the object has changed.
        """
        start = min(self._position, self._size)
        end = self._size if size is None or size < 0 else min(start + size, self._size)
        data = self._range(start, end)
        self._position = end
        return data

    def _range(self, start: int, end: int) -> bytes:
        if start == end:
            return b""
        tail = max(self._size - _TAIL, 0)
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
