"""Threads over shards in this process: one compiled program per bucket, shared by all of them."""

import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import jax

from jaxbatch.engines.budget import Attempts
from jaxbatch.errors import printable
from jaxbatch.in_flight import InFlight
from jaxbatch.outcome import Failure, Outcome
from jaxbatch.plans import Plan
from jaxbatch.shards import Shard
from jaxbatch.storage import open_store
from jaxbatch.worker import Worker

_POLL_S = 0.5

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Task:
    """The parts to write of a shard, and how many processes have begun it."""

    shard: Shard
    wanted: list[int]
    times: int = 1


class LocalEngine:
    """Runs shards on threads; needs no cluster and no Ray."""

    def __init__(self, workers: int | None = None):
        self._workers = workers or len(os.sched_getaffinity(0))
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        """Of the run that was last, whose next stage it can do too."""
        self._in_flight: InFlight | None = None

    @property
    def device(self) -> str:
        """See :class:`~jaxbatch.engines.Engine`."""
        return jax.local_devices()[0].device_kind

    @property
    def workers(self) -> int:
        """See :class:`~jaxbatch.engines.Engine`."""
        return self._workers

    @property
    def at_once(self) -> int:
        """See :class:`~jaxbatch.engines.Engine`."""
        return self._workers

    def run(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[Outcome]:
        """See :class:`~jaxbatch.engines.Engine`.

        What was in flight when an earlier process ended comes last; and what was so twice, one at a time, so that
        a third end is pinned on one shard.
        """
        if self._worker is None or self._worker.plan.fingerprint != plan.fingerprint:
            self._worker = Worker(plan, at_once=min(self._workers, len(outstanding)))
        self._in_flight = InFlight(open_store(plan.output, plan.job.storage), plan.stage, plan.fingerprint)
        left = self._in_flight.left()
        _tell(plan, {shard: times for shard, times in left.items() if shard in outstanding})
        tasks = [_Task(plan.shards[index], wanted, left.get(index, 0) + 1) for index, wanted in outstanding.items()]
        tasks.sort(key=lambda task: task.times)
        together = [task for task in tasks if task.times <= 2]
        alone = [task for task in tasks if task.times > 2]
        for batch in [together, *([task] for task in alone)]:
            yield from self._run(plan, batch, self._worker, self._in_flight)

    def _run(self, plan: Plan, tasks: list[_Task], worker: Worker, in_flight: InFlight) -> Iterator[Outcome]:
        """Work on some shards side by side until each is dealt with."""
        attempts = Attempts(plan.job.cluster.attempts)
        todo: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[Shard, Outcome]] = queue.SimpleQueue()
        started: dict[int, float] = {}
        threads = 0

        def work() -> None:
            while not self._stopping.is_set() and (task := todo.get()) is not None:
                started[task.shard.index] = time.monotonic()
                try:
                    in_flight.begin(task.shard.index, task.times)
                    outcome = worker.run(task.shard, task.wanted, plan.stage)
                except BaseException as error:  # or the run would wait for this thread for ever
                    reason = f"{type(error).__name__}: {printable(error)}"
                    outcome = Outcome(task.shard.index, failures=[Failure(part, reason) for part in task.wanted])
                done.put((task.shard, outcome))

        def start_thread() -> None:
            nonlocal threads
            threads += 1
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            threading.Thread(target=work, name="jaxbatch-shard", daemon=True).start()

        waiting: dict[int, _Task] = {}

        def submit(task: _Task) -> None:
            waiting[task.shard.index] = task
            todo.put(task)

        for task in tasks:
            submit(task)
        for _ in range(min(self._workers, len(waiting))):
            start_thread()
        try:
            while waiting:
                try:
                    shard, outcome = done.get(timeout=_POLL_S)
                except queue.Empty:
                    for task, reason in _overdue(plan, started, waiting):
                        worker.give_up(task.shard, plan.stage)
                        outcome, again = attempts.late(task.shard, task.wanted, reason)
                        del waiting[task.shard.index]
                        if again:
                            submit(task)
                        else:
                            in_flight.end(task.shard.index)
                        start_thread()  # the one that is late cannot be stopped, only left
                        yield outcome
                    continue
                task = waiting.pop(shard.index, None)
                if task is None:
                    continue  # it came after its deadline, and is accounted for
                started.pop(shard.index, None)
                outcome, again = attempts.settle(shard, outcome)
                if again:
                    submit(_Task(shard, again, task.times))
                else:
                    in_flight.end(shard.index)
                yield outcome
        finally:
            for _ in range(threads):
                todo.put(None)

    def close(self) -> None:
        """See :class:`~jaxbatch.engines.Engine`. A part being computed is abandoned, never half published."""
        self._stopping.set()
        if self._in_flight is not None:
            self._in_flight.withdraw()


def _tell(plan: Plan, left: Mapping[int, int]) -> None:
    """Say which shards were in flight when an earlier process ended."""
    if not left:
        return
    parts = sorted(part.index for shard in left for part in plan.shards[shard].parts)
    named = ", ".join(map(str, parts[:20])) + (" …" if len(parts) > 20 else "")
    often = max(left.values())
    blame = f" It is the {often}th time for some: they come last, one at a time." if often > 1 else " They come last."
    _LOG.warning("An earlier run ended abruptly, or is still at work, with part %s in flight.%s", named, blame)


def _overdue(plan: Plan, started: dict[int, float], waiting: Mapping[int, _Task]) -> Iterator[tuple[_Task, str]]:
    """The shards that have passed their deadline."""
    limit = plan.job.cluster.part_timeout_s
    if limit is None:
        return
    for index, since in list(started.items()):
        if index in waiting and time.monotonic() - since > limit * len(waiting[index].wanted):
            del started[index]
            yield waiting[index], f"took more than {limit:g} s"
