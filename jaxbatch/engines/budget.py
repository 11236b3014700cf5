"""How often work is tried again: a part's own failures are counted apart from lost workers."""

from collections import Counter
from collections.abc import Iterator

from jaxbatch.outcome import Failure, Outcome
from jaxbatch.shards import Shard


class Attempts:
    """The attempts of every shard, and what is left of each to do."""

    def __init__(self, limit: int, lost_limit: int | None = None):
        self._limit = limit
        self._lost_limit = lost_limit if lost_limit is not None else 2 * limit
        self._failed: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()

    def settle(self, shard: Shard, outcome: Outcome) -> tuple[Outcome, list[int]]:
        """Divide an outcome into what is final and the parts that deserve another attempt."""
        if not outcome.failures:
            return outcome, []
        self._failed[shard.index] += 1
        if self._failed[shard.index] >= self._limit:
            return outcome, []
        again = [failure.part for failure in outcome.failures]
        outcome.failures = []
        return outcome, again

    def lost(self, shard: Shard, wanted: list[int], reason: str) -> tuple[Outcome, list[int]]:
        """The same for a shard whose worker died under it."""
        self._lost[shard.index] += 1
        if self._lost[shard.index] >= self._lost_limit:
            return Outcome(shard.index, failures=list(_failures(wanted, reason))), []
        return Outcome(shard.index), wanted


def _failures(parts: list[int], reason: str) -> Iterator[Failure]:
    return (Failure(part, reason) for part in parts)
