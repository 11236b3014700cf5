"""What must be set before JAX starts, so that results do not depend on the machine and memory stays within bounds."""

import ctypes
import os
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa

from jaxbatch.compilation import instructions, linear_algebra

_MALLOC = {
    -8: 2,  # M_ARENA_MAX: otherwise each thread has its own heap, and keeps there what XLA frees
    -3: 1 << 25,  # M_MMAP_THRESHOLD: otherwise a batch's arrays are returned after it, and their pages faulted in again
    -1: 1 << 28,  # M_TRIM_THRESHOLD: likewise
}
"""Options of glibc's ``mallopt``, by the numbers in malloc.h."""


def prepare(*, platforms: str | None = None) -> None:
    """Fix the CPUs that XLA counts, the instructions that it may use, LAPACK's code and threads, and the allocator.

    XLA splits large reductions by the number of CPUs, and fuses and orders operations by the instructions, so both
    decide the last bits; constants make these the same on every machine, and likewise for LAPACK. They take effect only
    before JAX starts and LAPACK is loaded. A later process keeps what it started with, and has another identity.

    Memory is kept for the next batch, in two heaps that all threads and libraries share. Arrow's own allocator returns
    it within milliseconds, and faulting in a page again costs more than the work on it.

    Args:
        platforms: for JAX_PLATFORMS, if given.
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
    """:func:`prepare` while a run lasts, and then restore the environment variables that it has set.

    Variables that the user's functions set meanwhile stay.
    """
    with _environment.lock:
        if not _environment.runs:
            _environment.before, _environment.set = dict(os.environ), set()
        _environment.runs += 1
        prepare(platforms=platforms)
        _environment.set |= changed(_environment.before)
    try:
        yield
    finally:
        with _environment.lock:
            _environment.runs -= 1
            if instructions.started():
                instructions.startup_env()  # which remembers what JAX has started with, before it is restored
            if not _environment.runs:
                by_ray = {name for name in changed(_environment.before) if name.startswith("RAY_")}  # at its import
                restore(_environment.set | by_ray, _environment.before)


class _Environment:
    """The environment that runs of this process share, of which several may last at once."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.runs = 0
        self.before: dict[str, str] = {}
        """All variables before the first run."""
        self.set: set[str] = set()
        """The names of those that runs have set."""


_environment = _Environment()


def changed(before: Mapping[str, str]) -> set[str]:
    """The names of environment variables whose values differ from those in ``before``."""
    return {name for name in before.keys() | os.environ.keys() if before.get(name) != os.environ.get(name)}


def restore(names: Iterable[str], before: Mapping[str, str]) -> None:
    """Give some environment variables the values that they have in ``before``."""
    for name in names:
        if name in before:
            os.environ[name] = before[name]
        else:
            os.environ.pop(name, None)
