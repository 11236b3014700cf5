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

_readers: dict[int, list[set[str]]] = {}
"""By thread, the innermost last."""

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
def opened_files() -> Iterator[set[str]]:
    """The files that this thread opens to read from Python meanwhile, but Python's own and those of its packages."""
    _listen()
    found: set[str] = set()
    readers = _readers.setdefault(threading.get_ident(), [])
    readers.append(found)
    try:
        yield found
    finally:
        readers.pop()
        if not readers:
            del _readers[threading.get_ident()]


_listening = False


def _listen() -> None:
    global _listening
    if not _listening:
        sys.addaudithook(_heard)
        _listening = True


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _readers or (readers := _readers.get(threading.get_ident())) is None:
        return
    path, mode, flags = arguments
    writes = any(letter in str(mode) for letter in "wax+") or bool(int(flags) & (os.O_WRONLY | os.O_RDWR))
    if isinstance(path, str | bytes | os.PathLike) and not writes:
        full = os.path.realpath(os.fsdecode(path))
        if not full.startswith((*_NEVER, *_ours)) and os.path.isfile(full):
            readers[-1].add(full)
