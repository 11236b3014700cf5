"""Threads over shards in this process: one compiled program per bucket, shared by all of them."""

import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jaxbatch.compilation import devices
from jaxbatch.compilation.devices import Device
from jaxbatch.compilation.programs import Programs
from jaxbatch.errors import printable
from jaxbatch.execution.engines.retries import Attempts
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.execution.worker import Worker
from jaxbatch.input.shards import Shard
from jaxbatch.output.in_flight import InFlight
from jaxbatch.planning.plan import Plan
from jaxbatch.storage import open_store

_POLL_S = 0.5

_THREADS = 2
"""For each shard at work: one that computes, and one that waits for its part to be written."""

_LEFT_LIMIT = 4
"""Threads that may hang in parts past their deadline, for each shard at work: what they hold is not given back."""

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class _Task:
    """One attempt at the parts to write of a shard, and how many processes have begun it."""

    shard: Shard
    wanted: list[int]
    times: int = 1
    left: bool = False
    """Whether it has passed its deadline: its thread cannot be stopped, only left."""


class LocalEngine:
    """Runs shards on threads; needs no cluster and no Ray. Computes on the ``platform``, or on what JAX prefers.

    Raises:
        NoDevice: JAX finds no device of that platform.
    """

    def __init__(self, workers: int | None = None, platform: str | None = None):
        self._devices = devices.local(platform)
        self._device = devices.described(self._devices[0])
        if platform is None:
            devices.tell_taken(self._device)
        self._workers = workers or len(os.sched_getaffinity(0))
        self._stopping = threading.Event()
        self._worker: Worker | None = None
        """Of the run that was last, whose next stage it can do too."""
        self._programs: Programs | None = None
        self._in_flight: InFlight | None = None

    @property
    def device(self) -> Device:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        return self._device

    @property
    def workers(self) -> int:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        return self._workers

    @property
    def max_concurrency(self) -> int:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        return _THREADS * self._workers

    def adopt(self, programs: Programs, *, ahead: bool) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        self._programs = programs
        programs.share(-(-self._workers // len(self._devices)))
        if ahead:
            programs.prepare_ahead(self._devices[0])

    def run(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        """See :class:`~jaxbatch.execution.engines.Engine`.

        What was in flight when an earlier process ended comes last; and what was so twice, one at a time, so that
        a third end is pinned on one shard.
        """
        if self._worker is None or self._worker.plan.fingerprint != plan.fingerprint:
            self._worker = Worker(plan, self._workers, shards=len(outstanding), programs=self._programs)
        else:
            self._worker.share(len(outstanding))
        self._in_flight = InFlight(open_store(plan.output, plan.job.storage), plan.stage, plan.fingerprint)
        left = self._in_flight.left()
        _tell(plan, {shard: times for shard, times in left.items() if shard in outstanding})
        tasks = [_Task(plan.shards[index], wanted, left.get(index, 0) + 1) for index, wanted in outstanding.items()]
        tasks.sort(key=lambda task: task.times)
        together = [task for task in tasks if task.times <= 2]
        alone = [task for task in tasks if task.times > 2]
        for batch in [together, *([task] for task in alone)]:
            yield from self._run(plan, batch, self._worker, self._in_flight)

    def _run(self, plan: Plan, tasks: list[_Task], worker: Worker, in_flight: InFlight) -> Iterator[ShardResult]:
        """Work on some shards side by side until each is dealt with."""
        attempts = Attempts(plan.job.cluster.attempts, plan.fingerprint)
        todo: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[_Task, ShardResult]] = queue.SimpleQueue()
        started: dict[_Task, tuple[float, threading.Thread]] = {}
        at_work: set[threading.Thread] = set()
        left: list[threading.Thread] = []
        waiting: dict[int, _Task] = {}

        def work() -> None:
            while not self._stopping.is_set() and (task := todo.get()) is not None:
                started[task] = time.monotonic(), threading.current_thread()
                try:
                    in_flight.begin(task.shard.index, task.times)
                    outcome = worker.run(task.shard, task.wanted, plan.stage, task)
                except BaseException as error:  # or the run would wait for this thread for ever
                    reason = f"{type(error).__name__}: {printable(error)}"
                    outcome = ShardResult(task.shard.index, failures=[Failure(part, reason) for part in task.wanted])
                if task.left:
                    return  # another thread has taken its place
                done.put((task, outcome))

        def start_thread() -> None:
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            thread = threading.Thread(target=work, name="jaxbatch-shard", daemon=True)
            at_work.add(thread)
            thread.start()

        def submit(task: _Task) -> None:
            waiting[task.shard.index] = task
            todo.put(task)

        def leave(task: _Task) -> None:
            task.left = True
            worker.abandon(task)
            _, thread = started.pop(task)
            at_work.discard(thread)
            left[:] = [thread, *(each for each in left if each.is_alive())]
            if len(left) <= _LEFT_LIMIT * self._workers:
                start_thread()

        for task in tasks:
            submit(task)
        for _ in range(min(_THREADS * self._workers, len(waiting))):
            start_thread()
        try:
            while waiting:
                try:
                    task, outcome = done.get(timeout=_POLL_S)
                except queue.Empty:
                    for task, reason in _overdue(plan, started, worker):
                        leave(task)
                        outcome, again = attempts.late(task.shard, task.wanted, reason)
                        del waiting[task.shard.index]
                        if again:
                            submit(_Task(task.shard, again, task.times))
                        else:
                            in_flight.end(task.shard.index)
                        yield outcome
                    if not at_work:
                        yield from _not_begun(waiting, f"{len(left)} threads are stuck in parts past their deadline")
                        return
                    continue
                if waiting.get(task.shard.index) is not task:
                    continue  # it came after its deadline, and is accounted for
                del waiting[task.shard.index], started[task]
                outcome, again = attempts.settle(task.shard, outcome)
                if again:
                    submit(_Task(task.shard, again, task.times))
                else:
                    in_flight.end(task.shard.index)
                yield outcome
        finally:
            for _ in (*at_work, *left):
                todo.put(None)

    def close(self) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`. A part being computed is abandoned, never half published."""
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
    blame = f" Some were interrupted {often} times: these run one at a time." if often > 1 else ""
    _LOG.warning(
        "An earlier process was killed, or is still running, while computing part %s. In case a part caused that, "
        "these run last.%s",
        named,
        blame,
    )


def _not_begun(waiting: Mapping[int, _Task], reason: str) -> Iterator[ShardResult]:
    """What comes of attempts for which there is no thread."""
    for shard, task in waiting.items():
        yield ShardResult(shard, failures=[Failure(part, f"not started: {reason}") for part in task.wanted])


def _overdue(
    plan: Plan, started: Mapping[_Task, tuple[float, threading.Thread]], worker: Worker
) -> Iterator[tuple[_Task, str]]:
    """The attempts that have passed their deadline."""
    limit = plan.job.cluster.part_timeout_s
    if limit is None:
        return
    for task, (since, _) in list(started.items()):
        if time.monotonic() - since - worker.queued(task) > limit * len(task.wanted):
            yield task, f"took more than {limit:g} s"
