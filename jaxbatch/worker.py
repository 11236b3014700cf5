"""A shard's whole way: read, decode, compute, encode, publish — to its receipts."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
import pyarrow as pa

from jaxbatch import compiled, kernels, outputs, parts
from jaxbatch.columns import Status
from jaxbatch.differences import differences
from jaxbatch.errors import ClusterError, JaxbatchError, printable
from jaxbatch.evaluation import Evaluation
from jaxbatch.fingerprint import code_identity
from jaxbatch.outcome import Failure, Outcome
from jaxbatch.parts import Receipt
from jaxbatch.planner import Plan
from jaxbatch.reading import Rows
from jaxbatch.shards import Part, Shard
from jaxbatch.traced import precision

_STATUSES = pa.array([status.name for status in Status], pa.string())


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
        self._evaluation = Evaluation(plan, self.kernel, self._programs)
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
            results, status = self._evaluation.rows(table, device, outcome)
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


def _reason(error: BaseException) -> str:
    what = error.what if isinstance(error, JaxbatchError) else f"{type(error).__name__}: {printable(error)}"
    return what.replace("\n", " ")[:500]
