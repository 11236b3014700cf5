"""Whether a batch fits its device: asked of the compiled program before anything is computed."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from jaxbatch.jaxprs import nested
from jaxbatch.turns import GivenUp

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


class NoRoom(Exception):
    """A part holds more than what the others leave, or more than there is."""


class Room:
    """Memory that the parts in the making share, each known by an ``owner`` that makes one at a time."""

    def __init__(self, size: int):
        self.size = size
        self._held: Counter[Hashable] = Counter()
        """What is held, by those that were given up too, since they hold it still."""
        self._making: set[Hashable] = set()
        self._given_up: set[Hashable] = set()
        self._waiting = 0
        self._alone: Hashable | None = None
        self._changed = threading.Condition()

    @contextmanager
    def part(self, owner: Hashable, *, alone: bool = False) -> Iterator[Callable[[int], None]]:
        """A part in the making: what is given is called with the bytes that it holds from then on.

        One for which the others leave no room is begun again ``alone``: it waits until they have ended, and no other
        begins before it.

        Raises:
            NoRoom: when called, if so much is not free.
            GivenUp: at the beginning or when called, once its owner was given up.
        """

        def hold(count: int) -> None:
            with self._changed:
                if owner in self._given_up:
                    raise GivenUp
                if self._held.total() + count > self.size:
                    raise NoRoom
                self._held[owner] += count

        with self._changed:
            self._waiting += alone
            self._changed.wait_for(lambda: not self._making if alone else not self._waiting and self._alone is None)
            self._waiting -= alone
            if owner in self._given_up:
                raise GivenUp
            self._alone = owner if alone else None
            self._making.add(owner)
        try:
            yield hold
        finally:
            with self._changed:
                self._end(owner)
                self._held.pop(owner, None)

    def give_up(self, owner: Hashable) -> None:
        """Wait no more for an owner that does not end, and let it begin nothing more."""
        with self._changed:
            self._given_up.add(owner)
            self._end(owner)

    def _end(self, owner: Hashable) -> None:
        self._making.discard(owner)
        if self._alone == owner:
            self._alone = None
        self._changed.notify_all()


class Budget:
    """The memory of a device that batches take while they are computed."""

    def __init__(self) -> None:
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, count: int, size: int) -> Iterator[None]:
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
    inner = getattr(jaxpr, "jaxpr", jaxpr)
    total = 0
    for equation in inner.eqns:
        total += sum(_size(variable.aval) for variable in equation.outvars)
        total += sum(intermediate_bytes(each) for each in nested(equation.params.values()))
    return total


def fitting_width(width: int, needed: int, available: int) -> int:
    """The largest power of two of rows that fits, if memory grows with the rows."""
    rows = max(1, width * available // max(needed, 1))
    return 1 << (rows.bit_length() - 1)


def _size(aval: Any) -> int:
    size = getattr(aval, "size", 0)
    dtype = getattr(aval, "dtype", None)
    return int(size) * getattr(dtype, "itemsize", 0)


def gib(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 2**30:.3g} GiB"
