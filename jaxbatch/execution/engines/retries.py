"""How often a shard is retried: failures of its parts, lost workers and deadlines passed are each counted apart."""

import logging
from collections import Counter

from jaxbatch.events import emit
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.input.shards import Shard

LATE_LIMIT = 2
"""A deadline may be passed once for no fault of the shard's: its worker was stopped, or its machine was slow."""


class Attempts:
    """Counts the attempts at every shard, and says which parts of it are to be retried.

    The engines (``local.py``, ``cluster/engine.py``) then run those parts again.

    Args:
        limit: how often parts of a shard may fail; a worker may be lost under a shard twice as often.
        run: the fingerprint of the run, for the log.
    """

    def __init__(self, limit: int, run: str):
        self._limit = limit
        self._run = run
        self._lost_limit = 2 * limit
        self._failed: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self._late: Counter[int] = Counter()

    def finished(self, shard: Shard, result: ShardResult) -> tuple[ShardResult, list[int]]:
        """Divide a shard's result into what is final and the parts to retry."""
        if not result.failures:
            return result, []
        self._failed[shard.index] += 1
        if self._failed[shard.index] >= self._limit:
            return result, []
        for failure in result.failures:
            self._log_retry(failure.part, failure.reason, result.worker)
        retried = [failure.part for failure in result.failures]
        result.failures = []
        return result, retried

    def lost(self, shard: Shard, wanted: list[int], reason: str) -> tuple[ShardResult, list[int]]:
        """The same for a shard with ``wanted`` parts whose worker died."""
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
            self._log_retry(part, reason)
        return ShardResult(shard.index), wanted

    def _log_retry(self, part: int, reason: str, worker: str = "") -> None:
        fields = {"run": self._run, "part": part, "worker": worker}
        emit("Retrying part %d: %s", part, reason, level=logging.WARNING, **fields)
