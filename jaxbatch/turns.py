"""Who of many may compute: as many at once as there are cores, while the others wait for their disk."""

import threading
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from contextlib import contextmanager


class Turns:
    """So many turns at once, each of an ``owner`` that has one at a time."""

    def __init__(self, count: int):
        self._count = count
        self._having: set[Hashable] = set()
        self._waiting: dict[Hashable, float] = {}
        """Who waits, and since when."""
        self._waited: defaultdict[Hashable, float] = defaultdict(float)
        self._changed = threading.Condition()

    @contextmanager
    def turn(self, owner: Hashable) -> Iterator[None]:
        """A turn, as soon as there is one."""
        with self._changed:
            self._waiting[owner] = time.monotonic()
            self._changed.wait_for(lambda: len(self._having) < self._count)
            self._waited[owner] += time.monotonic() - self._waiting.pop(owner)
            self._having.add(owner)
        try:
            yield
        finally:
            self.give_up(owner)

    def give_up(self, owner: Hashable) -> None:
        """Give an owner's turn to another, whether it has ended or not."""
        with self._changed:
            self._having.discard(owner)
            self._changed.notify()

    def waited(self, owner: Hashable) -> float:
        """How many seconds an owner has waited so far, and waits."""
        with self._changed:
            since = self._waiting.get(owner)
            return self._waited.get(owner, 0.0) + (0.0 if since is None else time.monotonic() - since)

    def end(self, owner: Hashable) -> float:
        """Forget an owner that has no turn any more; how many seconds it has waited in all."""
        with self._changed:
            return self._waited.pop(owner, 0.0)
