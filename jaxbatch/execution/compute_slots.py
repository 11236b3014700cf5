"""Which threads may compute: as many at once as there are cores, while the others wait for their disk."""

import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager


class ShardAbandoned(Exception):
    """The attempt at a shard was abandoned while it was still at work: it must stop."""


class ComputeSlots:
    """``count`` slots, each held by an owner (an attempt at a shard), and how long each owner has waited for others.

    An owner waits for its first slot; it may hold more, for further threads, while nobody else waits.
    """

    def __init__(self, count: int):
        self._count = count
        self._holders: list[Hashable] = []
        """The owner of each slot that is taken."""
        self._queued = 0
        """How many owners wait for a slot."""
        self._waiting_since: dict[Hashable, float] = {}
        self._waited: defaultdict[Hashable, float] = defaultdict(float)
        """Seconds that each owner has waited so far, without the wait that goes on."""
        self._abandoned: set[Hashable] = set()
        self._changed = threading.Condition()

    @contextmanager
    def acquire(self, owner: Hashable) -> Iterator[None]:
        """Wait for a free slot, and hold it for the block.

        Raises:
            ShardAbandoned: the owner was abandoned before it had a slot.
        """
        with self.waiting(owner), self._changed:
            self._queued += 1
            self._changed.wait_for(lambda: owner in self._abandoned or len(self._holders) < self._count)
            self._queued -= 1
            if owner in self._abandoned:
                raise ShardAbandoned
            self._holders.append(owner)
        try:
            yield
        finally:
            self._release(owner)

    def try_acquire(self, owner: Hashable) -> ExitStack | None:
        """Take a free slot without waiting.

        Returns an ExitStack that releases it, or None if none is free or another owner waits. Nor is there one once any
        owner was abandoned: a part that hangs must not take more threads with each attempt.
        """
        with self._changed:
            if self._queued or self._abandoned or len(self._holders) >= self._count:
                return None
            self._holders.append(owner)
        slot = ExitStack()
        slot.callback(self._release, owner)
        return slot

    @contextmanager
    def waiting(self, owner: Hashable) -> Iterator[None]:
        """Count the time of a block as waiting for others."""
        with self._changed:
            self._waiting_since[owner] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._waited[owner] += time.monotonic() - self._waiting_since.pop(owner)

    def abandon(self, owner: Hashable) -> None:
        """Free an owner's slots for others, though its threads have not ended, and give it no more."""
        with self._changed:
            self._abandoned.add(owner)
            self._holders = [holder for holder in self._holders if holder != owner]
            self._changed.notify_all()

    def _release(self, owner: Hashable) -> None:
        with self._changed:
            if owner in self._holders:
                self._holders.remove(owner)
            self._changed.notify_all()

    def wait_seconds(self, owner: Hashable) -> float:
        """How many seconds an owner has waited so far, including a wait that goes on."""
        with self._changed:
            since = self._waiting_since.get(owner)
            return self._waited.get(owner, 0.0) + (0.0 if since is None else time.monotonic() - since)

    def forget(self, owner: Hashable) -> float:
        """Forget an owner that holds no slot any more; returns how many seconds it has waited in all."""
        with self._changed:
            return self._waited.pop(owner, 0.0)
