"""A shard's whole way: read, decode, compute, encode, publish — to its receipts."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from jaxbatch import __version__, batches, compiled, kernels, outputs, parts
from jaxbatch.columns import Status
from jaxbatch.errors import ClusterError
from jaxbatch.fingerprint import program_digest
from jaxbatch.parts import Receipt
from jaxbatch.planner import Plan
from jaxbatch.reading import Rows
from jaxbatch.shards import Part, Shard
from jaxbatch.traced import Program, precision, representative

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

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time of a block towards a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - started


class Worker:
    """One process's share of a run: its kernel, its compiled programs, its devices. Threads may share it."""

    def __init__(self, plan: Plan):
        self.plan = plan
        job = plan.job
        unbound = kernels.build(job)
        with precision(job.compute.precision, unbound):
            self.kernel = unbound.bind(plan.source)
        self._programs = compiled.Programs(
            self.kernel, job.compute.precision, batch_rows=job.compute.batch_rows, limit=plan.width_limit
        )
        digest = program_digest(self._programs.traced(program) for program in representative(self.kernel))
        if digest != plan.identity["program"] or __version__ != plan.identity["versions"]["jaxbatch"]:
            raise ClusterError(
                "A worker traces another program than the plan: its code or versions differ.",
                "Give every node the same files and the versions of constraints.txt.",
            )
        self._store = outputs.open_store(plan.output)
        self._devices = jax.local_devices()

    def run(self, shard: Shard, wanted: Sequence[int]) -> Outcome:
        """Write those of a shard's parts that are wanted. Failures are values; nothing is raised."""
        outcome = Outcome(shard.index)
        compiled_before = self._programs.compile_seconds
        device = self._devices[shard.index % len(self._devices)]
        left = [part for part in shard.parts if part.index in wanted]
        try:
            rows = Rows(self.plan.files, shard.row_groups, self.plan.read, self.plan.chunk_rows)
            position = 0
            for part in list(left):
                with outcome.stage("read"):
                    rows.skip(part.start - position, self.plan.chunk_rows)
                position = part.start + part.rows
                outcome.receipts.append(self._write(part, rows, device, outcome))
                left.remove(part)
        except Exception as error:
            outcome.failures = [Failure(part.index, _reason(error)) for part in left]
        compiling = self._programs.compile_seconds - compiled_before
        if compiling:
            outcome.stages["compile"] = compiling
            outcome.stages["compute"] = max(0.0, outcome.stages.get("compute", 0.0) - compiling)
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
            batches.encode(
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


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".replace("\n", " ")[:500]
