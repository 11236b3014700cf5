"""Who of many may compute: as many at once as there are cores, while the others wait for their disk."""

import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import ExitStack, contextmanager


class ShardAbandoned(Exception):
    """What was given up is still at work."""


class ComputeSlots:
    """So many turns at once, each of an ``owner`` that waits for one and may have more that nobody else waits for; and
    how long each has waited for others."""

    def __init__(self, count: int):
        self._count = count
        self._having: list[Hashable] = []
        self._asking = 0
        self._waiting: dict[Hashable, float] = {}
        """Who waits, and since when."""
        self._waited: defaultdict[Hashable, float] = defaultdict(float)
        self._given_up: set[Hashable] = set()
        self._changed = threading.Condition()

    @contextmanager
    def acquire(self, owner: Hashable) -> Iterator[None]:
        """A turn, as soon as there is one.

        Raises:
            GivenUp: the owner was given up before it had one.
        """
        with self.waiting(owner), self._changed:
            self._asking += 1
            self._changed.wait_for(lambda: owner in self._given_up or len(self._having) < self._count)
            self._asking -= 1
            if owner in self._given_up:
                raise ShardAbandoned
            self._having.append(owner)
        try:
            yield
        finally:
            self._end(owner)

    def try_acquire(self, owner: Hashable) -> ExitStack | None:
        """One more turn, had already and until what is returned ends; or None where somebody waits or has it.

        Nor is there one once anybody was given up: what hangs must not take more threads each time.
        """
        with self._changed:
            if self._asking or self._given_up or len(self._having) >= self._count:
                return None
            self._having.append(owner)
        turn = ExitStack()
        turn.callback(self._end, owner)
        return turn

    @contextmanager
    def waiting(self, owner: Hashable) -> Iterator[None]:
        """Count the time of a block as waiting for others."""
        with self._changed:
            self._waiting[owner] = time.monotonic()
        try:
            yield
        finally:
            with self._changed:
                self._waited[owner] += time.monotonic() - self._waiting.pop(owner)

    def abandon(self, owner: Hashable) -> None:
        """Give an owner's turns to others, though it has not ended, and let it have no more."""
        with self._changed:
            self._given_up.add(owner)
            self._having = [each for each in self._having if each != owner]
            self._changed.notify_all()

    def _end(self, owner: Hashable) -> None:
        with self._changed:
            if owner in self._having:
                self._having.remove(owner)
            self._changed.notify_all()

    def wait_seconds(self, owner: Hashable) -> float:
        """How many seconds an owner has waited so far, and waits."""
        with self._changed:
            since = self._waiting.get(owner)
            return self._waited.get(owner, 0.0) + (0.0 if since is None else time.monotonic() - since)

    def forget(self, owner: Hashable) -> float:
        """Forget an owner that has no turn any more; how many seconds it has waited in all."""
        with self._changed:
            return self._waited.pop(owner, 0.0)
