"""Ray actors over shards: descriptions go out, receipts come back, rows never pass through Ray."""

import sys
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import ray
import ray.exceptions

from jaxbatch.cluster.actors import POLL_S, SILENCE_S, SLOTS, Actor, Call, Task, WorkerHandle, poll
from jaxbatch.cluster.connection import Connection, last_line
from jaxbatch.cluster.metrics import Metrics
from jaxbatch.cluster.placement import Placement
from jaxbatch.cluster.probe import PATIENCE_S
from jaxbatch.compilation.devices import Device, NoDevice
from jaxbatch.compilation.programs import Programs
from jaxbatch.errors import ClusterError
from jaxbatch.execution.engines.retries import Attempts
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.job.model import Job
from jaxbatch.planning.plan import Plan

_GROW_S = 5.0


class RayEngine:
    """One actor per device or CPU slice, several shards in flight in each, Ray's own retries off."""

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
        """The plan in the object store, from which workers know all stages …"""
        self._slots: list[WorkerHandle] = []
        """… and the workers, which stay for the next one."""
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

    def adopt(self, programs: Programs, *, ahead: bool) -> None:
        """See :class:`~jaxbatch.execution.engines.Engine`. Workers are elsewhere, and trace for themselves."""

    def run(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        """See :class:`~jaxbatch.execution.engines.Engine`."""
        outcomes = self._outcomes(plan, outstanding)
        if not self._monitored:
            yield from outcomes
            return
        metrics = Metrics(plan)
        try:
            for outcome in outcomes:
                metrics.workers(len(self._slots))
                metrics.count(outcome)
                yield outcome
        finally:
            metrics.workers(0)

    def _outcomes(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[ShardResult]:
        attempts = Attempts(plan.job.cluster.attempts, plan.fingerprint)
        if self._shared is None:
            self._shared = ray.put(plan.for_workers())
        slots = self._slots
        todo = deque(Task(plan.shards[index], wanted, plan.stage) for index, wanted in outstanding.items())
        self._grow(len(todo))
        since = looked = grown = time.monotonic()
        while todo or any(call.task for slot in slots for call in slot.calls.values()):
            for slot in slots:
                while todo and slot.takes(todo[0]):
                    slot.submit(todo.popleft())
            for slot, reference, answer in poll(slots):
                yield from self._collect(slot, reference, answer, attempts, todo)
            now = time.monotonic()
            if now - looked < POLL_S:
                continue
            looked = now
            if not any(slot.started for slot in slots) and now - since > PATIENCE_S:
                since = now
                self._placement.tell_waiting()
            yield from self._stop_overdue(plan, attempts, todo)
            yield from self._stop_silent(attempts, todo)
            if todo and self._elastic and now - grown > _GROW_S:
                grown = now
                self._workers = max(self._workers, self._placement.fitting())
                self._grow(len(todo))

    def _grow(self, tasks: int) -> None:
        """Start as many workers as there are to be, if there is work for them; who has no place yet waits for one."""
        missing = min(self._workers, len(self._slots) + tasks) - len(self._slots)
        self._slots += [self._start() for _ in range(missing)]

    def _collect(
        self, slot: WorkerHandle, reference: Any, answer: Any, attempts: Attempts, todo: deque[Task]
    ) -> Iterator[ShardResult]:
        """Take in one answered call, and put back what deserves another attempt."""
        if slot not in self._slots:
            return  # given up meanwhile, and what it had in flight is put back
        task = slot.calls[reference].task
        if isinstance(answer, ray.exceptions.RayError):
            error = answer
            if not slot.started:
                lost = isinstance(error, ray.exceptions.RayActorError) and not error.actor_init_failed
                self._count_failed_start(last_line(error), by_chance=lost)
            if task is None or not isinstance(error, ray.exceptions.RayTaskError):
                self._replace(slot)
                yield from _lost(slot, attempts, todo, _why_it_died(error))
                return
            answer = ShardResult(task.shard.index, failures=[Failure(part, last_line(error)) for part in task.wanted])
        del slot.calls[reference]
        if task is None:
            if answer is not None:
                if isinstance(answer, NoDevice) and self._placement.leave_out(answer):
                    self._replace(slot)
                    return
                if isinstance(answer, NoDevice) and len(self._slots) > 1:
                    self._drop(slot)
                    return
                if not self._any_started:
                    raise answer
                self._count_failed_start(answer.what, by_chance=False)
                self._replace(slot)
                return
            slot.started = self._any_started = True
            self._failed_starts = 0
        else:
            outcome, again = attempts.settle(task.shard, answer)
            if again:
                todo.append(Task(task.shard, again, task.stage, task.alone))
            yield outcome

    def _count_failed_start(self, reason: str, *, by_chance: bool) -> None:
        """A worker that cannot start would fail again; one that is lost while it starts may not.

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
        handle = remote(Actor).remote(self._shared, self._placement.needs.cpus, most)
        return WorkerHandle(handle, {handle.start.remote(): Call(None, time.monotonic())}, handle.ping.remote())

    def _drop(self, slot: WorkerHandle) -> None:
        """Go on with one worker less, where one of a node's devices is sick and others are not."""
        ray.kill(slot.actor, no_restart=True)
        self._slots.remove(slot)
        self._placement.missing += 1
        self._workers = max(1, self._workers - 1)

    def _replace(self, slot: WorkerHandle) -> None:
        ray.kill(slot.actor, no_restart=True)
        self._slots[self._slots.index(slot)] = self._start()

    def _stop_overdue(self, plan: Plan, attempts: Attempts, todo: deque[Task]) -> Iterator[ShardResult]:
        """Kill workers with a shard past its deadline, and put their other shards back."""
        limit = plan.job.cluster.part_timeout_s
        if limit is None:
            return
        now = time.monotonic()
        for slot in list(self._slots):
            late = [c for c in slot.calls.values() if c.task and now - c.since > limit * len(c.task.wanted)]
            if not late:
                continue
            for call in slot.calls.values():
                task = call.task
                if call in late and task:
                    outcome, again = attempts.late(task.shard, task.wanted, f"took more than {limit:g} s")
                    yield outcome
                    if again:
                        todo.append(Task(task.shard, again, task.stage, alone=True))
                elif task:
                    todo.append(task)
            self._replace(slot)

    def _stop_silent(self, attempts: Attempts, todo: deque[Task]) -> Iterator[ShardResult]:
        """Kill workers that answer no more."""
        now = time.monotonic()
        for slot in list(self._slots):
            if slot.unresponsive(now):
                reason = f"its worker did not answer for {SILENCE_S:g} s"
                if slot.heard is not None and not slot.started:
                    self._count_failed_start(reason, by_chance=True)
                self._replace(slot)
                yield from _lost(slot, attempts, todo, reason)


def _why_it_died(error: Exception) -> str:
    if isinstance(error, ray.exceptions.OutOfMemoryError):
        return "its worker ran out of memory and was killed: lower [compute] batch_rows, or give workers more memory"
    return f"its worker died: {last_line(error)}"


def _lost(slot: WorkerHandle, attempts: Attempts, todo: deque[Task], reason: str) -> Iterator[ShardResult]:
    """Put back what a dead worker had in flight, to be tried alone, so that what killed it is pinned on one shard.

    Only a shard that was alone when its worker died has lost an attempt.
    """
    tasks = [call.task for call in slot.calls.values() if call.task is not None]
    for task in tasks:
        again = task.wanted
        if len(tasks) == 1:
            outcome, again = attempts.lost(task.shard, task.wanted, reason)
            yield outcome
        if again:
            todo.append(Task(task.shard, again, task.stage, alone=True))
