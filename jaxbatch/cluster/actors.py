"""Worker processes on Ray, and what is in flight in each of them."""

import time
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions

from jaxbatch.cluster.probe import missing
from jaxbatch.compilation import process_setup
from jaxbatch.compilation.devices import NoDevice
from jaxbatch.errors import JaxbatchError
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.execution.shard_run import run_shard
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.input.shards import Shard
from jaxbatch.planning.plan import Plan, Stage

SLOTS = 2
"""Shards in flight in each worker: one is read and written while the other computes."""

PULSE_S = 10.0
"""So often a worker is asked whether it is still there …"""

SILENCE_S = 60.0
"""… and after so long without an answer it is given up: a process that is stopped does not die."""

POLL_S = 0.5
"""So long an answer is waited for at a time."""

PLACE_S = 600.0
"""Who has not answered at all for so long is asked for anew: it may have no place yet, or have stopped on the way."""


@dataclass(frozen=True)
class Task:
    """The parts to write of a shard; ``alone`` where no other shard may be in the same worker meanwhile.

    It is sent as it is, because Ray pickles each argument of a call for itself.
    """

    shard: Shard
    wanted: list[int]
    stage: Stage
    alone: bool = False


class Actor:
    """The process of one worker."""

    def __init__(self, plan: Plan, cpus: float, workers: int):
        self._plan, self._cpus, self._workers = plan, cpus, workers

    def start(self) -> JaxbatchError | None:
        """Make the worker; the reason if there will not be one."""
        plan = self._plan.here()
        try:
            process_setup.prepare()
            neighbours = min(self._workers, _fitting_here(self._cpus))
            at_once = max(SLOTS, int(self._cpus))
            self._worker = WorkerProcess(plan, at_once, shards=SLOTS, workers_per_node=neighbours)
        except NoDevice as error:
            return missing(error, plan.platform)
        except JaxbatchError as error:
            return error
        return None

    @ray.method(concurrency_group="ping")
    def ping(self) -> None:
        """Answers."""

    def run(self, task: Task) -> ShardResult:
        """Write those of a shard's parts that are wanted."""
        return run_shard(self._worker, task.shard, task.wanted, task.stage)


def _fitting_here(cpus: float) -> int:
    """How many workers of so many CPUs Ray may place on this node."""
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
    """The question that it has not answered yet …"""
    started: bool = False
    since: float = field(default_factory=time.monotonic)
    heard: float | None = None
    """… and when it answered last: not before it has a place, for which it may wait long."""

    def unresponsive(self, now: float) -> bool:
        """Whether the worker has not answered for too long; asks it again where it has."""
        if self.ping is not None and ray.wait([self.ping], timeout=0)[0]:
            self.ping, self.heard = None, now  # an error is an answer too: its calls have it as well
        if self.heard is None:
            return now - self.since > PLACE_S
        if self.ping is None and now - self.heard > PULSE_S:
            self.ping, self.heard = self.actor.ping.remote(), now
        return self.ping is not None and now - self.heard > SILENCE_S

    def takes(self, task: Task) -> bool:
        """Whether there is room for a task."""
        if not self.started or len(self.calls) >= SLOTS:
            return False
        return not self.calls or not (task.alone or any(call.task and call.task.alone for call in self.calls.values()))

    def submit(self, task: Task) -> None:
        """Send a task to the worker."""
        self.calls[self.actor.run.remote(task)] = Call(task, time.monotonic())


def poll(slots: list[WorkerHandle]) -> list[tuple[WorkerHandle, Any, Any]]:
    """The calls that have been answered, waiting a little for the first: all at once, since asking costs by the call.

    Errors come last: what a worker has done before it died counts.
    """
    calls = {call: slot for slot in slots for call in slot.calls}
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
