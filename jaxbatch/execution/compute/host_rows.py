"""A table of rows → the outputs of a kernel that NumPy computes, and the rows' statuses."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.batches import decode
from jaxbatch.columns import STATUS, Status
from jaxbatch.execution.compute.encoding import encoded_batch, in_order
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.kernels.base import dimensions
from jaxbatch.kernels.host import HostKernel
from jaxbatch.kernels.results import Results, results_of
from jaxbatch.planning.plan import WorkerPlan


class HostRows:
    """Computes a plan's rows by NumPy: all rows whose inner lists have one padded size at once, whatever their length.

    Args:
        plan: the plan.
        kernel: its kernel, in one stage or two.
    """

    def __init__(self, plan: WorkerPlan, kernel: HostKernel):
        self._plan = plan
        self._kernel = kernel

    def rows(self, table: pa.Table, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """The results for a table's rows, in their order: an Arrow array a column, and statuses (int8, one a row)."""
        del device
        kernel, precision = self._kernel, self._plan.job.compute.precision
        assert kernel.ragged is not None
        with shard_result.stage("decode"):
            given = (table, kernel.inputs, self._plan.names, self._plan.source.constants, precision, kernel.drop_nulls)
            batch = decode.decode(*given, x64=kernel.needs_x64)
        status = batch.status.copy()
        order: list[np.ndarray] = []
        encoded: list[list[pa.Array]] = []
        for sizes, rows in self._by_size(batch):
            with shard_result.stage("decode"):
                columns, lengths = decode.end_to_end(batch, kernel.inputs, rows, sizes, kernel.ragged)
            with shard_result.stage("compute"):
                results = self._computed(columns, lengths)
            status[rows] = np.maximum(status[rows], results.status)
            with shard_result.stage("encode"):
                order.append(rows)
                encoded.append(encoded_batch(kernel.results, results, status[rows], precision))
        with shard_result.stage("encode"):
            return in_order(encoded, np.concatenate(order)), status

    def _by_size(self, batch: decode.DecodedRows) -> Iterator[tuple[dict[str, int], np.ndarray]]:
        """The numbers of a batch's rows, ascending, by the sizes of their named dimensions but the ragged one.

        There are no more at once than the kernel allows. Rows that cannot be computed go with the first of the others.
        """
        names = [name for name in dimensions(self._kernel.inputs) if name != self._kernel.ragged]
        usable = batch.status == Status.ok
        lengths = {name: batch.dimensions[name] for name in names}
        sizes = np.stack([np.zeros(batch.rows, np.int64), *(self._kernel.size(*each) for each in lengths.items())], 1)
        if usable.any():
            sizes[~usable] = sizes[np.argmax(usable)]
        kinds, which = np.unique(sizes, axis=0, return_inverse=True)
        for number, kind in enumerate(kinds):
            own, rows = dict(zip(names, kind[1:].tolist(), strict=True)), np.flatnonzero(which == number)
            most = self._kernel.most_rows(own)
            for start in range(0, len(rows), most):
                yield own, rows[start : start + most]

    def _computed(self, columns: Mapping[str, np.ndarray], lengths: np.ndarray) -> Results:
        outputs = self._kernel.compute(columns, lengths)
        then = self._kernel.second_stage
        if then is None:
            return results_of(self._kernel.outputs, outputs, self._plan.job.compute.precision)
        assert isinstance(then, HostKernel)
        results = then.compute({name: outputs[name] for name in outputs if name != STATUS}, None)
        worse = np.maximum(np.asarray(outputs[STATUS]), np.asarray(results[STATUS]))
        return results_of(then.outputs, {**results, STATUS: worse}, self._plan.job.compute.precision)
