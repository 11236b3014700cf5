"""Where outputs are kept: a store of whole objects that can be created only if absent.

Everything above asks these seven questions and no others, so an object store needs one more class here.
"""

import errno
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Protocol

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""What a file system answers that has no links."""


_ABANDONED_S = 3600.0


class Store(Protocol):
    """A folder of objects, named by paths with ``/``."""

    url: str

    def create(self, name: str, data: "bytes | memoryview") -> bool:
        """Publish a whole object if there is none of that name; whether this call did."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Publish a whole object, whatever was there."""
        ...

    def read(self, name: str, start: int = 0) -> bytes:
        """An object's bytes from ``start`` on (from the end where negative). FileNotFoundError if absent."""
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

    def sweep(self) -> None:
        """Remove what unfinished attempts left."""
        ...


class LocalStore:
    """A folder of a POSIX file system."""

    _TEMPORARY = "_jaxbatch/tmp"

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.url = str(folder)

    def create(self, name: str, data: "bytes | memoryview") -> bool:
        """See :class:`Store`. Written aside and synced first, then linked, so that no reader sees a part of it."""
        temporary = self._write_aside(data)
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        except FileNotFoundError:
            if target.exists():
                return False  # the run is sealed, and what was written aside swept away
            raise
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if target.exists():
                return False
            temporary.rename(target)
        finally:
            temporary.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return True

    def replace(self, name: str, data: bytes) -> None:
        """See :class:`Store`."""
        temporary = self._write_aside(data)
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary.replace(target)
        _sync_folder(target.parent)

    def read(self, name: str, start: int = 0) -> bytes:
        """See :class:`Store`."""
        with (self.folder / name).open("rb") as file:
            if start:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(size + start, 0) if start < 0 else start)
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """See :class:`Store`."""
        return (self.folder / name).open("rb")

    def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See :class:`Store`."""
        root = self.folder / folder
        if not root.is_dir():
            return
        with os.scandir(root) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield from self.list(name)
                    continue
                with suppress(FileNotFoundError):  # another process's temporary file, gone by now
                    yield name, entry.stat(follow_symlinks=False).st_size

    def delete(self, name: str) -> None:
        """See :class:`Store`."""
        (self.folder / name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """See :class:`Store`. What is younger than an hour may be another driver's, still at work."""
        for name, _ in list(self.list(self._TEMPORARY)):
            with suppress(FileNotFoundError):
                if time.time() - (self.folder / name).stat().st_mtime > _ABANDONED_S:
                    self.delete(name)

    def _write_aside(self, data: "bytes | memoryview") -> Path:
        folder = self.folder / self._TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / secrets.token_hex(8)
        with temporary.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
