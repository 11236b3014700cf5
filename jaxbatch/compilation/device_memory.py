"""Whether a batch fits its device: asked of the compiled program before anything is computed."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxbatch.jaxpr_walk import equations

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def device_bytes(device: Any) -> int:
    """The memory that a device's programs share: its own, or for a CPU that of this machine or container."""
    known = device.memory_stats() or {}
    return int(known["bytes_limit"]) if "bytes_limit" in known else host_bytes()


def host_bytes() -> int:
    """The memory of this machine, or less where a container has less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            limits.append(int(Path(file).read_text()))
    return min(limits)


class DeviceMemoryPool:
    """The memory of a device that batches take while they are computed."""

    def __init__(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, count: int, size: int) -> Iterator[None]:
        """Take so many bytes of ``size``, as soon as others leave them; or whatever they are, where nobody has any."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + count <= size)
            self._taken += count
        try:
            yield
        finally:
            with self._changed:
                self._taken -= count
                self._changed.notify_all()


def program_bytes(compiled: Any) -> int:
    """What a compiled program needs at once, arguments and results included; 0 where the compiler does not say."""
    said = compiled.memory_analysis()
    if said is None:
        return 0
    return said.argument_size_in_bytes + said.output_size_in_bytes + said.temp_size_in_bytes


def intermediate_bytes(jaxpr: Any) -> int:
    """An upper bound of what one row's intermediate values hold: all of them at once, as if nothing were fused."""
    return sum(_size(variable.aval) for equation in equations(jaxpr) for variable in equation.outvars)


def fitting_width(width: int, needed: int, available: int) -> int:
    """The largest power of two of rows that fits, if memory grows with the rows."""
    rows = max(1, width * available // max(needed, 1))
    return 1 << (rows.bit_length() - 1)


def _size(aval: Any) -> int:
    size = getattr(aval, "size", 0)
    dtype = getattr(aval, "dtype", None)
    return int(size) * getattr(dtype, "itemsize", 0)
