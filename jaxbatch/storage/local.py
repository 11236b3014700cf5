"""A folder of a POSIX file system."""

import ctypes
import errno
import fcntl
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from jaxbatch.failpoints import crash_point

_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)
"""Errors of a file system that has no hard links."""

_DIRECT_BYTES = 1 << 20
"""Shorter data are written through the system's cache."""

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors after which trying to write again is of no use."""

_BLOCK = 4096
"""Bytes of a page of memory, and a multiple of every disk's block."""

_NO_REPLACE = 1
"""RENAME_NOREPLACE of renameat2 in linux/fs.h."""

_HERE = -100
"""AT_FDCWD in fcntl.h."""

_LOG = logging.getLogger(__name__)


class LocalStore:
    """A folder of a POSIX file system.

    An object is written to a temporary file and synced, then published by a link, and then its folder is synced.
    """

    _TEMPORARY = "_jaxbatch/tmp"

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)
        self.url = str(folder)
        self._warned = False

    def create(self, name: str, data: "bytes | memoryview") -> bool:
        """See :class:`~jaxbatch.storage.Store`. By a link: the first writer wins, and no reader sees half an object."""
        crash_point("create.begun")
        return self._publish(name, data, self._link)

    def replace(self, name: str, data: bytes) -> None:
        """See :class:`~jaxbatch.storage.Store`."""
        crash_point("replace.begun")
        self._publish(name, data, _rename)

    def create_marker(self, name: str) -> None:
        """See :class:`~jaxbatch.storage.Store`."""
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()

    def read(self, name: str, start: int = 0) -> bytes:
        """See :class:`~jaxbatch.storage.Store`."""
        with (self.folder / name).open("rb") as file:
            file.seek(start)
            return file.read()

    def open(self, name: str) -> BinaryIO:
        """See :class:`~jaxbatch.storage.Store`."""
        return (self.folder / name).open("rb")

    def list(self, folder: str = "") -> Iterator[tuple[str, int]]:
        """See :class:`~jaxbatch.storage.Store`."""
        root = self.folder / folder
        if not root.is_dir():
            return
        with os.scandir(root) as entries:
            for entry in entries:
                name = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir(follow_symlinks=False):
                    yield from self.list(name)
                    continue
                with suppress(FileNotFoundError):  # a temporary file of another process, which is gone by now
                    yield name, entry.stat(follow_symlinks=False).st_size

    def delete(self, name: str) -> None:
        """See :class:`~jaxbatch.storage.Store`."""
        (self.folder / name).unlink(missing_ok=True)
        crash_point("deleted")

    def sync(self, folder: str) -> None:
        """See :class:`~jaxbatch.storage.Store`. A process may have been killed between its link and the sync."""
        _sync_folder(self.folder / folder)
        _sync_folder(self.folder)
        with suppress(PermissionError):  # a folder above that may not be read
            _sync_folder(self.folder.parent)

    def remove_temporaries(self) -> None:
        """See :class:`~jaxbatch.storage.Store`. A process that is still writing starts its temporary file again."""
        for name, _ in list(self.list(self._TEMPORARY)):
            self.delete(name)

    def free(self) -> int | None:
        """See :class:`~jaxbatch.storage.Store`."""
        existing = next(folder for folder in (self.folder, *self.folder.parents) if folder.exists())
        return shutil.disk_usage(existing).free

    def _publish(self, name: str, data: "bytes | memoryview", put: Callable[[Path, Path], bool]) -> bool:
        target = self.folder / name
        while True:
            temporary = self._write_aside(data)
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                if not put(temporary, target):
                    return False
                break
            except FileNotFoundError:
                if temporary.exists():
                    raise
                # Another driver has sealed the run meanwhile, and removed temporary files.
            finally:
                temporary.unlink(missing_ok=True)
        crash_point("put")
        _sync_folder(target.parent)
        crash_point("put.synced")
        return True

    def _write_aside(self, data: "bytes | memoryview") -> Path:
        folder = self.folder / self._TEMPORARY
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / secrets.token_hex(8)
        try:
            with temporary.open("xb", buffering=0) as file:
                view = memoryview(data)
                written = _write_directly(file.fileno(), view) if len(view) >= _DIRECT_BYTES else 0
                while written < len(view):
                    written += file.write(view[written:])
                crash_point("aside")
                os.fsync(file.fileno())
        except OSError:  # above all a full disk, which must not stay full
            temporary.unlink(missing_ok=True)
            raise
        crash_point("aside.synced")
        return temporary

    def _link(self, source: Path, target: Path) -> bool:
        try:
            os.link(source, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not self._warned:
                self._warned = True
                _LOG.warning(
                    "%s does not support hard links (%s): publishing parts by renaming.", self.url, error.strerror
                )
            return _rename_if_absent(source, target)
        return True


def _write_directly(descriptor: int, data: memoryview) -> int:
    """Write the whole blocks of some data without leaving a copy in the system's cache. Returns the bytes written.

    The data are synced at once, so a copy in the cache would be of no use, and in memory that was idle until then it
    costs more than all else about a part. If the file system or the place of the data in memory does not allow it,
    nothing is written.
    """
    whole = len(data) // _BLOCK * _BLOCK
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    written = 0
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags | getattr(os, "O_DIRECT", 0))
        while written < whole:
            written += os.write(descriptor, data[written:whole])
    except OSError as error:
        if error.errno in _FULL:
            raise
    finally:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags)
    return written


def _rename(source: Path, target: Path) -> bool:
    source.replace(target)
    return True


def _rename_if_absent(source: Path, target: Path) -> bool:
    """Rename ``source`` if there is no ``target``. Returns whether it was renamed.

    If the system has no such call, look first: two writers at once then leave the last one's bytes, which are the same.
    """
    call = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if call is not None:
        if call(_HERE, os.fsencode(source), _HERE, os.fsencode(target), _NO_REPLACE) == 0:
            return True
        if ctypes.get_errno() == errno.EEXIST:
            return False
    if target.exists():
        return False
    source.rename(target)
    return True


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
