"""What must be set before JAX starts, so that the machine stays out of the results and memory within bounds."""

import ctypes
import os
import sys

_M_ARENA_MAX = -8
"""In glibc's malloc.h."""


def prepare(*, platforms: str | None = None) -> None:
    """Fix the number of CPUs that XLA counts, and optionally the platforms it may use.

    XLA splits large reductions by that number, so it decides the last bits; a constant takes the machine
    out of them. It takes effect only where JAX has not started yet.

    Threads then share two heaps: each would have its own otherwise, and keep there what XLA frees.
    """
    os.environ["NPROC"] = "8"
    if sys.platform == "linux" and not {"MALLOC_ARENA_MAX", "GLIBC_TUNABLES"} & {*os.environ}:
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # glibc's alone
        if mallopt is not None:
            mallopt(_M_ARENA_MAX, 2)
    if platforms is not None:
        os.environ["JAX_PLATFORMS"] = platforms
