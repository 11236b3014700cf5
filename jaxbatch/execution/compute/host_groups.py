"""Groups computed by NumPy: a statistic for each, whatever its length, and then the fits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.columns import STATUS
from jaxbatch.execution.compute.encoding import encoded_batch, in_order
from jaxbatch.execution.compute.merging import Arrays, placed
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.kernels.base import dimensions
from jaxbatch.kernels.host import HostKernel
from jaxbatch.kernels.results import results_of


class HostGroups:
    """Computes groups with a kernel of NumPy's.

    Args:
        kernel: a kernel with a grouping.
        precision: the dtype of the results' floats, ``"float64"`` or ``"float32"``.
    """

    def __init__(self, kernel: HostKernel, precision: str):
        assert isinstance(kernel.second_stage, HostKernel)
        self._kernel = kernel
        self._second_stage = kernel.second_stage
        self._precision = precision

    def prepare_ahead(self, device: Any) -> None:
        """Nothing is compiled."""

    def statistics(
        self,
        columns: Mapping[str, np.ndarray],
        order: np.ndarray | None,
        counts: np.ndarray,
        device: Any,
        shard_result: ShardResult,
    ) -> Arrays:
        """See :class:`~jaxbatch.execution.compute.aggregation.GroupComputer`."""
        del device
        with shard_result.stage("compute"):
            found = dict(self._kernel.compute(columns, counts, order))
        for name in dimensions(self._kernel.outputs):
            del found[name]
        nonempty = np.flatnonzero(counts)
        if len(nonempty) == len(counts):
            return found
        return placed(self._kernel, {name: each[nonempty] for name, each in found.items()}, nonempty, len(counts))

    def fits(self, statistics: Arrays, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """See :class:`~jaxbatch.execution.compute.aggregation.GroupComputer`."""
        del device
        status = statistics[STATUS].astype(np.int8)
        given = {name: values for name, values in statistics.items() if name != STATUS}
        sizes: dict[str, int] = {}
        for column in self._second_stage.inputs:
            for size, actual in zip(column.shape, given[column.name].shape[1:], strict=True):
                sizes[str(size)] = actual
        most = self._second_stage.most_rows(sizes)
        found: list[list[pa.Array]] = []
        for start in range(0, max(len(status), 1), most):
            groups = slice(start, start + most)
            some = {name: values[groups] for name, values in given.items()}
            some |= {name: np.full(len(status[groups]), size) for name, size in sizes.items()}
            with shard_result.stage("compute"):
                outputs = self._second_stage.compute(some, None)
                worse = np.maximum(status[groups], np.asarray(outputs[STATUS]))
                results = results_of(self._second_stage.outputs, {**outputs, STATUS: worse}, self._precision)
            status[groups] = results.status
            with shard_result.stage("encode"):
                found.append(encoded_batch(self._second_stage.outputs, results, results.status, self._precision))
        with shard_result.stage("encode"):
            return in_order(found, np.arange(len(status))), status
