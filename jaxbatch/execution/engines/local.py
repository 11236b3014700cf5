"""The local engine: threads of this process over shards, which share one compiled program per bucket."""

import logging
import os
import queue
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from jaxbatch.compilation import devices
from jaxbatch.compilation.devices import Device
from jaxbatch.errors import printable
from jaxbatch.execution.engines.retries import Attempts
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.input.shards import Shard
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.output.in_flight import InFlight
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.stage_plans import StagePlan
from jaxbatch.storage import open_store

_POLL_S = 0.5

_THREADS = 2
"""Threads for each shard at work: one that computes, and one that waits for its part to be written."""

_HANGING_LIMIT = 4
"""Threads that may hang in parts past their deadline, for each shard at work: what they hold is never released."""

_LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class _Task:
    """One attempt at the parts to write of a shard, begun by ``times`` processes so far, this one included."""

    shard: Shard
    wanted: list[int]
    times: int = 1
    abandoned: bool = False
    """Whether it has passed its deadline: its thread cannot be stopped, only be replaced by another."""


class LocalEngine:
    """Computes shards on threads; needs no cluster and no Ray.

    Args:
        workers: how many shards may compute at once; by default as many as this process may use CPUs.
        platform: of the devices that compute, as JAX calls it; by default the one that JAX prefers.

    Raises:
        NoDevice: JAX finds no device of that platform.
    """

    name = "local"

    def __init__(self, workers: int | None = None, platform: str | None = None):
        self._platform = platform
        self._device = devices.described_here(platform)
        if platform is None:
            devices.log_chosen_device(self._device)
        self._workers = workers or len(os.sched_getaffinity(0))
        self._stopping = threading.Event()
        self._worker: WorkerProcess | None = None
        """That of the latest run, which can do its next stage too."""
        self._programs: ProgramSet | None = None
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

    def adopt(self, programs: ProgramSet, *, ahead: bool) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        self._programs = programs
        if not programs.kernel.buckets:
            return
        found = devices.local(self._platform)
        programs.share(-(-self._workers // len(found)))
        if ahead:
            programs.prepare_ahead(found[0])

    def run(self, plan: Plan, stage: StagePlan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        """See :class:`~jaxbatch.execution.engines.Engine`.

        Shards that were in flight when an earlier process ended come last. Those that were so twice come one at a
        time, so that a third end of the process is pinned on one shard.
        """
        if self._worker is None or self._worker.plan.fingerprint != plan.fingerprint:
            self._worker = WorkerProcess(plan, self._workers, shards=len(outstanding), programs=self._programs)
        else:
            self._worker.share(len(outstanding))
        self._in_flight = InFlight(open_store(plan.output, plan.job.storage), stage.name, plan.fingerprint)
        interrupted = self._in_flight.left()
        _warn_of_interrupted(stage, {shard: times for shard, times in interrupted.items() if shard in outstanding})
        tasks = [
            _Task(stage.shards[index], wanted, interrupted.get(index, 0) + 1) for index, wanted in outstanding.items()
        ]
        tasks.sort(key=lambda task: task.times)
        together = [task for task in tasks if task.times <= 2]
        alone = [task for task in tasks if task.times > 2]
        for batch in [together, *([task] for task in alone)]:
            yield from self._run(plan, stage, batch, self._worker, self._in_flight)

    def _run(
        self, plan: Plan, stage: StagePlan, tasks: list[_Task], worker: WorkerProcess, in_flight: InFlight
    ) -> Iterator[ShardResult]:
        """Compute some shards side by side until each has ended, well or not."""
        attempts = Attempts(plan.job.cluster.attempts, plan.fingerprint)
        todo: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        done: queue.SimpleQueue[tuple[_Task, ShardResult]] = queue.SimpleQueue()
        started: dict[_Task, tuple[float, threading.Thread]] = {}
        at_work: set[threading.Thread] = set()
        hanging: list[threading.Thread] = []
        waiting: dict[int, _Task] = {}

        def work() -> None:
            while not self._stopping.is_set() and (task := todo.get()) is not None:
                started[task] = time.monotonic(), threading.current_thread()
                try:
                    in_flight.begin(task.shard.index, task.times)
                    result = run_shard(worker, task.shard, task.wanted, stage.name, task)
                except BaseException as error:  # whatever it is: the run must not wait for this thread for ever
                    reason = f"{type(error).__name__}: {printable(error)}"
                    result = ShardResult(task.shard.index, failures=[Failure(part, reason) for part in task.wanted])
                if task.abandoned:
                    return  # another thread has taken its place
                done.put((task, result))

        def start_thread() -> None:
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            thread = threading.Thread(target=work, name="jaxbatch-shard", daemon=True)
            at_work.add(thread)
            thread.start()

        def submit(task: _Task) -> None:
            waiting[task.shard.index] = task
            todo.put(task)

        def abandon(task: _Task) -> None:
            task.abandoned = True
            worker.abandon(task)
            _, thread = started.pop(task)
            at_work.discard(thread)
            hanging[:] = [thread, *(each for each in hanging if each.is_alive())]
            if len(hanging) <= _HANGING_LIMIT * self._workers:
                start_thread()

        for task in tasks:
            submit(task)
        for _ in range(min(_THREADS * self._workers, len(waiting))):
            start_thread()
        try:
            while waiting:
                try:
                    task, result = done.get(timeout=_POLL_S)
                except queue.Empty:
                    for task, reason in _overdue(plan, started, worker):
                        abandon(task)
                        result, retried = attempts.late(task.shard, task.wanted, reason)
                        del waiting[task.shard.index]
                        if retried:
                            submit(_Task(task.shard, retried, task.times))
                        else:
                            in_flight.end(task.shard.index)
                        yield result
                    if not at_work:
                        yield from _not_started(
                            waiting, f"{len(hanging)} threads are stuck in parts past their deadline"
                        )
                        return
                    continue
                if waiting.get(task.shard.index) is not task:
                    continue  # it ended after its deadline, and is counted as late already
                del waiting[task.shard.index], started[task]
                result, retried = attempts.finished(task.shard, result)
                if retried:
                    submit(_Task(task.shard, retried, task.times))
                else:
                    in_flight.end(task.shard.index)
                yield result
        finally:
            for _ in (*at_work, *hanging):
                todo.put(None)

    def close(self) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`. A part being computed is abandoned, never half published."""
        self._stopping.set()
        if self._in_flight is not None:
            self._in_flight.withdraw()


def _warn_of_interrupted(stage: StagePlan, interrupted: Mapping[int, int]) -> None:
    """Name the parts of shards that were in flight when earlier processes ended, and how often."""
    if not interrupted:
        return
    parts = sorted(part.index for shard in interrupted for part in stage.shards[shard].parts)
    named = ", ".join(map(str, parts[:20])) + (" …" if len(parts) > 20 else "")
    times = max(interrupted.values())
    suspects = f" Some were interrupted {times} times: these run one at a time." if times > 1 else ""
    _LOG.warning(
        "An earlier process was killed, or is still running, while computing part %s. In case a part caused that, "
        "these run last.%s",
        named,
        suspects,
    )


def _not_started(waiting: Mapping[int, _Task], reason: str) -> Iterator[ShardResult]:
    """The results of attempts for which no thread is left."""
    for shard, task in waiting.items():
        yield ShardResult(shard, failures=[Failure(part, f"not started: {reason}") for part in task.wanted])


def _overdue(
    plan: Plan, started: Mapping[_Task, tuple[float, threading.Thread]], worker: WorkerProcess
) -> Iterator[tuple[_Task, str]]:
    """The attempts that have passed their deadline."""
    limit = plan.job.cluster.part_timeout_s
    if limit is None:
        return
    for task, (since, _) in list(started.items()):
        if time.monotonic() - since - worker.wait_seconds(task) > limit * len(task.wanted):
            yield task, f"took more than {limit:g} s"
