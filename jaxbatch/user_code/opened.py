"""The files that are read while a module is executed, weights for one: with them it is another module."""

import os
import sys
import sysconfig
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

Stamp = tuple[int, int, int] | None
"""Size, time of change in ns and number of a file; None of one that is not there."""

_readers: list[dict[str, Stamp]] = []
"""One for each module that is being executed."""

_here = threading.local()

_NEVER = ("/proc/", "/sys/", "/dev/")
_ours = tuple(os.path.realpath(path) + os.sep for name, path in sysconfig.get_paths().items() if "lib" in name)


def stamp(path: str) -> Stamp:
    """What tells a file from what it was before."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


@contextmanager
def opened_files(found: dict[str, Stamp]) -> Iterator[None]:
    """Note in ``found`` the files that this process opens to read from Python meanwhile, in whatever thread, those too
    that are not there; but Python's own and those of its packages."""
    _listen()
    _readers.append(found)
    try:
        yield
    finally:
        _readers[:] = [each for each in _readers if each is not found]


@contextmanager
def not_noted() -> Iterator[None]:
    """Note nothing that this thread opens meanwhile, as to import what is not renewed when it changes."""
    before, _here.paused = getattr(_here, "paused", False), True
    try:
        yield
    finally:
        _here.paused = before


_listening = False


def _listen() -> None:
    global _listening
    if not _listening:
        sys.addaudithook(_heard)
        _listening = True


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _readers or getattr(_here, "paused", False):
        return
    path, mode, flags = arguments
    writes = any(letter in str(mode) for letter in "wax+") or bool(int(flags) & (os.O_WRONLY | os.O_RDWR))
    if isinstance(path, str | bytes | os.PathLike) and not writes:
        full = os.path.realpath(os.fsdecode(path))
        if not full.startswith((*_NEVER, *_ours)) and not os.path.isdir(full):
            before = stamp(full)
            for each in _readers:
                each.setdefault(full, before)
