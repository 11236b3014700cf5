"""Ray actors over shards: descriptions go out, receipts come back, rows never pass through Ray."""

import os
import secrets
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions

from jaxbatch.engines.budget import Attempts
from jaxbatch.errors import ClusterError
from jaxbatch.job import Job
from jaxbatch.planner import Plan
from jaxbatch.shards import Shard
from jaxbatch.worker import Failure, Outcome, Worker

SLOTS = 2
"""Shards in flight in each worker: one is read and written while the other computes."""

_POLL_S = 0.5


class _Actor:
    """The process of one worker."""

    def __init__(self, plan: Plan):
        self._worker = Worker(plan)

    def run(self, shard: Shard, wanted: list[int]) -> Outcome:
        return self._worker.run(shard, wanted)


def _device_kind() -> str:
    import jax

    return jax.local_devices()[0].device_kind


@dataclass
class _Slot:
    """One worker process, and the calls in flight in it."""

    actor: Any
    calls: dict[Any, "_Call"] = field(default_factory=dict)


@dataclass
class _Call:
    shard: Shard
    wanted: list[int]
    since: float


class RayEngine:
    """One actor per device or CPU slice, several shards in flight in each, Ray's own retries off."""

    def __init__(self, job: Job, address: str | None = None, workers: int | None = None):
        cluster = job.cluster
        self._private: str | None = None
        self._connect(address)
        resources = ray.cluster_resources()
        gpus, cpus = resources.get("GPU", 0.0), resources.get("CPU", 0.0)
        self._gpus = cluster.gpus_per_worker if cluster.gpus_per_worker is not None else float(gpus > 0)
        self._cpus = cluster.cpus_per_worker
        fitting = int(gpus / self._gpus) if self._gpus else int(cpus / self._cpus)
        self._workers = workers or cluster.workers or max(1, fitting)
        self._environment = {"NPROC": "8", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        if not self._gpus:
            self._environment["JAX_PLATFORMS"] = "cpu"
        elif self._gpus < 1:
            self._environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{0.75 * self._gpus:.3f}"

    @property
    def device(self) -> str:
        """See :class:`~jaxbatch.engines.Engine`."""
        if not self._gpus:
            return "cpu"
        probe = ray.remote(max_retries=0, **self._resources())(_device_kind)
        return ray.get(probe.remote())

    @property
    def workers(self) -> int:
        """See :class:`~jaxbatch.engines.Engine`."""
        return self._workers

    def run(self, plan: Plan, outstanding: Mapping[int, list[int]]) -> Iterator[Outcome]:
        """See :class:`~jaxbatch.engines.Engine`."""
        attempts = Attempts(plan.job.cluster.attempts)
        shared = ray.put(plan)
        todo = deque((plan.shards[index], wanted) for index, wanted in outstanding.items())
        slots = [self._start(shared) for _ in range(min(self._workers, len(todo)))]
        while todo or any(slot.calls for slot in slots):
            for slot in slots:
                while todo and len(slot.calls) < SLOTS:
                    _submit(slot, *todo.popleft())
            calls = [reference for slot in slots for reference in slot.calls]
            ready, _ = ray.wait(calls, num_returns=1, timeout=_POLL_S)
            for reference in ready:
                slot = next(slot for slot in slots if reference in slot.calls)
                call = slot.calls.pop(reference)
                try:
                    outcome, again = attempts.settle(call.shard, ray.get(reference))
                except ray.exceptions.RayActorError as error:
                    self._refuse_broken_start(error)
                    slots[slots.index(slot)] = self._replace(slot, shared)
                    outcome, again = attempts.lost(call.shard, call.wanted, f"its worker died: {_first_line(error)}")
                    yield from self._requeue(slot, attempts, todo, error)
                except ray.exceptions.RayError as error:
                    failed = Outcome(call.shard.index, failures=[Failure(p, _first_line(error)) for p in call.wanted])
                    outcome, again = attempts.settle(call.shard, failed)
                if again:
                    todo.append((call.shard, again))
                yield outcome
            yield from self._stop_overdue(plan, slots, shared, todo)

    def close(self) -> None:
        """See :class:`~jaxbatch.engines.Engine`."""
        ray.shutdown()
        if self._private:
            shutil.rmtree(self._private, ignore_errors=True)

    def _connect(self, address: str | None) -> None:
        options: dict[str, Any] = {"include_dashboard": False, "log_to_driver": False, "logging_level": "ERROR"}
        if address:
            options = {"log_to_driver": False, "logging_level": "ERROR"}
        else:
            self._private = tempfile.mkdtemp(prefix="jaxbatch-")  # 0700, and short: sockets lie in it
            os.environ.setdefault("RAY_AUTH_MODE", "token")
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            options["_temp_dir"] = self._private
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        try:
            ray.init(address=address or "local", **options)
        except Exception as error:
            where = f"The cluster at {address}" if address else "A private Ray on this machine"
            raise ClusterError(
                f"{where} cannot be reached: {_first_line(error)}", "Check the address and the token; try again later."
            ) from error

    def _resources(self) -> dict[str, Any]:
        return {"num_cpus": self._cpus, "num_gpus": self._gpus, "runtime_env": {"env_vars": self._environment}}

    def _start(self, shared: Any) -> _Slot:
        actor = ray.remote(max_restarts=0, max_task_retries=0, max_concurrency=SLOTS, **self._resources())(_Actor)
        return _Slot(actor.remote(shared))

    def _replace(self, slot: _Slot, shared: Any) -> _Slot:
        ray.kill(slot.actor, no_restart=True)
        return self._start(shared)

    def _requeue(
        self, slot: _Slot, attempts: Attempts, todo: deque[tuple[Shard, list[int]]], error: Exception
    ) -> Iterator[Outcome]:
        """Put back the other shards that a dead worker had in flight."""
        for call in slot.calls.values():
            outcome, again = attempts.lost(call.shard, call.wanted, f"its worker died: {_first_line(error)}")
            if again:
                todo.append((call.shard, again))
            yield outcome
        slot.calls.clear()

    def _refuse_broken_start(self, error: Exception) -> None:
        """An actor that cannot start fails for every shard alike, so the run ends instead of trying each."""
        if isinstance(error, ray.exceptions.ActorDiedError) and "creation task" in str(error):
            raise ClusterError(f"No worker can start: {_first_line(error)}", "See the job's kernel, or the node's log.")

    def _stop_overdue(
        self, plan: Plan, slots: list[_Slot], shared: Any, todo: deque[tuple[Shard, list[int]]]
    ) -> Iterator[Outcome]:
        """Kill workers with a shard past its deadline, and put their other shards back."""
        limit = plan.job.cluster.part_timeout_s
        if limit is None:
            return
        now = time.monotonic()
        for index, slot in enumerate(slots):
            late = {call.shard.index for call in slot.calls.values() if now - call.since > limit * len(call.wanted)}
            if not late:
                continue
            for call in slot.calls.values():
                if call.shard.index in late:
                    reason = f"took more than {limit:g} s"
                    yield Outcome(call.shard.index, failures=[Failure(part, reason) for part in call.wanted])
                else:
                    todo.append((call.shard, call.wanted))
            slots[index] = self._replace(slot, shared)


def _submit(slot: _Slot, shard: Shard, wanted: list[int]) -> None:
    slot.calls[slot.actor.run.remote(shard, wanted)] = _Call(shard, wanted, time.monotonic())


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
