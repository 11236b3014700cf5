"""The memory of the host that the parts in the making share."""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from jaxbatch.execution.compute_slots import ShardAbandoned


class MemoryLimitExceeded(Exception):
    """A part holds more than what the others leave, or more than there is."""


class HostMemoryPool:
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
    def part(self, owner: Hashable, *, exclusive: bool = False) -> Iterator[Callable[[int], None]]:
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
                    raise ShardAbandoned
                if self._held.total() + count > self.size:
                    raise MemoryLimitExceeded
                self._held[owner] += count

        with self._changed:
            self._waiting += exclusive
            self._changed.wait_for(lambda: not self._making if exclusive else not self._waiting and self._alone is None)
            self._waiting -= exclusive
            if owner in self._given_up:
                raise ShardAbandoned
            self._alone = owner if exclusive else None
            self._making.add(owner)
        try:
            yield hold
        finally:
            with self._changed:
                self._end(owner)
                self._held.pop(owner, None)

    def abandon(self, owner: Hashable) -> None:
        """Wait no more for an owner that does not end, and let it begin nothing more."""
        with self._changed:
            self._given_up.add(owner)
            self._end(owner)

    def _end(self, owner: Hashable) -> None:
        self._making.discard(owner)
        if self._alone == owner:
            self._alone = None
        self._changed.notify_all()
