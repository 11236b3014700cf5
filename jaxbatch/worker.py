"""A shard's whole way: read, decode, compute, encode, publish — to its receipts."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from jaxbatch import batches, compiled, encoding, kernels, outputs, parts
from jaxbatch.columns import Status
from jaxbatch.differences import differences
from jaxbatch.errors import ClusterError, JaxbatchError, JobError, printable
from jaxbatch.fingerprint import code_identity
from jaxbatch.parts import Receipt
from jaxbatch.planner import Plan
from jaxbatch.reading import Rows
from jaxbatch.shards import Part, Shard
from jaxbatch.traced import Program, precision

_STATUSES = pa.array([status.name for status in Status], pa.string())


@dataclass(frozen=True)
class Failure:
    """A part that could not be written, and why."""

    part: int
    reason: str


@dataclass
class Outcome:
    """What became of a shard: receipts of the parts published, failures, and seconds by stage."""

    shard: int
    receipts: list[Receipt] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    stages: dict[str, float] = field(default_factory=dict)
    compilations: int = 0
    """How many programs its worker has compiled so far."""

    def add(self, name: str, seconds: float) -> None:
        """Count seconds towards a stage."""
        if seconds:
            self.stages[name] = self.stages.get(name, 0.0) + seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block towards a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - started)


class Worker:
    """One process's share of a run: its kernel, its compiled programs, its devices. Threads may share it."""

    def __init__(self, plan: Plan):
        self.plan = plan
        job = plan.job
        with precision(job.compute.precision):
            unbound = kernels.build(job)
        with precision(job.compute.precision, unbound):
            self.kernel = unbound.bind(plan.source)
        self._programs = compiled.Programs(
            self.kernel, job.compute.precision, batch_rows=job.compute.batch_rows, limit=plan.width_limit
        )
        self._store = outputs.open_store(plan.output)
        self._devices = jax.local_devices()
        here = {"code": code_identity(unbound, self._programs), "device": self._devices[0].device_kind}
        planned = {name: plan.identity[name] for name in here}
        if here != planned:
            raise ClusterError(
                f"A worker would compute something else: {'; '.join(differences(planned, here))}.",
                "Give every node the same kind of device, the same files and the versions of constraints.txt.",
            )

    def run(self, shard: Shard, wanted: Sequence[int]) -> Outcome:
        """Write those of a shard's parts that are wanted. Failures are values; nothing is raised."""
        outcome = Outcome(shard.index)
        device = self._devices[shard.index % len(self._devices)]
        rows: Rows | None = None
        for part in shard.parts:
            if part.index not in wanted:
                continue
            try:
                rows = rows or Rows(self.plan.files, shard.row_groups, self.plan.read, self.plan.chunk_rows)
                with outcome.stage("read"):
                    rows.move_to(part.start)
                outcome.receipts.append(self._write(part, rows, device, outcome))
            except BaseException as error:  # a SystemExit of the user's must not end a thread unseen
                outcome.failures.append(Failure(part.index, _reason(error)))
                rows = None  # what follows is read afresh
        outcome.compilations = self._programs.compilations
        return outcome

    def _write(self, part: Part, rows: Rows, device: Any, outcome: Outcome) -> Receipt:
        plan = self.plan
        tables = [plan.schema.empty_table()]
        counts = np.zeros(len(Status), np.int64)
        missing = part.rows
        while missing > 0:
            with outcome.stage("read"):
                table = rows.take(min(missing, plan.chunk_rows))
            missing -= table.num_rows
            results, status = self._evaluate(table, device, outcome)
            counts += np.bincount(status, minlength=len(Status))
            kept = [table.column(name) for name in plan.keep]
            with outcome.stage("encode"):
                columns = [*kept, *results, _STATUSES.take(pa.array(status))]
                tables.append(pa.Table.from_arrays(columns, schema=plan.schema))
        with outcome.stage("encode"):
            data, receipt = parts.encode(
                pa.concat_tables(tables),
                part=part.index,
                fingerprint=plan.fingerprint,
                compression=plan.job.output.compression,
                statuses={status.name: int(counts[status]) for status in Status if counts[status]},
            )
        with outcome.stage("publish"):
            outputs.publish(self._store, data, receipt)
        return receipt

    def _evaluate(self, table: pa.Table, device: Any, outcome: Outcome) -> tuple[list[pa.Array], np.ndarray]:
        """The outputs of a table's rows as Arrow arrays, and their statuses."""
        kernel, precision = self.kernel, self.plan.job.compute.precision
        with outcome.stage("decode"):
            batch = batches.decode(
                table,
                kernel.inputs,
                self.plan.names,
                self.plan.source.constants,
                precision,
                kernel.drop_nulls,
            )
            groups = list(self._groups(batch))
        status = batch.status.copy()
        encoded: list[list[pa.Array]] = []
        for program, rows in groups:
            width = self._programs.width(program)
            for start in range(0, len(rows), width):
                taken = rows[start : start + width]
                with outcome.stage("decode"):
                    arrays = batches.gather(batch, kernel.inputs, taken, dict(program.sizes))
                    arrays = batches.widened(arrays, width)
                outcome.add("compile", self._programs.prepare(program, device))
                with outcome.stage("compute"):
                    results = self._programs.run(program, arrays, len(taken), device)
                with outcome.stage("encode"):
                    status[taken] = np.maximum(status[taken], results.status)
                    encoded.append(self._encode(results, status[taken] < Status.invalid_input))
        with outcome.stage("encode"):
            order = np.concatenate([rows for _, rows in groups]) if groups else np.arange(0)
            return _in_order(encoded, order), status

    def _groups(self, batch: batches.Batch) -> Iterator[tuple[Program, np.ndarray]]:
        """The batch's rows by program, in the order of the rows within each."""
        numbers = {name: values for name, values in batch.columns.items() if isinstance(values, np.ndarray)}
        buckets = np.broadcast_to(np.asarray(self.kernel.bucket(numbers)), (batch.rows,))
        buckets = np.where(batch.status == Status.ok, buckets, 0)
        if batch.rows and not 0 <= buckets.min() <= buckets.max() < self.kernel.buckets:
            name = type(self.kernel).__name__
            raise JobError(
                f"{name}.bucket() gives {buckets.max()}, and {name} declares {self.kernel.buckets} buckets.",
                "Return 0 … buckets - 1.",
            )
        names = tuple(batch.dimensions)
        keys = np.stack([buckets, *(self.kernel.size(name, batch.dimensions[name]) for name in names)], axis=1)
        if batch.rows and (keys == keys[0]).all():
            kinds, which = keys[:1], np.zeros(batch.rows, np.int64)
        else:
            kinds, which = np.unique(keys, axis=0, return_inverse=True)
        for number, key in enumerate(kinds):
            sizes = tuple(zip(names, (int(size) for size in key[1:]), strict=True))
            yield Program(int(key[0]), sizes), np.flatnonzero(which == number)

    def _encode(self, results: compiled.Results, has_results: np.ndarray) -> list[pa.Array]:
        return [
            encoding.encode(
                column,
                results.values[column.name],
                results.present.get(column.name, True) & has_results,
                results.lengths,
                self.plan.job.compute.precision,
            )
            for column in self.kernel.outputs
        ]


def _in_order(encoded: list[list[pa.Array]], order: np.ndarray) -> list[pa.Array]:
    """The batches' arrays, column by column, put back into the order of the rows."""
    columns = [pa.concat_arrays(arrays) for arrays in zip(*encoded, strict=True)]
    if (order[1:] > order[:-1]).all():
        return columns
    back = pa.array(np.argsort(order))
    return [column.take(back) for column in columns]


def _reason(error: BaseException) -> str:
    what = error.what if isinstance(error, JaxbatchError) else f"{type(error).__name__}: {printable(error)}"
    return what.replace("\n", " ")[:500]
