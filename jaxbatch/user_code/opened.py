"""The files that a module reads while it is executed, such as weights: if one changes, it is executed again."""

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Stamp = tuple[int, int, int] | None
"""Size in bytes, time of change in ns and inode of a file; None if there is no file."""

_readers: list[dict[str, Stamp]] = []
"""What is recorded for each module that is being executed: the files opened so far, by their paths."""

_thread = threading.local()
"""``paused``: whether this thread's files are left out."""

_SYSTEM = ("/proc/", "/sys/", "/dev/")
_LIBRARIES = tuple(os.path.realpath(path) + os.sep for name, path in sysconfig.get_paths().items() if "lib" in name)


def stamp(path: str) -> Stamp:
    """What shows that a file has changed."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def record_opened(found: dict[str, Stamp]) -> Iterator[None]:
    """Record in ``found`` the files that Python code opens for reading meanwhile, in any thread of this process.

    Files that do not exist are recorded too; files of Python and of installed packages are not.
    """
    _listen()
    _readers.append(found)
    try:
        yield
    finally:
        _readers[:] = [each for each in _readers if each is not found]


@contextmanager
def recording_paused() -> Iterator[None]:
    """Record nothing that this thread opens meanwhile: to import a module that is never executed again, for one."""
    before, _thread.paused = getattr(_thread, "paused", False), True
    try:
        yield
    finally:
        _thread.paused = before


_listening = False


def _listen() -> None:
    global _listening
    if not _listening:
        sys.addaudithook(_on_event)
        _listening = True


def _on_event(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _readers or getattr(_thread, "paused", False):
        return
    path, mode, flags = arguments
    writes = any(letter in str(mode) for letter in "wax+") or bool(int(flags) & (os.O_WRONLY | os.O_RDWR))
    if isinstance(path, str | bytes | os.PathLike) and not writes:
        full = os.path.realpath(os.fsdecode(path))
        if not full.startswith((*_SYSTEM, *_LIBRARIES)) and not os.path.isdir(full):
            before = stamp(full)
            for each in _readers:
                each.setdefault(full, before)
