"""How many CPUs XLA counts and which instructions it may use: constants, since both decide the last bits of results."""

import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from jaxbatch.compilation import xla_flags

_CPUINFO = "/proc/cpuinfo"

_X86 = ("x86_64", "AMD64")

_CPUS = "NPROC"

MAX_ISA = "xla_cpu_max_isa"
"""AVX2, which every server of the last ten years has: AVX512 was not faster, and gives regressions other last bits."""

_elsewhere: ContextVar[bool] = ContextVar("elsewhere", default=False)


class Settings(NamedTuple):
    """What XLA starts with."""

    cpus: str
    """So many it counts."""
    flags: str
    tpu_flags: str


_noted: dict[str, str] = {}
"""What XLA has started with."""


def startup_env() -> Settings:
    """What XLA started with in this process, if this was asked before that changed; or what it would start with."""
    settings = Settings(**{**_now()._asdict(), **_noted})
    if started():
        _noted.update(settings._asdict())
    return settings


def forget_cpus() -> None:
    """JAX's clients have ended: the next ones count the CPUs anew, but XLA reads its flags once in a process."""
    _noted.pop("cpus", None)


def of_the_run() -> Settings:
    """What it has where the run computes: in this process, or in those that are yet to start."""
    return _now() if elsewhere() else startup_env()


def _now() -> Settings:
    return Settings(_counted(), xla_flags.text(), xla_flags.tpu_text())


def elsewhere() -> bool:
    """Whether the run computes in processes that are yet to start."""
    return _elsewhere.get()


def _counted() -> str:
    """The CPUs that XLA counts where it starts now: those it is told, else those that this process may use."""
    try:
        return str(max(int(os.environ[_CPUS]), 0))
    except (KeyError, ValueError):
        return str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())


@contextmanager
def worker_xla_flags() -> Iterator[None]:
    """XLA's flags as processes have them that are yet to start, where JAX has started in this one with others."""
    before = os.environ.get(xla_flags.VARIABLE)
    already = started()
    _limit()
    token = _elsewhere.set(True)
    try:
        yield
    finally:
        _elsewhere.reset(token)
        if already and before is None:
            os.environ.pop(xla_flags.VARIABLE, None)
        elif already and before is not None:
            os.environ[xla_flags.VARIABLE] = before


def _limit() -> None:
    """Name the instructions, before all other flags: XLA reads none that follow a word that is no flag."""
    flags = xla_flags.text()
    if platform.machine() in _X86 and MAX_ISA not in xla_flags.parsed(flags):
        os.environ[xla_flags.VARIABLE] = f"--{MAX_ISA}=AVX2 {flags}".strip()


def started() -> bool:
    """Whether JAX has read its environment already."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def of_this_processor() -> str:
    """What this machine's processor can do of what decides bits: part of a run's identity."""
    return f"{platform.machine()} AVX2" if has_avx2() else platform.machine()


def has_avx2() -> bool:
    """Whether the processor has AVX2, and what goes with it."""
    if platform.machine() not in _X86 or not os.path.exists(_CPUINFO):
        return False
    with open(_CPUINFO, encoding="utf-8") as file:
        found = next((set(line.split()) for line in file if line.startswith("flags")), set())
    return {"avx2", "fma"} <= found


def prepare() -> None:
    """Set both, where JAX has not started yet."""
    already = started()
    if already:
        startup_env()
    os.environ[_CPUS] = "8"
    if not already:
        _limit()
