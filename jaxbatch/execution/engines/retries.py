"""How often work is tried again: a part's own failures, lost workers and deadlines passed are each counted apart."""

import logging
from collections import Counter

from jaxbatch.events import emit
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.input.shards import Shard

LATE_LIMIT = 2
"""A deadline may be passed once for no fault of the shard's: its worker was stopped, its machine was slow."""


class Attempts:
    """The attempts of every shard, and what is left of each to do."""

    def __init__(self, limit: int, run: str):
        self._limit = limit
        self._run = run
        self._lost_limit = 2 * limit
        self._failed: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self._late: Counter[int] = Counter()

    def settle(self, shard: Shard, outcome: ShardResult) -> tuple[ShardResult, list[int]]:
        """Divide an outcome into what is final and the parts that deserve another attempt."""
        if not outcome.failures:
            return outcome, []
        self._failed[shard.index] += 1
        if self._failed[shard.index] >= self._limit:
            return outcome, []
        for failure in outcome.failures:
            self._tell_again(failure.part, failure.reason, outcome.worker)
        again = [failure.part for failure in outcome.failures]
        outcome.failures = []
        return outcome, again

    def lost(self, shard: Shard, wanted: list[int], reason: str) -> tuple[ShardResult, list[int]]:
        """The same for a shard whose worker died under it."""
        return self._counted(self._lost, self._lost_limit, shard, wanted, reason)

    def late(self, shard: Shard, wanted: list[int], reason: str) -> tuple[ShardResult, list[int]]:
        """The same for a shard that passed its deadline."""
        return self._counted(self._late, LATE_LIMIT, shard, wanted, reason)

    def _counted(
        self, counts: Counter[int], limit: int, shard: Shard, wanted: list[int], reason: str
    ) -> tuple[ShardResult, list[int]]:
        counts[shard.index] += 1
        if counts[shard.index] >= limit:
            return ShardResult(shard.index, failures=[Failure(part, reason) for part in wanted]), []
        for part in wanted:
            self._tell_again(part, reason)
        return ShardResult(shard.index), wanted

    def _tell_again(self, part: int, reason: str, worker: str = "") -> None:
        fields = {"run": self._run, "part": part, "worker": worker}
        emit("Retrying part %d: %s", part, reason, level=logging.WARNING, **fields)
