"""The host memory that parts share while they are computed."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from jaxbatch.execution.compute_slots import ShardAbandoned


class MemoryLimitExceeded(Exception):
    """A part needs more memory than the other parts leave, or than there is."""


class HostMemoryPool:
    """``size`` bytes that parts share, each known by an owner (an attempt at a shard) that computes one at a time."""

    def __init__(self, size: int):
        self.size = size
        self._reserved: Counter[Hashable] = Counter()
        """Bytes by owner; an owner that was abandoned keeps its own until its part ends, since it holds them still."""
        self._computing: set[Hashable] = set()
        """Owners whose part is being computed, except abandoned ones."""
        self._abandoned: set[Hashable] = set()
        self._waiting = 0
        """How many owners wait to be the only one."""
        self._exclusive: Hashable | None = None
        """The owner that is the only one now."""
        self._changed = threading.Condition()

    @contextmanager
    def part(self, owner: Hashable, *, exclusive: bool = False) -> Iterator[Callable[[int], None]]:
        """A part that is being computed: yields a function that reserves bytes for it, until the block ends.

        A part for which the others leave too little is tried again ``exclusive``: it waits until they have ended, and
        no other begins before it has.

        Raises:
            MemoryLimitExceeded: by the function, if that many bytes are not free.
            ShardAbandoned: at the beginning or by the function, once the owner was abandoned.
        """

        def reserve(count: int) -> None:
            with self._changed:
                if owner in self._abandoned:
                    raise ShardAbandoned
                if self._reserved.total() + count > self.size:
                    raise MemoryLimitExceeded
                self._reserved[owner] += count

        with self._changed:
            self._waiting += exclusive
            self._changed.wait_for(
                lambda: not self._computing if exclusive else not self._waiting and self._exclusive is None
            )
            self._waiting -= exclusive
            if owner in self._abandoned:
                raise ShardAbandoned
            self._exclusive = owner if exclusive else None
            self._computing.add(owner)
        try:
            yield reserve
        finally:
            with self._changed:
                self._end(owner)
                self._reserved.pop(owner, None)

    def abandon(self, owner: Hashable) -> None:
        """Stop waiting for an owner that does not end, and let it begin nothing more."""
        with self._changed:
            self._abandoned.add(owner)
            self._end(owner)

    def _end(self, owner: Hashable) -> None:
        self._computing.discard(owner)
        if self._exclusive == owner:
            self._exclusive = None
        self._changed.notify_all()
