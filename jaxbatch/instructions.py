"""How many CPUs XLA counts and which instructions it may use: constants, since both decide the last bits of results."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

_CPUINFO = "/proc/cpuinfo"

_X86 = ("x86_64", "AMD64")

_MAX_ISA = "xla_cpu_max_isa"
"""AVX2, which every server of the last ten years has: AVX512 was not faster, and gives regressions other last bits."""


def in_effect() -> tuple[str, str]:
    """The number of CPUs and the flags that XLA started with, if this is asked first when it does, or has."""
    return _cpus(), _flags()


@cache
def _cpus() -> str:
    return os.environ.get("NPROC", "")


@cache
def _flags() -> str:
    return os.environ.get("XLA_FLAGS", "")


def forget_cpus() -> None:
    """JAX's clients have ended: the next ones count the CPUs anew, but XLA reads its flags once in a process."""
    _cpus.cache_clear()


_of_workers = False


def flags() -> str:
    """XLA's flags as part of a run's identity: those in effect here, or in :func:`as_workers_have_it` there."""
    return in_effect()[1] if started() and not _of_workers else os.environ.get("XLA_FLAGS", "")


@contextmanager
def as_workers_have_it() -> Iterator[None]:
    """XLA's flags as processes have them that are yet to start, where JAX has started in this one with others."""
    global _of_workers
    before = os.environ.get("XLA_FLAGS")
    already = started()
    _limit()
    _of_workers = True
    try:
        yield
    finally:
        _of_workers = False
        if already and before is None:
            del os.environ["XLA_FLAGS"]
        elif already and before is not None:
            os.environ["XLA_FLAGS"] = before


def _limit() -> None:
    flags = os.environ.get("XLA_FLAGS", "")
    if platform.machine() in _X86 and _MAX_ISA not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --{_MAX_ISA}=AVX2".strip()


def started() -> bool:
    """Whether JAX has read its environment already."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def of_this_processor() -> str:
    """What this machine's processor can do of what decides bits: part of a run's identity."""
    machine = platform.machine()
    if machine not in _X86 or not os.path.exists(_CPUINFO):
        return machine
    with open(_CPUINFO, encoding="utf-8") as file:
        found = next((set(line.split()) for line in file if line.startswith("flags")), set())
    return f"{machine} AVX2" if {"avx2", "fma"} <= found else machine


def prepare() -> None:
    """Set both, where JAX has not started yet."""
    already = started()
    if already:
        in_effect()
    os.environ["NPROC"] = "8"
    if not already:
        _limit()
