"""Which shards are at work, marked beside the output: where threads share a process, what ends one ends them all, and
only the marks tell the next run what it may have been."""

import logging
import re
import threading
from dataclasses import dataclass

from jaxbatch.storage import Store

FOLDER = "_jaxbatch/in-flight"

_LATE_S = 10.0
"""So long a mark on its way is waited for at the end."""

_NAME = re.compile(rf"^{FOLDER}/(?P<stage>[a-z]+)-(?P<shard>\d+)-(?P<times>\d+)-(?P<run>[0-9a-f]{{8}})$")


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mark:
    """That a shard was begun for the so-manieth time since one was last known to end."""

    stage: str
    shard: int
    times: int
    run: str

    @property
    def name(self) -> str:
        """Of its object."""
        return f"{FOLDER}/{self.stage}-{self.shard:07d}-{self.times}-{self.run}"


def is_mark(name: str) -> bool:
    """Whether an object's name is that of a mark."""
    return _NAME.match(name) is not None


def run_of(name: str) -> str | None:
    """The first 8 digits of the fingerprint of the run that a mark is of, by its name."""
    found = _NAME.match(name)
    return found["run"] if found else None


class InFlight:
    """The marks of one stage of a run."""

    def __init__(self, store: Store, stage: str, fingerprint: str):
        self._store = store
        self._stage = stage
        self._run = fingerprint[:8]
        self._begun: dict[int, Mark] = {}
        self._silent = False
        self._changed = threading.Condition()
        self._beginning = 0
        self._withdrawn = False

    def left(self) -> dict[int, int]:
        """The shards that an earlier process began and did not end, and how often they were begun."""
        found: dict[int, int] = {}
        for mark in self._marks():
            found[mark.shard] = max(mark.times, found.get(mark.shard, 0))
        return found

    def begin(self, shard: int, times: int) -> None:
        """Mark a shard that is about to be worked on. On a full disk it goes on without."""
        with self._changed:
            if self._withdrawn:
                return
            self._beginning += 1
        mark = self._begun[shard] = Mark(self._stage, shard, times, self._run)
        try:
            self._store.mark(mark.name)
        except OSError as error:
            _LOG.warning("Shard %d is not marked as in flight: %s", shard, error)
        finally:
            with self._changed:
                self._beginning -= 1
                self._changed.notify_all()

    def end(self, shard: int) -> None:
        """Take the mark of a shard away, and those that earlier processes left of it."""
        mark = self._begun.pop(shard, None)
        if mark is None:
            return
        try:
            for times in range(1, mark.times + 1):
                self._store.delete(Mark(mark.stage, shard, times, mark.run).name)
        except OSError as error:
            _LOG.warning("Shard %d stays marked as in flight: %s", shard, error)
            self._silent = True

    def withdraw(self) -> None:
        """Take away the marks of shards that are given up on purpose; further ones are not made."""
        with self._changed:
            self._withdrawn = True
            self._changed.wait_for(lambda: not self._beginning, timeout=_LATE_S)
        for shard in list(self._begun):
            if not self._silent:  # of a store that does not answer no more is asked: the run is to end
                self.end(shard)

    def _marks(self) -> list[Mark]:
        found = (_NAME.match(name) for name, _ in self._store.list(FOLDER))
        marks = [Mark(m["stage"], int(m["shard"]), int(m["times"]), m["run"]) for m in found if m]
        return [mark for mark in marks if (mark.stage, mark.run) == (self._stage, self._run)]
