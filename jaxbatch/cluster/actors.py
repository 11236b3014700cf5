"""Worker processes as Ray actors, and the calls that are in flight in each."""

import time
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions

from jaxbatch.cluster.probe import device_missing_error
from jaxbatch.compilation import process_setup
from jaxbatch.compilation.devices import NoDevice
from jaxbatch.errors import JaxbatchError
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.input.shards import Shard
from jaxbatch.planning.plan import WorkerPlan

SLOTS = 2
"""Shards in flight in each worker: one is read and written while the other computes."""

PING_INTERVAL_S = 10.0
"""Seconds after which a worker is pinged again."""

PING_TIMEOUT_S = 60.0
"""Seconds without an answer after which a worker is replaced: a process that is stopped does not die."""

POLL_S = 0.5
"""Seconds for which answers are waited for at a time."""

START_TIMEOUT_S = 600.0
"""Seconds without a first answer after which a worker is replaced: it may have no place yet, or have stopped while it
started."""


@dataclass(frozen=True)
class Task:
    """The parts to write of a shard; ``alone`` if no other task may be in the same worker meanwhile.

    One value, because Ray pickles each argument of a call separately.
    """

    shard: Shard
    wanted: list[int]
    stage: str
    """The name of the plan's stage."""
    alone: bool = False


class Actor:
    """The process of one worker."""

    def __init__(self, plan: WorkerPlan, cpus: float, workers: int):
        self._plan, self._cpus, self._workers = plan, cpus, workers

    def start(self) -> JaxbatchError | None:
        """Prepare the process to compute shards; returns the error if it cannot."""
        plan = self._plan.here()
        try:
            process_setup.prepare()
            workers_per_node = min(self._workers, _fitting_here(self._cpus))
            max_concurrency = max(SLOTS, int(self._cpus))
            self._worker = WorkerProcess(plan, max_concurrency, shards=SLOTS, workers_per_node=workers_per_node)
        except NoDevice as error:
            return device_missing_error(error, plan.platform)
        except JaxbatchError as error:
            return error
        return None

    @ray.method(concurrency_group="ping")
    def ping(self) -> None:
        """Does nothing: the answer shows that the process is alive."""

    def run(self, task: Task) -> ShardResult:
        """Write the wanted parts of a shard."""
        return run_shard(self._worker, task.shard, task.wanted, task.stage)


def _fitting_here(cpus: float) -> int:
    """How many workers of ``cpus`` CPUs each Ray may place on this node."""
    here = ray.get_runtime_context().get_node_id()
    node = next((node for node in ray.nodes() if node["NodeID"] == here), {})
    return max(1, int(node.get("Resources", {}).get("CPU", 1) / cpus))


@dataclass
class Call:
    """A task in flight; None for the first call, which answers when the worker has started."""

    task: Task | None
    since: float


@dataclass(eq=False)
class WorkerHandle:
    """One worker process, and the calls in flight in it."""

    actor: Any
    calls: dict[Any, Call]
    ping: Any
    """The ping that it has not answered yet; None if it has answered all."""
    started: bool = False
    since: float = field(default_factory=time.monotonic)
    heard: float | None = None
    """When it last answered a ping; None until it has a place, which may take long."""

    def unresponsive(self, now: float) -> bool:
        """Whether the worker has not answered for too long. Pings it again if it has."""
        if self.ping is not None and ray.wait([self.ping], timeout=0)[0]:
            self.ping, self.heard = None, now  # an error is an answer too: its calls have it as well
        if self.heard is None:
            return now - self.since > START_TIMEOUT_S
        if self.ping is None and now - self.heard > PING_INTERVAL_S:
            self.ping, self.heard = self.actor.ping.remote(), now
        return self.ping is not None and now - self.heard > PING_TIMEOUT_S

    def takes(self, task: Task) -> bool:
        """Whether the worker may be given a task now."""
        if not self.started or len(self.calls) >= SLOTS:
            return False
        return not self.calls or not (task.alone or any(call.task and call.task.alone for call in self.calls.values()))

    def submit(self, task: Task) -> None:
        """Send a task to the worker."""
        self.calls[self.actor.run.remote(task)] = Call(task, time.monotonic())


def poll(handles: list[WorkerHandle]) -> list[tuple[WorkerHandle, Any, Any]]:
    """The calls that have been answered, as worker, reference and answer. Waits at most POLL_S for the first.

    All are fetched together, since each ``ray.wait`` costs by the number of calls. Errors come last: what a worker has
    done before it died counts.
    """
    calls = {call: handle for handle in handles for call in handle.calls}
    ready, _ = ray.wait(list(calls), num_returns=1, timeout=POLL_S)
    if ready and len(calls) > 1:
        ready, _ = ray.wait(list(calls), num_returns=len(calls), timeout=0)
    answers = [(calls[reference], reference, _answer(reference)) for reference in ready]
    return sorted(answers, key=lambda found: isinstance(found[2], ray.exceptions.RayError))


def _answer(reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayError as error:
        return error
