"""What XLA starts with: how many CPUs it counts, and which instructions it may use.

Both decide the last bits of results, so every run sets them to the same constants before JAX starts: 8 CPUs, and
AVX2. A process in which JAX has started before keeps what it started with, and that belongs to its identity.
"""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from jaxbatch.compilation import processor, xla_flags

_CPUS = "NPROC"

MAX_ISA = "xla_cpu_max_isa"
"""AVX2, which every server of the last ten years has: AVX512 was not faster, and gives regressions other last bits."""

_new_processes: ContextVar[bool] = ContextVar("new_processes", default=False)


class Settings(NamedTuple):
    """What XLA starts with."""

    cpus: str
    """How many CPUs it counts."""
    flags: str
    """XLA_FLAGS."""
    tpu_flags: str
    """LIBTPU_INIT_ARGS."""


_at_start: dict[str, str] = {}
"""The settings that XLA has started with in this process, by their names in :class:`Settings`."""


def startup_env() -> Settings:
    """The settings that XLA started with in this process, or would start with now.

    To be called before the environment changes: what XLA started with is remembered from the first call after that.
    """
    settings = Settings(**{**_current()._asdict(), **_at_start})
    if started():
        _at_start.update(settings._asdict())
    return settings


def forget_cpus() -> None:
    """Forget the number of CPUs once JAX's clients have ended: new ones count again. XLA never rereads its flags."""
    _at_start.pop("cpus", None)


def run_env() -> Settings:
    """The settings of the processes that compute: of this one, or of those that are yet to start."""
    return _current() if in_new_processes() else startup_env()


def in_new_processes() -> bool:
    """Whether the run computes in processes that are yet to start."""
    return _new_processes.get()


def _current() -> Settings:
    return Settings(_cpu_count(), xla_flags.text(), xla_flags.tpu_text())


def _cpu_count() -> str:
    """The CPUs that XLA would count if it started now: the number it is given, else those that this process may use."""
    try:
        return str(max(int(os.environ[_CPUS]), 0))
    except (KeyError, ValueError):
        return str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


@contextmanager
def worker_xla_flags() -> Iterator[None]:
    """XLA's flags as new processes get them, even where JAX has started in this one with others."""
    before = os.environ.get(xla_flags.VARIABLE)
    already = started()
    _limit_instructions()
    token = _new_processes.set(True)
    try:
        yield
    finally:
        _new_processes.reset(token)
        if already and before is None:
            os.environ.pop(xla_flags.VARIABLE, None)
        elif already and before is not None:
            os.environ[xla_flags.VARIABLE] = before


def _limit_instructions() -> None:
    """Add the flag before all others: XLA reads none that follow a word that is no flag."""
    flags = xla_flags.text()
    if processor.is_x86() and MAX_ISA not in xla_flags.parsed(flags):
        os.environ[xla_flags.VARIABLE] = f"--{MAX_ISA}=AVX2 {flags}".strip()


def started() -> bool:
    """Whether JAX has started in this process, and so has read its environment."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    asked = getattr(bridge, "backends_are_initialized", None)  # not there yet while a thread imports the module
    return asked is not None and asked()


def processor_identity() -> str:
    """The instruction set that decides bits on this machine: part of a run's identity."""
    return f"{platform.machine()} AVX2" if processor.has_avx2() else platform.machine()


def prepare() -> None:
    """Set the number of CPUs, and the instructions where JAX has not started yet."""
    already = started()
    if already:
        startup_env()
    os.environ[_CPUS] = "8"
    if not already:
        _limit_instructions()
