"""What must be set before JAX starts, so that the machine stays out of the results and memory within bounds."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa

from jaxbatch.compilation import instructions, linear_algebra

_MALLOC = {
    -8: 2,  # M_ARENA_MAX: each thread would have its own heap otherwise, and keep there what XLA frees
    -3: 1 << 25,  # M_MMAP_THRESHOLD: a batch's arrays would be given back after each batch, and every page be met anew
    -1: 1 << 28,  # M_TRIM_THRESHOLD: likewise
}
"""Settings of glibc's malloc.h."""


def prepare(*, platforms: str | None = None) -> None:
    """Fix the number of CPUs that XLA counts and the instructions that it may use, and optionally the platforms.

    XLA splits large reductions by that number, and fuses and orders operations by those, so they decide the last bits;
    constants take the machine out of them, and likewise out of LAPACK. They take effect only where JAX has not started
    yet, or LAPACK not been loaded; a process in which it has keeps what it has, and so has another identity.

    Memory is kept for the next batch, in two heaps that all threads and libraries share: Arrow's own gives it back
    within milliseconds, and a page that is met anew costs more than what is done with it.
    """
    instructions.prepare()
    linear_algebra.pin()
    if sys.platform == "linux" and not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
        if mallopt is not None:
            for setting, value in _MALLOC.items():
                mallopt(setting, value)
            pa.set_memory_pool(pa.system_memory_pool())
    if platforms is not None:
        os.environ["JAX_PLATFORMS"] = platforms


@contextmanager
def prepared(*, platforms: str | None = None) -> Iterator[None]:
    """:func:`prepare` for as long as a run lasts: after it the caller's variables are what they were.

    What the user's functions have set meanwhile stays.
    """
    with _held.lock:
        if not _held.runs:
            _held.before, _held.ours = dict(os.environ), set()
        _held.runs += 1
        prepare(platforms=platforms)
        _held.ours |= changed(_held.before)
    try:
        yield
    finally:
        with _held.lock:
            _held.runs -= 1
            if instructions.started():
                instructions.startup_env()  # noted, before what JAX has started with is gone
            if not _held.runs:
                rays = {name for name in changed(_held.before) if name.startswith("RAY_")}  # set when it is imported
                restore(_held.ours | rays, _held.before)


class _Held:
    """How many runs hold the environment as they need it at once, what it was before the first, and what they set."""

    def __init__(self) -> None:
        self.lock, self.runs = threading.Lock(), 0
        self.before: dict[str, str] = {}
        self.ours: set[str] = set()


_held = _Held()


def changed(before: Mapping[str, str]) -> set[str]:
    """The variables that are not what they were."""
    return {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}


def restore(names: Iterable[str], before: Mapping[str, str]) -> None:
    """Make some variables what they were."""
    for name in names:
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)
