"""Threads over shards in this process: one compiled program per bucket, shared by all of them."""

import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping

import jax

from jaxbatch.engines.budget import Attempts
from jaxbatch.outcome import Failure, Outcome
from jaxbatch.plans import Plan
from jaxbatch.shards import Shard
from jaxbatch.worker import Worker

_POLL_S = 0.5


class LocalEngine:
    """Runs shards on threads; needs no cluster and no Ray."""

    def __init__(self, workers: int | None = None):
        self._workers = workers or len(os.sched_getaffinity(0))
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        """Of the run that was last, whose next stage it can do too."""

    @property
    def device(self) -> str:
        """See :class:`~jaxbatch.engines.Engine`."""
        return jax.local_devices()[0].device_kind

    @property
    def workers(self) -> int:
        """See :class:`~jaxbatch.engines.Engine`."""
        return self._workers

    def run(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[Outcome]:
        """See :class:`~jaxbatch.engines.Engine`."""
        if self._worker is None or self._worker.plan.fingerprint != plan.fingerprint:
            self._worker = Worker(plan)
        worker = self._worker
        attempts = Attempts(plan.job.cluster.attempts)
        todo: queue.SimpleQueue[tuple[Shard, list[int]] | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[Shard, Outcome]] = queue.SimpleQueue()
        started: dict[int, float] = {}

        def work() -> None:
            while not self._stopping.is_set() and (task := todo.get()) is not None:
                shard, wanted = task
                started[shard.index] = time.monotonic()
                done.put((shard, worker.run(shard, wanted, plan.stage)))

        def start_thread() -> None:
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            threading.Thread(target=work, name="jaxbatch-shard", daemon=True).start()

        waiting: dict[int, list[int]] = {}
        for index, wanted in outstanding.items():
            waiting[index] = wanted
            todo.put((plan.shards[index], wanted))
        for _ in range(min(self._workers, len(waiting))):
            start_thread()
        try:
            while waiting:
                try:
                    shard, outcome = done.get(timeout=_POLL_S)
                except queue.Empty:
                    for late in _overdue(plan, started, waiting):
                        start_thread()
                        yield late
                    continue
                if waiting.pop(shard.index, None) is None:
                    continue  # it came after its deadline, and is accounted for
                started.pop(shard.index, None)
                outcome, again = attempts.settle(shard, outcome)
                if again:
                    waiting[shard.index] = again
                    todo.put((shard, again))
                yield outcome
        finally:
            for _ in range(self._workers):
                todo.put(None)

    def close(self) -> None:
        """See :class:`~jaxbatch.engines.Engine`. A part being computed is abandoned, never half published."""
        self._stopping.set()


def _overdue(plan: Plan, started: dict[int, float], waiting: dict[int, list[int]]) -> Iterator[Outcome]:
    """Give up the shards that have passed their deadline; their threads cannot be stopped, only left."""
    limit = plan.job.cluster.part_timeout_s
    if limit is None:
        return
    for index, since in list(started.items()):
        if time.monotonic() - since > limit * len(plan.shards[index].parts):
            started.pop(index)
            parts = waiting.pop(index, [])
            yield Outcome(index, failures=[Failure(part, f"took more than {limit:g} s") for part in parts])
