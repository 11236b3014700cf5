"""Whether a batch fits the memory of its device, known from the program before anything is computed."""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxbatch.errors import JobError, readable_bytes
from jaxbatch.jaxpr_walk import equations

if TYPE_CHECKING:
    from jaxbatch.compilation.weights import Weight

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def device_bytes(device: Any) -> int:
    """The bytes of memory that a device's programs share: its own, or for a CPU those of :func:`host_bytes`."""
    known = device.memory_stats() or {}
    return int(known["bytes_limit"]) if "bytes_limit" in known else host_bytes()


def host_bytes() -> int:
    """The bytes of memory of this machine, or of its container if that has less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # no such file, or its content is "max"
            limits.append(int(Path(file).read_text()))
    return min(limits)


class DeviceMemory:
    """The memory of this process's devices, which the batches of all its programs share.

    A batch that does not fit its share is refused. More batches may run at once than there are shares, if they fit.
    """

    def __init__(self) -> None:
        self.max_concurrency = 1
        """How many batches are computed at once on a device, in all processes that use it."""
        self._workers_per_node = 1
        self._bytes: dict[Any, int] = {}
        self._pools = defaultdict[Any, DeviceMemoryPool](DeviceMemoryPool)
        self._weights = defaultdict[Any, dict[str, int]](dict)
        """By device: the bytes of each array that stays on it, by its digest."""

    def divide(self, max_concurrency: int, workers_per_node: int) -> None:
        """Divide each device by the batches computed at once in this process, and by the processes that use it."""
        self.max_concurrency, self._workers_per_node = max_concurrency * workers_per_node, workers_per_node

    def hold(self, device: Any, weights: "Iterable[Weight]") -> None:
        """Set the bytes of weights aside, which stay on a device and which all programs share.

        Raises:
            JobError: the device has fewer.
        """
        held = self._weights[device]
        held |= {weight.digest: weight.bytes for weight in weights}
        if held and self._unheld(device) <= 0:
            total, size = sum(held.values()), self._size(device) // self._workers_per_node
            shared = f" for each of {self._workers_per_node} workers" if self._workers_per_node > 1 else ""
            raise JobError(
                f"The arrays that the function closes over take {readable_bytes(total)}, but the "
                f"{device.device_kind} has {readable_bytes(size)}{shared}.",
                "Keep them in a narrower dtype, or compute with fewer workers on a node or on a larger one.",
            )

    def share(self, device: Any) -> int:
        """The bytes that one batch may take."""
        return max(0, self._unheld(device)) // (self.max_concurrency // self._workers_per_node)

    def reserve(self, device: Any, needed: int) -> AbstractContextManager[None]:
        """Reserve the ``needed`` bytes, or a share if they are not known, once other batches leave as many."""
        return self._pools[device].reserve(needed or self.share(device), self._unheld(device))

    def _unheld(self, device: Any) -> int:
        """The bytes of this process's part of a device that no weights take."""
        return self._size(device) // self._workers_per_node - sum(self._weights[device].values())

    def _size(self, device: Any) -> int:
        """The device's memory, asked for once: asking takes as long as a small batch does."""
        if device not in self._bytes:
            self._bytes[device] = device_bytes(device)
        return self._bytes[device]


class DeviceMemoryPool:
    """The memory of a device, of which each batch reserves a part while it is computed."""

    def __init__(self) -> None:
        self._reserved = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, count: int, size: int) -> Iterator[None]:
        """Reserve ``count`` of ``size`` bytes, once other batches leave as many. Alone, a batch gets any number."""
        with self._changed:
            self._changed.wait_for(lambda: not self._reserved or self._reserved + count <= size)
            self._reserved += count
        try:
            yield
        finally:
            with self._changed:
                self._reserved -= count
                self._changed.notify_all()


def program_bytes(compiled: Any) -> int:
    """The bytes that a compiled program needs, arguments and results included; 0 if the compiler does not say."""
    sizes = compiled.memory_analysis()
    if sizes is None:
        return 0
    return sizes.argument_size_in_bytes + sizes.output_size_in_bytes + sizes.temp_size_in_bytes


def intermediate_bytes(jaxpr: Any) -> int:
    """An upper bound of the bytes of one row's intermediate values: all of them at once, as if nothing were fused."""
    return sum(_size(variable.aval) for equation in equations(jaxpr) for variable in equation.outvars)


def fitting_width(width: int, needed: int, available: int) -> int:
    """The largest power of two of rows that fits, if memory is proportional to rows.

    Args:
        width: the rows of a batch that does not fit.
        needed: its bytes.
        available: the bytes that there are.
    """
    rows = max(1, width * available // max(needed, 1))
    return 1 << (rows.bit_length() - 1)


def _size(aval: Any) -> int:
    size = getattr(aval, "size", 0)
    dtype = getattr(aval, "dtype", None)
    return int(size) * getattr(dtype, "itemsize", 0)
