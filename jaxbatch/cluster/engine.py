"""The Ray engine: actors over shards. Descriptions go out, receipts come back, rows never pass through Ray."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import ray
import ray.exceptions

from jaxbatch.cluster.actors import PING_TIMEOUT_S, POLL_S, SLOTS, Actor, Call, Task, WorkerHandle, poll
from jaxbatch.cluster.connection import Connection, last_line
from jaxbatch.cluster.metrics import Metrics
from jaxbatch.cluster.placement import Placement
from jaxbatch.cluster.probe import WAIT_WARNING_S
from jaxbatch.compilation.devices import Device, NoDevice
from jaxbatch.errors import ClusterError
from jaxbatch.execution.engines.retries import Attempts
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.job.model import Job
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.stage_plans import StagePlan

_GROW_S = 5.0
"""Seconds between two looks whether the cluster has places for more workers."""


class RayEngine:
    """One actor per device or CPU slice, several shards in flight in each, Ray's own retries off.

    Args:
        job: the job, which says what a worker needs.
        address: of a cluster; None for a private Ray on this machine.
        workers: how many workers; by default as many as the job says, or else as many as there are places for.
        allow_unauthenticated: use a cluster that asks for no token, too.
        platforms: those to which JAX is confined in this process.

    Raises:
        ClusterError, AccessError, UsageError: see :class:`~jaxbatch.cluster.connection.Connection`.
        NoDevice, JobError: see :class:`~jaxbatch.cluster.placement.Placement`.
    """

    name = "ray"

    def __init__(
        self,
        job: Job,
        address: str | None = None,
        workers: int | None = None,
        *,
        allow_unauthenticated: bool = False,
        platforms: str | None = None,
    ):
        self._any_started = False
        self._shared: Any = None
        """The plan in Ray's object store, with all its stages."""
        self._handles: list[WorkerHandle] = []
        """The workers, which stay from one stage to the next."""
        self._failed_starts = 0
        self._connection = Connection(address, allow_unauthenticated=allow_unauthenticated)
        try:
            self._placement = Placement(job, private=not address, platforms=platforms)
        except BaseException:
            self.close()
            raise
        wanted = workers or job.cluster.workers
        self._elastic = bool(address) and not wanted
        self._monitored = bool(address)
        self._workers = wanted or max(1, self._placement.fitting())

    @property
    def device(self) -> Device:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        return self._placement.device

    @property
    def workers(self) -> int:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        return self._workers

    @property
    def max_concurrency(self) -> int:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        return SLOTS * self._workers

    def adopt(self, programs: ProgramSet, *, ahead: bool) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`. Workers are other processes, and trace for themselves."""

    def run(self, plan: Plan, stage: StagePlan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        results = self._results(plan, stage, outstanding)
        if not self._monitored:
            yield from results
            return
        metrics = Metrics(plan)
        try:
            for result in results:
                metrics.workers(len(self._handles))
                metrics.count(result)
                yield result
        finally:
            metrics.workers(0)

    def _results(self, plan: Plan, stage: StagePlan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        attempts = Attempts(plan.job.cluster.attempts, plan.fingerprint)
        if self._shared is None:
            self._shared = ray.put(plan.for_workers())
        handles = self._handles
        todo = deque(Task(stage.shards[index], wanted, stage.name) for index, wanted in outstanding.items())
        self._grow(len(todo))
        waiting_since = looked = grown = time.monotonic()
        while todo or any(call.task for handle in handles for call in handle.calls.values()):
            for handle in handles:
                while todo and handle.takes(todo[0]):
                    handle.submit(todo.popleft())
            for handle, reference, answer in poll(handles):
                yield from self._collect(handle, reference, answer, attempts, todo)
            now = time.monotonic()
            if now - looked < POLL_S:
                continue
            looked = now
            if not any(handle.started for handle in handles) and now - waiting_since > WAIT_WARNING_S:
                waiting_since = now
                self._placement.warn_waiting()
            yield from self._stop_overdue(plan, attempts, todo)
            yield from self._stop_unresponsive(attempts, todo)
            if todo and self._elastic and now - grown > _GROW_S:
                grown = now
                self._workers = max(self._workers, self._placement.fitting())
                self._grow(len(todo))

    def _grow(self, tasks: int) -> None:
        """Start the workers that are missing, if there is work for them. One without a place waits for it in Ray."""
        missing = min(self._workers, len(self._handles) + tasks) - len(self._handles)
        self._handles += [self._start() for _ in range(missing)]

    def _collect(
        self, handle: WorkerHandle, reference: Any, answer: Any, attempts: Attempts, todo: deque[Task]
    ) -> Iterator[ShardResult]:
        """Take the result of one answered call, and put back the parts to retry."""
        if handle not in self._handles:
            return  # replaced meanwhile, and its tasks are put back
        task = handle.calls[reference].task
        if isinstance(answer, ray.exceptions.RayError):
            error = answer
            if not handle.started:
                lost = isinstance(error, ray.exceptions.RayActorError) and not error.actor_init_failed
                self._count_failed_start(last_line(error), by_chance=lost)
            if task is None or not isinstance(error, ray.exceptions.RayTaskError):
                self._replace(handle)
                yield from _lost(handle, attempts, todo, _why_it_died(error))
                return
            answer = ShardResult(task.shard.index, failures=[Failure(part, last_line(error)) for part in task.wanted])
        del handle.calls[reference]
        if task is None:
            if answer is not None:
                if isinstance(answer, NoDevice) and self._placement.leave_out(answer):
                    self._replace(handle)
                    return
                if isinstance(answer, NoDevice) and len(self._handles) > 1:
                    self._drop(handle)
                    return
                if not self._any_started:
                    raise answer
                self._count_failed_start(answer.what, by_chance=False)
                self._replace(handle)
                return
            handle.started = self._any_started = True
            self._failed_starts = 0
        else:
            result, retried = attempts.finished(task.shard, answer)
            if retried:
                todo.append(Task(task.shard, retried, task.stage, task.alone))
            yield result

    def _count_failed_start(self, reason: str, *, by_chance: bool) -> None:
        """Count a worker that did not start. One that could not would fail again; one lost ``by_chance`` may not.

        Raises:
            ClusterError: none has ever started, or too many have failed to.
        """
        self._failed_starts += 1
        if not (by_chance or self._any_started) or self._failed_starts > 2 * self._workers:
            raise ClusterError(
                f"No worker can start: {reason}", "Give every node the job's files and package versions."
            )

    def close(self) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        self._connection.close()

    def _start(self) -> WorkerHandle:
        options: dict[str, Any] = {
            "max_restarts": 0,
            "max_task_retries": 0,
            "max_concurrency": SLOTS,
            "concurrency_groups": {"ping": 1},
        }
        remote: Any = ray.remote(**options, **self._placement.options())
        most = sys.maxsize if self._elastic else self._workers
        actor = remote(Actor).remote(self._shared, self._placement.needs.cpus, most)
        return WorkerHandle(actor, {actor.start.remote(): Call(None, time.monotonic())}, actor.ping.remote())

    def _drop(self, handle: WorkerHandle) -> None:
        """Go on with one worker less, where one of a node's devices does not work and others do."""
        ray.kill(handle.actor, no_restart=True)
        self._handles.remove(handle)
        self._placement.missing += 1
        self._workers = max(1, self._workers - 1)

    def _replace(self, handle: WorkerHandle) -> None:
        ray.kill(handle.actor, no_restart=True)
        self._handles[self._handles.index(handle)] = self._start()

    def _stop_overdue(self, plan: Plan, attempts: Attempts, todo: deque[Task]) -> Iterator[ShardResult]:
        """Kill workers with a shard past its deadline, and put back their other shards."""
        limit = plan.job.cluster.part_timeout_s
        if limit is None:
            return
        now = time.monotonic()
        for handle in list(self._handles):
            late = [
                call for call in handle.calls.values() if call.task and now - call.since > limit * len(call.task.wanted)
            ]
            if not late:
                continue
            for call in handle.calls.values():
                task = call.task
                if call in late and task:
                    result, retried = attempts.late(task.shard, task.wanted, f"took more than {limit:g} s")
                    yield result
                    if retried:
                        todo.append(Task(task.shard, retried, task.stage, alone=True))
                elif task:
                    todo.append(task)
            self._replace(handle)

    def _stop_unresponsive(self, attempts: Attempts, todo: deque[Task]) -> Iterator[ShardResult]:
        """Kill workers that answer no more, and put back their shards."""
        now = time.monotonic()
        for handle in list(self._handles):
            if handle.unresponsive(now):
                reason = f"its worker did not answer for {PING_TIMEOUT_S:g} s"
                if handle.heard is not None and not handle.started:
                    self._count_failed_start(reason, by_chance=True)
                self._replace(handle)
                yield from _lost(handle, attempts, todo, reason)


def _why_it_died(error: Exception) -> str:
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its worker ran out of memory and was killed: lower [compute] batch_rows, or give workers more memory"
    return f"its worker died: {last_line(error)}"


def _lost(handle: WorkerHandle, attempts: Attempts, todo: deque[Task], reason: str) -> Iterator[ShardResult]:
    """Put back the tasks of a dead worker, each to be retried alone, so that what killed it is pinned on one shard.

    Only a task that was alone in its worker when that died has lost an attempt.
    """
    tasks = [call.task for call in handle.calls.values() if call.task is not None]
    for task in tasks:
        retried = task.wanted
        if len(tasks) == 1:
            result, retried = attempts.lost(task.shard, task.wanted, reason)
            yield result
        if retried:
            todo.append(Task(task.shard, retried, task.stage, alone=True))
