"""What must be set before JAX starts, so that the machine stays out of the results and memory within bounds."""

import ctypes
import os
import platform
import sys

import pyarrow as pa

_MALLOC = {
    -8: 2,  # M_ARENA_MAX: each thread would have its own heap otherwise, and keep there what XLA frees
    -3: 1 << 25,  # M_MMAP_THRESHOLD: a batch's arrays would be given back after each batch, and every page be met anew
    -1: 1 << 28,  # M_TRIM_THRESHOLD: likewise
}
"""Settings of glibc's malloc.h."""


_CPUINFO = "/proc/cpuinfo"

_X86 = ("x86_64", "AMD64")

_MAX_ISA = "xla_cpu_max_isa"
"""AVX2, which every server of the last ten years has: AVX512 was not faster, and gives regressions other last bits."""


def _jax_has_started() -> bool:
    """Whether JAX has read its environment already."""
    bridge = sys.modules.get("jax._src.xla_bridge")
    return bridge is not None and bridge.backends_are_initialized()


def instructions() -> str:
    """What this machine's processor can do of what decides bits: part of a run's identity."""
    machine = platform.machine()
    if machine not in _X86 or not os.path.exists(_CPUINFO):
        return machine
    with open(_CPUINFO, encoding="utf-8") as file:
        found = next((set(line.split()) for line in file if line.startswith("flags")), set())
    return f"{machine} AVX2" if {"avx2", "fma"} <= found else machine


def prepare(*, platforms: str | None = None, elsewhere: bool = False) -> None:
    """Fix the number of CPUs that XLA counts and the instructions that it may use, and optionally the platforms.

    XLA splits large reductions by that number, and fuses and orders operations by those, so they decide the last bits;
    constants take the machine out of them. They take effect only where JAX has not started yet; a process in which it
    has keeps its instructions, and so has another identity, unless what is computed is computed ``elsewhere``.

    Memory is kept for the next batch, in two heaps that all threads and libraries share: Arrow's own gives it back
    within milliseconds, and a page that is met anew costs more than what is done with it.
    """
    os.environ["NPROC"] = "8"
    flags = os.environ.get("XLA_FLAGS", "")
    if platform.machine() in _X86 and _MAX_ISA not in flags and (elsewhere or not _jax_has_started()):
        os.environ["XLA_FLAGS"] = f"{flags} --{_MAX_ISA}=AVX2".strip()
    if sys.platform == "linux" and not any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
        if mallopt is not None:
            for setting, value in _MALLOC.items():
                mallopt(setting, value)
            pa.set_memory_pool(pa.system_memory_pool())
    if platforms is not None:
        os.environ["JAX_PLATFORMS"] = platforms
