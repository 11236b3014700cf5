"""Ray actors over shards: descriptions go out, receipts come back, rows never pass through Ray."""

import os
import secrets
import shutil
import socket
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
_KNOCK_S = 10.0

_Task = tuple[Shard, list[int]]


class _Actor:
    """The process of one worker."""

    def __init__(self, plan: Plan):
        self._worker = Worker(plan)

    def started(self) -> None:
        """Answers once the worker is there."""

    def run(self, shard: Shard, wanted: list[int]) -> Outcome:
        return self._worker.run(shard, wanted)


def _device_kind() -> str:
    import jax

    return jax.local_devices()[0].device_kind


@dataclass
class _Call:
    """A shard in flight; ``shard`` is None for the first call, which answers when the worker has started."""

    shard: Shard | None
    wanted: list[int]
    since: float


@dataclass
class _Slot:
    """One worker process, and the calls in flight in it."""

    actor: Any
    calls: dict[Any, _Call]
    started: bool = False


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
        if not address and fitting < 1:
            self.close()
            raise job.error(
                ("cluster",),
                f"a worker needs more than this machine has: {cpus:g} CPUs, {gpus:g} GPUs.",
                "Lower cpus_per_worker or gpus_per_worker.",
            )
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
        remote: Any = ray.remote(max_retries=0, **self._resources())
        return str(ray.get(remote(_device_kind).remote()))

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
        while todo or any(call.shard for slot in slots for call in slot.calls.values()):
            for slot in slots:
                while todo and slot.started and len(slot.calls) < SLOTS:
                    _submit(slot, *todo.popleft())
            ready, _ = ray.wait([call for slot in slots for call in slot.calls], num_returns=1, timeout=_POLL_S)
            for reference in ready:
                yield from self._collect(reference, slots, shared, attempts, todo)
            yield from self._stop_overdue(plan, slots, shared, todo)

    def _collect(
        self, reference: Any, slots: list[_Slot], shared: Any, attempts: Attempts, todo: deque[_Task]
    ) -> Iterator[Outcome]:
        """Take in one answered call, and put back what deserves another attempt."""
        slot = next(slot for slot in slots if reference in slot.calls)
        call = slot.calls[reference]
        try:
            answer: Any = ray.get(reference)
        except ray.exceptions.RayActorError as error:
            if not slot.started:
                # It would fail for every shard alike, so the run ends instead of trying each.
                raise ClusterError(
                    f"No worker can start: {_last_line(error)}",
                    "Give every node the job's files and versions.",
                ) from error
            slots[slots.index(slot)] = self._replace(slot, shared)
            for lost in slot.calls.values():
                assert lost.shard is not None
                reason = f"its worker died: {_last_line(error)}"
                yield from _settled(lost.shard, attempts.lost(lost.shard, lost.wanted, reason), todo)
            return
        except ray.exceptions.RayError as error:
            assert call.shard is not None
            answer = Outcome(call.shard.index, failures=[Failure(part, _last_line(error)) for part in call.wanted])
        del slot.calls[reference]
        if call.shard is None:
            slot.started = True
        else:
            yield from _settled(call.shard, attempts.settle(call.shard, answer), todo)

    def close(self) -> None:
        """See :class:`~jaxbatch.engines.Engine`."""
        ray.shutdown()
        self._remove_folder()

    def _remove_folder(self) -> None:
        if self._private:
            shutil.rmtree(self._private, ignore_errors=True)

    def _connect(self, address: str | None) -> None:
        options: dict[str, Any] = {
            "include_dashboard": False,
            "log_to_driver": False,
            "logging_level": "ERROR",
        }
        if address:
            _knock(address)
            options = {"log_to_driver": False, "logging_level": "ERROR"}
        else:
            self._private = tempfile.mkdtemp(prefix="jaxbatch-")  # 0700, and short: sockets lie in it
            # Ray turns token auth on for a new local cluster where the mode is unset; the token stays in
            # this process's environment and that of its children.
            os.environ.pop("RAY_AUTH_MODE", None)
            os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
            options["_temp_dir"] = self._private
        os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
        try:
            ray.init(address=address or "local", **options)
        except Exception as error:
            self._remove_folder()
            where = f"The cluster at {address}" if address else "A private Ray on this machine"
            raise ClusterError(
                f"{where} cannot be reached: {_last_line(error)}",
                "Check the address and the token; try again later.",
            ) from error

    def _resources(self) -> dict[str, Any]:
        return {
            "num_cpus": self._cpus,
            "num_gpus": self._gpus,
            "runtime_env": {"env_vars": self._environment},
        }

    def _start(self, shared: Any) -> _Slot:
        options: dict[str, Any] = {"max_restarts": 0, "max_task_retries": 0, "max_concurrency": SLOTS}
        remote: Any = ray.remote(**options, **self._resources())
        handle = remote(_Actor).remote(shared)
        return _Slot(handle, {handle.started.remote(): _Call(None, [], time.monotonic())})

    def _replace(self, slot: _Slot, shared: Any) -> _Slot:
        ray.kill(slot.actor, no_restart=True)
        return self._start(shared)

    def _stop_overdue(self, plan: Plan, slots: list[_Slot], shared: Any, todo: deque[_Task]) -> Iterator[Outcome]:
        """Kill workers with a shard past its deadline, and put their other shards back."""
        limit = plan.job.cluster.part_timeout_s
        if limit is None:
            return
        now = time.monotonic()
        for index, slot in enumerate(slots):
            calls = [call for call in slot.calls.values() if call.shard is not None]
            late = [call for call in calls if now - call.since > limit * len(call.wanted)]
            if not late:
                continue
            for call in calls:
                assert call.shard is not None
                if call in late:
                    reason = f"took more than {limit:g} s"
                    yield Outcome(call.shard.index, failures=[Failure(part, reason) for part in call.wanted])
                else:
                    todo.append((call.shard, call.wanted))
            slots[index] = self._replace(slot, shared)


def _knock(address: str) -> None:
    """Try the cluster's door first: where nobody answers, Ray ends the whole process.

    Raises:
        ClusterError: nobody answers.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not (colon and port.isdigit()):
        return  # "auto" and the like: Ray finds the address itself
    try:
        socket.create_connection((host, int(port)), timeout=_KNOCK_S).close()
    except OSError as error:
        raise ClusterError(
            f"The cluster at {address} cannot be reached: {error.strerror or error}.",
            "Check the address; try again later.",
        ) from error


def _submit(slot: _Slot, shard: Shard, wanted: list[int]) -> None:
    slot.calls[slot.actor.run.remote(shard, wanted)] = _Call(shard, wanted, time.monotonic())


def _settled(shard: Shard, settled: tuple[Outcome, list[int]], todo: deque[_Task]) -> Iterator[Outcome]:
    outcome, again = settled
    if again:
        todo.append((shard, again))
    yield outcome


def _last_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:300]
