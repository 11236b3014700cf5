"""A shard's whole way: read, decode, compute, encode, publish — to its receipts."""

import os
import socket
from collections.abc import Callable, Hashable, Sequence
from contextlib import ExitStack
from typing import TypeVar

import numpy as np
import pyarrow as pa

from jaxbatch.batches import encode
from jaxbatch.compilation import device_memory, devices
from jaxbatch.compilation.programs import Programs
from jaxbatch.errors import JaxbatchError, OutputError, OutputTaken, printable
from jaxbatch.execution import aggregation, host_memory
from jaxbatch.execution.aggregation import Aggregation
from jaxbatch.execution.compute_slots import ComputeSlots, ShardAbandoned
from jaxbatch.execution.evaluation import Evaluation
from jaxbatch.execution.parallel_map import parallel_map
from jaxbatch.execution.part_context import PartContext
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.execution.tracing import retrace_and_check
from jaxbatch.failpoints import crash_point
from jaxbatch.input.row_reader import Rows
from jaxbatch.input.shards import Shard
from jaxbatch.output import claim, ownership, part_file
from jaxbatch.output.catalog import PartCatalog
from jaxbatch.output.part_file import Receipt
from jaxbatch.planning.plan import Plan, Stage
from jaxbatch.storage import open_store

GROUPED_ROWS = 1 << 20
"""Where rows are grouped, so many are taken at once: the more, the fewer statistics to merge."""

GROUPED_BYTES = 1 << 28
"""But no more than have statistics of this size, were each a group of its own."""

HELD = 4
"""One byte of memory in so many is for the rows of the parts in the making: writing copies them twice."""

Result = TypeVar("Result")

_OF_THE_WAY = (ConnectionError, PermissionError, FileNotFoundError)
"""Errors of a store, which have no number there."""


class Worker:
    """One process's share of a run: its kernel, its compiled programs, its devices.

    Of the threads that share it, ``at_once`` may compute, each a batch of its own: a shard each, and where there are
    fewer ``shards`` the chunks of one, as far as the device has room for their batches. So many workers as
    ``neighbours`` says share the machine's memory. ``programs`` are those that this process has traced for the plan.

    Raises:
        NoDevice: JAX finds no device of the platform that was planned for.
        JobError: a batch cannot fit its device.
        ClusterError: this process would compute something else than was planned.
    """

    def __init__(
        self,
        plan: Plan,
        max_concurrency: int = 1,
        *,
        workers_per_node: int = 1,
        shards: int | None = None,
        programs: Programs | None = None,
    ):
        self.plan = plan
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._devices = devices.local(plan.platform)
        self._programs = programs or retrace_and_check(plan, self._devices[0])
        self.kernel = self._programs.kernel
        self._max_concurrency, self._workers_per_node = max_concurrency, workers_per_node
        self._plans = {stage.stage: stage for stage in plan.stages()}
        if self.kernel.grouping:
            self._aggregation = Aggregation(plan, self.kernel, self._programs)
        self._evaluation = Evaluation(plan, self.kernel, self._programs)
        self._store = open_store(plan.output, plan.job.storage)
        self._turns = ComputeSlots(max_concurrency)
        self._room = host_memory.HostMemoryPool(device_memory.host_bytes() // HELD // workers_per_node)
        self._scratches = part_file.BufferPool(self._room.size // HELD)
        self.share(max_concurrency if shards is None else shards)
        ahead = self._aggregation if self.kernel.grouping else self._programs
        ahead.prepare_ahead(self._devices[0])

    def share(self, shards: int) -> None:
        """Divide the devices' memory among as many batches as so many shards can have there at once.

        Raises:
            JobError: a batch cannot fit its share.
        """
        there = -(-min(self._max_concurrency, shards) // len(self._devices))
        in_host_memory = self._devices[0].platform == "cpu"
        self._programs.share(there, self._workers_per_node if in_host_memory else 1)
        for each in self._devices:
            self._programs.check_memory(each)

    def run(
        self, shard: Shard, wanted: Sequence[int], stage: Stage = "rows", attempt: Hashable | None = None
    ) -> ShardResult:
        """Write those of a shard's parts that are wanted. Failures are values; nothing is raised.

        An ``attempt`` may be given up, and then writes nothing more.
        """
        plan = self._plans[stage]
        crash_point("shard.begun")
        outcome = ShardResult(shard.index, self._name)
        device = self._devices[shard.index % len(self._devices)]
        owner = attempt or (stage, shard.index)
        rows: Rows | None = None
        for part in shard.parts:
            if part.index not in wanted:
                continue
            for alone in (False, True):
                try:
                    if stage != "merge":
                        rows = rows or Rows(plan.files, shard.row_groups, plan.read, plan.chunk_rows, plan.apart)
                        with outcome.stage("read"):
                            rows.seek(part.start)
                    with ExitStack() as entered:
                        with self._turns.waiting(owner):
                            hold = entered.enter_context(self._room.part(owner, exclusive=alone))
                        making = PartContext(part, rows, device, outcome, owner, hold, alone)
                        outcome.receipts.append(self._write(plan, making))
                    break
                except host_memory.MemoryLimitExceeded:
                    rows = None  # what follows is read afresh
                    if alone:
                        outcome.failures.append(Failure(part.index, self._too_large()))
                except ShardAbandoned:
                    return outcome
                except OutputTaken as error:
                    ended = {receipt.part for receipt in outcome.receipts} | {each.part for each in outcome.failures}
                    outcome.failures += [Failure(each, error.what) for each in wanted if each not in ended]
                    return outcome
                except BaseException as error:  # a SystemExit of the user's must not end a thread unseen
                    outcome.failures.append(Failure(part.index, _reason(error)))
                    rows = None
                    break
        outcome.add("queue", self._turns.forget(owner))
        outcome.compilations, outcome.compile_s = self._programs.compilations, self._programs.seconds
        crash_point("shard.done")
        return outcome

    def abandon(self, attempt: Hashable) -> None:
        """Have the others wait no more for an attempt that does not end."""
        self._room.abandon(attempt)
        self._turns.abandon(attempt)

    def queued(self, attempt: Hashable) -> float:
        """The seconds that an attempt has waited for others so far: they are none of its own time."""
        return self._turns.wait_seconds(attempt)

    def _too_large(self) -> str:
        return (
            f"its rows hold more than the {device_memory.gib(self._room.size)} of memory available for parts: "
            "lower [output] rows_per_part, or leave the largest columns out of [input] keep"
        )

    def _write(self, plan: Plan, making: PartContext) -> Receipt:
        with ExitStack() as kept:
            with self._turns.acquire(making.owner):
                encoded = self._encoded(plan, making, kept)
            if isinstance(encoded, Receipt):
                return encoded
            data, receipt = encoded
            crash_point("part.encoded")
            with making.outcome.stage("publish"):
                ownership.check_owner(self._store, plan.fingerprint, plan.records)
                claim.publish(self._store, data, receipt)
            crash_point("part.published")
            return receipt

    def _encoded(self, plan: Plan, making: PartContext, kept: ExitStack) -> tuple[memoryview, Receipt] | Receipt:
        """The bytes of a part, in memory that is ``kept``, with its receipt; the receipt alone of one that is there."""
        row_groups: list[int] = []
        if plan.stage == "rows":
            table, status = self._rows(making)
        elif plan.stage == "partials":
            table, status = self._partials(making), None
            table, row_groups = part_file.in_row_groups(*aggregation.in_buckets(table, len(plan.keep), plan.buckets))
        elif plan.stage == "groups":
            table, status = self._groups([self._partials(making)], making)
        else:
            try:
                with making.outcome.stage("read"):
                    tables = [self._bucket(name, making.part.index) for name in plan.partial_names]
            except FileNotFoundError:
                # Another driver of this run has sealed it, and the statistics are gone: then the part is there.
                data = PartCatalog(self._store, plan.folder, plan.fingerprint, plan.expected)
                there = data.published().get(making.part.index)
                if there is None:
                    raise
                return there
            table, status = self._groups(tables, making)
        crash_point("part.read")
        with making.outcome.stage("encode"):
            counts = {}
            if status is not None:
                table, counts = encode.with_statuses(table, status, plan.schema)
            return part_file.encode(
                table,
                part=making.part.index,
                fingerprint=plan.fingerprint,
                compression=plan.job.output.compression,
                statuses=counts,
                folder=plan.folder,
                row_groups=row_groups,
                scratch=kept.enter_context(self._scratches.borrowed()),
            )

    def _rows(self, making: PartContext) -> tuple[pa.Table, np.ndarray]:
        """A row for every row.

        Raises:
            NoRoom: so many do not fit in memory.
        """
        plan = self.plan
        schema = plan.schema.remove(len(plan.schema) - 1)

        def computed(chunk: pa.Table, outcome: ShardResult) -> tuple[pa.Table, np.ndarray]:
            results, status = self._evaluation.rows(chunk, making.device, outcome)
            kept = [chunk.column(name) for name in plan.keep]
            with outcome.stage("encode"):
                table = pa.Table.from_arrays([*kept, *results], schema=schema)
            making.reserve(table.nbytes)
            return table, status

        found = [
            (pa.Table.from_batches([], schema), np.zeros(0, np.int8)),
            *self._chunks(making, plan.chunk_rows, computed),
        ]
        tables, statuses = zip(*found, strict=True)
        return pa.concat_tables(tables), np.concatenate(statuses)

    def _partials(self, making: PartContext) -> pa.Table:
        """A statistic for every group that the part's rows meet."""
        plan = self.plan
        statistic = sum(value.nbytes for value in self.kernel.empty_state().values())
        step = max(min(GROUPED_ROWS, GROUPED_BYTES // statistic) if plan.keep else 0, plan.chunk_rows)

        def summed(chunk: pa.Table, outcome: ShardResult) -> pa.Table:
            return self._aggregation.partials(chunk, making.device, outcome)

        found = self._chunks(making, step, summed) or [pa.Table.from_batches([], plan.partial_schema)]
        with making.outcome.stage("merge"):
            return found[0] if len(found) == 1 else self._aggregation.combined(found)

    def _chunks(self, making: PartContext, step: int, work: Callable[[pa.Table, ShardResult], Result]) -> list[Result]:
        """``work`` of a part's rows, so many at a time, in their order; by several threads where turns are to spare."""

        def timed(chunk: pa.Table) -> tuple[Result, ShardResult]:
            outcome = ShardResult(making.outcome.shard)
            return work(chunk, outcome), outcome

        ended = parallel_map(timed, making.chunks(step), lambda: self._spare(making))
        for _, outcome in ended:
            making.outcome.include(outcome)
        return [result for result, _ in ended]

    def _spare(self, making: PartContext) -> ExitStack | None:
        """A turn for a thread beside the part's own, if nobody else wants it, and there is memory for such haste."""
        return None if making.exclusive else self._turns.try_acquire(making.owner)

    def _bucket(self, name: str, bucket: int) -> pa.Table:
        """One bucket of what the first stage left.

        Raises:
            OutputError: it is damaged; it is removed then, to be made again by the next run.
        """
        try:
            return part_file.read_bucket(self._store, name, bucket, self.plan.partial_schema)
        except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
            if isinstance(error, OSError) and (error.errno is not None or isinstance(error, _OF_THE_WAY)):
                raise  # it is not there or cannot be reached: that says nothing of what it holds
            self._store.delete(name)
            raise OutputError(
                f"{self._store.url}/{name} was damaged and has been removed ({printable(error, 80)}).",
                "Run again to recreate it.",
            ) from error

    def _groups(self, tables: list[pa.Table], making: PartContext) -> tuple[pa.Table, np.ndarray]:
        """A fit for every group of some tables of statistics."""
        with making.outcome.stage("merge"):
            keys, statistics = self._aggregation.merged(tables)
        results, status = self._aggregation.fits(statistics, making.device, making.outcome)
        schema = self.plan.schema.remove(len(self.plan.schema) - 1)
        return pa.Table.from_arrays([*keys.columns, *results], schema=schema), status


def _reason(error: BaseException) -> str:
    what = error.what if isinstance(error, JaxbatchError) else f"{type(error).__name__}: {printable(error)}"
    return what.replace("\n", " ")[:500]
