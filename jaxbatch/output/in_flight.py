"""Marks of the shards that are being computed, beside the output.

Threads share a process, so a shard that ends the process ends all others with it. Only the marks that are left tell the
next run which shards it may have been.
"""

import logging
import re
import threading
from dataclasses import dataclass

from jaxbatch.storage import Store

FOLDER = "_jaxbatch/in-flight"

_LATE_S = 10.0
"""Seconds to wait at the end for marks that are still being made."""

_NAME = re.compile(rf"^{FOLDER}/(?P<stage>[a-z]+)-(?P<shard>\d+)-(?P<times>\d+)-(?P<run>[0-9a-f]{{8}})$")


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    """Says that a shard was begun for the ``times``-th time since it was last known to end. ``run`` holds the first 8
    digits of the run's fingerprint."""

    stage: str
    shard: int
    times: int
    run: str

    @property
    def name(self) -> str:
        """The name of its object."""
        return f"{FOLDER}/{self.stage}-{self.shard:07d}-{self.times}-{self.run}"


def is_mark(name: str) -> bool:
    """Whether an object's name is that of a mark."""
    return _NAME.match(name) is not None


def run_of(name: str) -> str | None:
    """The first 8 digits of the fingerprint of a mark's run, by the mark's name; None if it is not a mark's."""
    found = _NAME.match(name)
    return found["run"] if found else None


class InFlight:
    """The marks of one stage of a run."""

    def __init__(self, store: Store, stage: str, fingerprint: str):
        self._store = store
        self._stage = stage
        self._run = fingerprint[:8]
        self._marked: dict[int, Mark] = {}
        self._unresponsive = False
        self._changed = threading.Condition()
        self._beginning = 0
        self._withdrawn = False

    def left(self) -> dict[int, int]:
        """The shards that earlier processes began and did not end, with how often each was begun."""
        found: dict[int, int] = {}
        for mark in self._marks():
            found[mark.shard] = max(mark.times, found.get(mark.shard, 0))
        return found

    def begin(self, shard: int, times: int) -> None:
        """Mark a shard that is about to be computed for the ``times``-th time. On a full disk it goes unmarked."""
        with self._changed:
            if self._withdrawn:
                return
            self._beginning += 1
        mark = self._marked[shard] = Mark(self._stage, shard, times, self._run)
        try:
            self._store.create_marker(mark.name)
        except OSError as error:
            _LOG.warning("Shard %d is not marked as in flight: %s", shard, error)
        finally:
            with self._changed:
                self._beginning -= 1
                self._changed.notify_all()

    def end(self, shard: int) -> None:
        """Remove the mark of a shard, and those that earlier processes left of it."""
        mark = self._marked.pop(shard, None)
        if mark is None:
            return
        try:
            for times in range(1, mark.times + 1):
                self._store.delete(Mark(mark.stage, shard, times, mark.run).name)
        except OSError as error:
            _LOG.warning("Shard %d stays marked as in flight: %s", shard, error)
            self._unresponsive = True

    def withdraw(self) -> None:
        """Remove the marks of shards that are abandoned on purpose, and make no more."""
        with self._changed:
            self._withdrawn = True
            self._changed.wait_for(lambda: not self._beginning, timeout=_LATE_S)
        for shard in list(self._marked):
            if not self._unresponsive:  # a store that does not answer is not asked again: the run is to end
                self.end(shard)

    def _marks(self) -> list[Mark]:
        found = (_NAME.match(name) for name, _ in self._store.list(FOLDER))
        marks = [Mark(m["stage"], int(m["shard"]), int(m["times"]), m["run"]) for m in found if m]
        return [mark for mark in marks if (mark.stage, mark.run) == (self._stage, self._run)]
