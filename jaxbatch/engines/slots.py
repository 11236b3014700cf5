"""Worker processes on Ray, and what is in flight in each of them."""

import time
from dataclasses import dataclass, field
from typing import Any

import ray

from jaxbatch.errors import JaxbatchError
from jaxbatch.outcome import Outcome
from jaxbatch.plans import Plan, Stage
from jaxbatch.shards import Shard
from jaxbatch.worker import Worker

SLOTS = 2
"""Shards in flight in each worker: one is read and written while the other computes."""

PULSE_S = 10.0
"""So often a worker is asked whether it is still there …"""

SILENCE_S = 60.0
"""… and after so long without an answer it is given up: a process that is stopped does not die."""


class Actor:
    """The process of one worker."""

    def __init__(self, plan: Plan):
        self._refusal: JaxbatchError | None = None
        try:
            self._worker = Worker(plan, at_once=SLOTS)
        except JaxbatchError as error:
            self._refusal = error

    def started(self) -> JaxbatchError | None:
        """Answers once the worker is there, or with the reason why it will not be."""
        return self._refusal

    @ray.method(concurrency_group="pulse")
    def pulse(self) -> None:
        """Answers."""

    def run(self, shard: Shard, wanted: list[int], stage: Stage) -> Outcome:
        """Write those of a shard's parts that are wanted."""
        return self._worker.run(shard, wanted, stage)


def device_kind() -> str:
    """The kind of device that a worker has."""
    import jax

    return jax.local_devices()[0].device_kind


@dataclass(frozen=True)
class Task:
    """The parts to write of a shard; ``alone`` where no other shard may be in the same worker meanwhile."""

    shard: Shard
    wanted: list[int]
    stage: Stage
    alone: bool = False


@dataclass
class Call:
    """A task in flight; None for the first call, which answers when the worker has started."""

    task: Task | None
    since: float


@dataclass
class Slot:
    """One worker process, and the calls in flight in it."""

    actor: Any
    calls: dict[Any, Call]
    started: bool = False
    pulse: Any = None
    """The question that it has not answered yet …"""
    heard: float = field(default_factory=time.monotonic)
    """… and when it answered last."""

    def silent(self, now: float) -> bool:
        """Whether the worker has not answered for too long; asks it again where it has."""
        if not self.started:
            return False
        if self.pulse is not None and ray.wait([self.pulse], timeout=0)[0]:
            self.pulse, self.heard = None, now  # an error is an answer too: its calls have it as well
        if self.pulse is None and now - self.heard > PULSE_S:
            self.pulse, self.heard = self.actor.pulse.remote(), now
        return self.pulse is not None and now - self.heard > SILENCE_S

    def takes(self, task: Task) -> bool:
        """Whether there is room for a task."""
        if not self.started or len(self.calls) >= SLOTS:
            return False
        return not self.calls or not (task.alone or any(call.task and call.task.alone for call in self.calls.values()))

    def submit(self, task: Task) -> None:
        """Send a task to the worker."""
        self.calls[self.actor.run.remote(task.shard, task.wanted, task.stage)] = Call(task, time.monotonic())
