"""A shard's whole way: read, decode, compute, encode, publish — to its receipts."""

import os
import socket
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from jaxbatch import aggregation, compiled, encoding, memory, outputs, ownership, parts
from jaxbatch.aggregation import Aggregation
from jaxbatch.errors import JaxbatchError, OutputError, OutputTaken, printable
from jaxbatch.evaluation import Evaluation
from jaxbatch.faults import crash_point
from jaxbatch.outcome import Failure, Outcome
from jaxbatch.parts import Receipt
from jaxbatch.plans import Plan, Stage
from jaxbatch.published import Published
from jaxbatch.reading import Rows
from jaxbatch.shards import Part, Shard
from jaxbatch.storage import open_store
from jaxbatch.tracing import traced_anew
from jaxbatch.turns import GivenUp, Turns

GROUPED_ROWS = 1 << 20
"""Where rows are grouped, so many are taken at once: the more, the fewer statistics to merge."""

GROUPED_BYTES = 1 << 28
"""But no more than have statistics of this size, were each a group of its own."""

HELD = 4
"""One byte of memory in so many is for the rows of the parts in the making: writing copies them twice."""

_OF_THE_WAY = (ConnectionError, PermissionError, FileNotFoundError)
"""Errors of a store, which have no number there."""


class Worker:
    """One process's share of a run: its kernel, its compiled programs, its devices.

    Of the threads that share it, ``at_once`` may compute, each a batch of its own, or fewer where there are fewer
    ``shards``; and so many workers share the machine's memory, as ``neighbours`` says. ``programs`` are those that this
    process has traced for the plan.

    Raises:
        JobError: a batch cannot fit its device.
        ClusterError: this process would compute something else than was planned.
    """

    def __init__(
        self,
        plan: Plan,
        at_once: int = 1,
        *,
        neighbours: int = 1,
        shards: int | None = None,
        programs: compiled.Programs | None = None,
    ):
        self.plan = plan
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self._devices = jax.local_devices()
        self._programs = programs or traced_anew(plan, self._devices[0])
        self.kernel = self._programs.kernel
        self._at_once, self._neighbours = at_once, neighbours
        self._plans = {stage.stage: stage for stage in plan.stages()}
        if self.kernel.grouping:
            self._aggregation = Aggregation(plan, self.kernel, self._programs)
        self._evaluation = Evaluation(plan, self.kernel, self._programs)
        self._store = open_store(plan.output, plan.job.storage)
        self._turns = Turns(at_once)
        self._room = memory.Room(memory.host_bytes() // HELD // neighbours)
        self._scratches = parts.Scratches(self._room.size // HELD)
        self.share(at_once if shards is None else shards)
        ahead = self._aggregation if self.kernel.grouping else self._programs
        ahead.prepare_ahead(self._devices[0])

    def share(self, shards: int) -> None:
        """Divide the devices' memory among as many batches as so many shards can have there at once.

        Raises:
            JobError: a batch cannot fit its share.
        """
        there = -(-min(self._at_once, shards) // len(self._devices))
        in_host_memory = self._devices[0].platform == "cpu"
        self._programs.share(there * (self._neighbours if in_host_memory else 1))
        for each in self._devices:
            self._programs.check_memory(each)

    def run(
        self, shard: Shard, wanted: Sequence[int], stage: Stage = "rows", attempt: Hashable | None = None
    ) -> Outcome:
        """Write those of a shard's parts that are wanted. Failures are values; nothing is raised.

        An ``attempt`` may be given up, and then writes nothing more.
        """
        plan = self._plans[stage]
        crash_point("shard.begun")
        outcome = Outcome(shard.index, self._name)
        device = self._devices[shard.index % len(self._devices)]
        owner = attempt or (stage, shard.index)
        rows: Rows | None = None
        for part in shard.parts:
            if part.index not in wanted:
                continue
            for alone in (False, True):
                try:
                    if stage != "merge":
                        rows = rows or Rows(plan.files, shard.row_groups, plan.read, plan.chunk_rows)
                        with outcome.stage("read"):
                            rows.move_to(part.start)
                    with ExitStack() as entered:
                        with self._turns.waiting(owner):
                            hold = entered.enter_context(self._room.part(owner, alone=alone))
                        outcome.receipts.append(self._write(plan, part, rows, hold, owner, device, outcome))
                    break
                except memory.NoRoom:
                    rows = None  # what follows is read afresh
                    if alone:
                        outcome.failures.append(Failure(part.index, self._too_large()))
                except GivenUp:
                    return outcome
                except OutputTaken as error:
                    ended = {receipt.part for receipt in outcome.receipts} | {each.part for each in outcome.failures}
                    outcome.failures += [Failure(each, error.what) for each in wanted if each not in ended]
                    return outcome
                except BaseException as error:  # a SystemExit of the user's must not end a thread unseen
                    outcome.failures.append(Failure(part.index, _reason(error)))
                    rows = None
                    break
        outcome.add("queue", self._turns.end(owner))
        outcome.compilations, outcome.compile_s = self._programs.compilations, self._programs.seconds
        crash_point("shard.done")
        return outcome

    def give_up(self, attempt: Hashable) -> None:
        """Have the others wait no more for an attempt that does not end."""
        self._room.give_up(attempt)
        self._turns.give_up(attempt)

    def queued(self, attempt: Hashable) -> float:
        """The seconds that an attempt has waited for others so far: they are none of its own time."""
        return self._turns.waited(attempt)

    def _too_large(self) -> str:
        return (
            f"its rows hold more than the {memory.gib(self._room.size)} of memory that there are for parts: "
            "lower [output] rows_per_part, or leave the largest columns out of [input] keep"
        )

    def _write(
        self,
        plan: Plan,
        part: Part,
        rows: Rows | None,
        hold: Callable[[int], None],
        owner: Hashable,
        device: Any,
        outcome: Outcome,
    ) -> Receipt:
        with ExitStack() as kept:
            with self._turns.turn(owner):
                encoded = self._encoded(plan, part, rows, hold, device, outcome, kept)
            if isinstance(encoded, Receipt):
                return encoded
            data, receipt = encoded
            crash_point("part.encoded")
            with outcome.stage("publish"):
                ownership.check_owner(self._store, plan.fingerprint, plan.records)
                outputs.publish(self._store, data, receipt)
            crash_point("part.published")
            return receipt

    def _encoded(
        self,
        plan: Plan,
        part: Part,
        rows: Rows | None,
        hold: Callable[[int], None],
        device: Any,
        outcome: Outcome,
        kept: ExitStack,
    ) -> tuple[memoryview, Receipt] | Receipt:
        """The bytes of a part, in memory that is ``kept``, with its receipt; the receipt alone of one that is there."""
        row_groups: list[int] = []
        if plan.stage == "rows":
            assert rows is not None
            table, status = self._rows(part, rows, hold, device, outcome)
        elif plan.stage == "partials":
            assert rows is not None
            table, status = self._partials(part, rows, device, outcome), None
            table, row_groups = parts.in_row_groups(*aggregation.in_buckets(table, len(plan.keep), plan.buckets))
        elif plan.stage == "groups":
            assert rows is not None
            table, status = self._groups([self._partials(part, rows, device, outcome)], device, outcome)
        else:
            try:
                with outcome.stage("read"):
                    tables = [self._bucket(name, part.index) for name in plan.partial_names]
            except FileNotFoundError:
                # Another driver of this run has sealed it, and the statistics are gone: then the part is there.
                data = Published(self._store, plan.folder, plan.fingerprint, plan.expected)
                there = data.published().get(part.index)
                if there is None:
                    raise
                return there
            table, status = self._groups(tables, device, outcome)
        crash_point("part.read")
        with outcome.stage("encode"):
            counts = {}
            if status is not None:
                table, counts = encoding.with_statuses(table, status, plan.schema)
            return parts.encode(
                table,
                part=part.index,
                fingerprint=plan.fingerprint,
                compression=plan.job.output.compression,
                statuses=counts,
                folder=plan.folder,
                row_groups=row_groups,
                scratch=kept.enter_context(self._scratches.taken()),
            )

    def _rows(
        self, part: Part, rows: Rows, hold: Callable[[int], None], device: Any, outcome: Outcome
    ) -> tuple[pa.Table, np.ndarray]:
        """A row for every row.

        Raises:
            NoRoom: so many do not fit in memory.
        """
        plan = self.plan
        schema = plan.schema.remove(len(plan.schema) - 1)
        tables, statuses = [schema.empty_table()], [np.zeros(0, np.int8)]
        for table in _chunks(part, rows, plan.chunk_rows, outcome):
            results, status = self._evaluation.rows(table, device, outcome)
            kept = [table.column(name) for name in plan.keep]
            with outcome.stage("encode"):
                tables.append(pa.Table.from_arrays([*kept, *results], schema=schema))
            hold(tables[-1].nbytes)
            statuses.append(status)
        return pa.concat_tables(tables), np.concatenate(statuses)

    def _partials(self, part: Part, rows: Rows, device: Any, outcome: Outcome) -> pa.Table:
        """A statistic for every group that the part's rows meet."""
        plan = self.plan
        statistic = sum(value.nbytes for value in self.kernel.nothing().values())
        step = max(min(GROUPED_ROWS, GROUPED_BYTES // statistic) if plan.keep else 0, plan.chunk_rows)
        found = [
            self._aggregation.partials(table, device, outcome) for table in _chunks(part, rows, step, outcome)
        ] or [plan.partial_schema.empty_table()]
        with outcome.stage("merge"):
            return found[0] if len(found) == 1 else self._aggregation.combined(found)

    def _bucket(self, name: str, bucket: int) -> pa.Table:
        """One bucket of what the first stage left.

        Raises:
            OutputError: it is damaged; it is removed then, to be made again by the next run.
        """
        try:
            return parts.read_bucket(self._store, name, bucket, self.plan.partial_schema)
        except (pa.ArrowInvalid, OSError, KeyError, ValueError) as error:
            if isinstance(error, OSError) and (error.errno is not None or isinstance(error, _OF_THE_WAY)):
                raise  # it is not there or cannot be reached: that says nothing of what it holds
            self._store.delete(name)
            raise OutputError(
                f"{self._store.url}/{name} was damaged, and is removed ({printable(error, 80)}).",
                "Run again to make it anew.",
            ) from error

    def _groups(self, tables: list[pa.Table], device: Any, outcome: Outcome) -> tuple[pa.Table, np.ndarray]:
        """A fit for every group of some tables of statistics."""
        with outcome.stage("merge"):
            keys, statistics = self._aggregation.merged(tables)
        results, status = self._aggregation.fits(statistics, device, outcome)
        schema = self.plan.schema.remove(len(self.plan.schema) - 1)
        return pa.Table.from_arrays([*keys.columns, *results], schema=schema), status


def _chunks(part: Part, rows: Rows, step: int, outcome: Outcome) -> Iterator[pa.Table]:
    missing = part.rows
    while missing > 0:
        with outcome.stage("read"):
            table = rows.take(min(missing, step))
        missing -= table.num_rows
        yield table


def _reason(error: BaseException) -> str:
    what = error.what if isinstance(error, JaxbatchError) else f"{type(error).__name__}: {printable(error)}"
    return what.replace("\n", " ")[:500]
