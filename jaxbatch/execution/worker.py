"""One process of a run: what its threads share while each computes a shard."""

import os
import socket
from collections.abc import Hashable
from typing import Any

from jaxbatch.compilation import device_memory, devices
from jaxbatch.execution.compute import aggregation_of, row_computer
from jaxbatch.execution.compute_slots import ComputeSlots
from jaxbatch.execution.host_memory import HostMemoryPool
from jaxbatch.execution.tracing import retrace_and_check
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.output.encode_buffers import BufferPool
from jaxbatch.planning.plan import WorkerPlan
from jaxbatch.storage import open_store

_PARTS_DIVISOR = 4
"""A quarter of the host's memory is for the results of parts, since writing copies them twice."""

_BUFFERS_DIVISOR = 4
"""A quarter of that again is for the buffers in which parts are encoded."""


class WorkerProcess:
    """What the threads of one process share: the plan, its compiled programs, devices, memory and compute slots.

    It computes nothing by itself: :func:`~jaxbatch.execution.shard_run.run_shard` does, on any number of threads.

    Args:
        plan: the plan of the run, whose stages it can all do.
        max_concurrency: how many threads may compute at once, each a batch of its own.
        workers_per_node: how many such processes share the machine's memory.
        shards: how many shards are in flight at once, ``max_concurrency`` by default. Where there are fewer than
            threads may compute, threads compute chunks of one shard, as far as the device has memory for their batches.
        programs: those that this process has traced for the plan already; by default they are traced here.

    Raises:
        NoDevice: JAX finds no device of the platform that was planned for.
        JobError: a batch cannot fit its device.
        ClusterError: this process would compute something else than was planned.
    """

    def __init__(
        self,
        plan: WorkerPlan,
        max_concurrency: int = 1,
        *,
        workers_per_node: int = 1,
        shards: int | None = None,
        programs: ProgramSet | None = None,
    ):
        self.plan = plan
        self.name = f"{socket.gethostname()}:{os.getpid()}"
        self.programs = programs or retrace_and_check(plan, devices.described_here(plan.platform))
        self.kernel = self.programs.kernel
        self.devices = devices.local(plan.platform) if self.kernel.buckets else [None]
        """Those that compute; NumPy needs none of JAX's."""
        if self.kernel.grouping:
            self.aggregation = aggregation_of(plan, self.programs)
        else:
            self.row_computer = row_computer(plan, self.programs)
        self.steps = plan.steps.open()
        self.store = open_store(plan.output, plan.job.storage)
        self.slots = ComputeSlots(max_concurrency)
        self.memory = HostMemoryPool(device_memory.host_bytes() // _PARTS_DIVISOR // workers_per_node)
        self.buffers = BufferPool(self.memory.size // _BUFFERS_DIVISOR)
        self._max_concurrency, self._workers_per_node = max_concurrency, workers_per_node
        self.share(max_concurrency if shards is None else shards)
        ahead = self.aggregation.groups if self.kernel.grouping else self.programs
        ahead.prepare_ahead(self.devices[0])

    def share(self, shards: int) -> None:
        """Divide each device's memory among the batches that can be on it at once with ``shards`` shards in flight.

        Raises:
            JobError: a batch cannot fit its share.
        """
        batches = -(-min(self._max_concurrency, shards) // len(self.devices))
        self.programs.share(batches, self._workers_per_node if self.plan.platform == "cpu" else 1)
        for device in self.devices:
            self.programs.check_memory(device)

    def device_of(self, shard: int) -> Any:
        """The device, of several, that computes a shard."""
        return self.devices[shard % len(self.devices)]

    def abandon(self, attempt: Hashable) -> None:
        """Stop waiting for an attempt that does not end, and let it begin nothing more."""
        self.memory.abandon(attempt)
        self.slots.abandon(attempt)

    def wait_seconds(self, attempt: Hashable) -> float:
        """How long an attempt has waited for others so far, which does not count against its deadline."""
        return self.slots.wait_seconds(attempt)
