"""Rows that are observations → a table with one statistic per group; such tables merged.

What computes statistics and fits, compiled programs or NumPy, is a :class:`GroupComputer`.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from jaxbatch.batches import decode
from jaxbatch.batches.grouping import Groups, buckets_of, groups_of, sorted_order, stable_order
from jaxbatch.columns import STATUS, Status
from jaxbatch.execution.compute.merging import Arrays, merge_runs
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.input.arrow_arrays import one_chunk, to_arrow, to_numpy
from jaxbatch.kernels.base import Grouping, Kernel
from jaxbatch.planning.plan import WorkerPlan


class GroupComputer(Protocol):
    """Computes a kernel's two stages for groups."""

    def prepare_ahead(self, device: Any) -> None:
        """Begin in the background with what the first groups will need."""
        ...

    def statistics(
        self,
        columns: Mapping[str, np.ndarray],
        order: np.ndarray | None,
        counts: np.ndarray,
        device: Any,
        shard_result: ShardResult,
    ) -> Arrays:
        """The statistic of every group, and its status.

        Args:
            columns: the observations by the names of the kernel's inputs, of shape [rows].
            order: their numbers, group by group; None if they lie so already.
            counts: how many each group has, of shape [groups].
            device: the device that computes.
            shard_result: where seconds are added up.
        """
        ...

    def fits(self, statistics: Arrays, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """The second stage's results for groups: an Arrow array a column, and statuses (int8, one a group)."""
        ...


class Aggregation:
    """Groups a plan's observations, and merges statistics of groups.

    Args:
        plan: the plan.
        kernel: its kernel, with a grouping.
        groups: what computes statistics and fits.
    """

    def __init__(self, plan: WorkerPlan, kernel: Kernel, groups: GroupComputer):
        assert kernel.grouping is not None
        self.groups = groups
        self._plan = plan
        self._kernel = kernel
        self._grouping: Grouping = kernel.grouping

    def partials(self, table: pa.Table, device: Any, shard_result: ShardResult) -> pa.Table:
        """A table of partials: a row for each group that a table's rows belong to, with its keys and its statistic."""
        grouping, plan = self._grouping, self._plan
        with shard_result.stage("group"):
            groups = groups_of(table.select([plan.names[name] for name in grouping.by]))
        with shard_result.stage("decode"):
            given = (table, grouping.columns, plan.names, plan.source.constants, plan.job.compute.precision)
            batch = decode.decode(*given, x64=self._kernel.needs_x64)
        with shard_result.stage("group"):
            valid = batch.status == Status.ok
            status = np.zeros(len(groups), np.int8)
            if not valid.all():
                if not grouping.drop_nulls:
                    np.maximum.at(status, groups.of_row[~valid], batch.status[~valid])
                kept = np.flatnonzero(valid)
                groups = Groups(groups.keys, groups.of_row[kept])
                batch.columns = {name: values[kept] for name, values in batch.columns.items()}  # type: ignore[index]
            order, counts = groups.order() if len(groups) > 1 else None, groups.counts()
            observed = zip(self._kernel.inputs, grouping.columns, strict=True)
            columns = {own.name: np.asarray(batch.columns[given.name]) for own, given in observed}
        found = self.groups.statistics(columns, order, counts, device, shard_result)
        with shard_result.stage("merge"):
            found[STATUS] = np.maximum(found[STATUS], status)
            return _with_statistics(groups.keys, found, plan.partial_schema)

    def combined(self, tables: Iterable[pa.Table]) -> pa.Table:
        """One table of partials from several, merged in their order."""
        return _with_statistics(*self.merged(tables), self._plan.partial_schema)

    def merged(self, tables: Iterable[pa.Table]) -> tuple[pa.Table, Arrays]:
        """The sorted keys of the groups in some tables of partials, and their statistics, merged in table order."""
        table = pa.concat_tables(list(tables)).combine_chunks()
        names = table.column_names[: len(self._plan.keep)]
        groups = groups_of(table.select(names))
        order = groups.order()
        found = merge_runs(self._kernel, _statistics(table, len(names), order), groups.of_row[order])
        if not names:
            return groups.keys, found
        place = sorted_order(groups.keys)
        return groups.keys.take(to_arrow(place)), {name: values[place] for name, values in found.items()}


def in_buckets(table: pa.Table, keys: int, buckets: int) -> tuple[pa.Table, list[int]]:
    """A table of partials sorted by bucket, and how many rows each bucket has. Its first ``keys`` columns are keys."""
    bucket = buckets_of(table.select(table.column_names[:keys]), buckets)
    order = stable_order(bucket, buckets)
    return table.take(to_arrow(order)), np.bincount(bucket, minlength=buckets).tolist()


def _with_statistics(keys: pa.Table, statistics: Arrays, schema: pa.Schema) -> pa.Table:
    """A table of ``schema``: the keys first, then each statistic under its name."""
    arrays = [one_chunk(column) for column in keys.columns]
    for field in list(schema)[len(arrays) :]:
        values = np.ascontiguousarray(statistics[field.name])
        if pa.types.is_fixed_size_list(field.type):
            flat = to_arrow(values.reshape(-1)).cast(field.type.value_type)
            arrays.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
        else:
            arrays.append(to_arrow(values).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


def _statistics(table: pa.Table, keys: int, order: np.ndarray) -> Arrays:
    """The statistics of a table whose first ``keys`` columns are keys, its rows taken in ``order``."""
    found: Arrays = {}
    for field, column in list(zip(table.schema, table.columns, strict=True))[keys:]:
        values = one_chunk(column)
        if pa.types.is_fixed_size_list(field.type):
            array = to_numpy(values.flatten()).reshape(-1, field.type.list_size)
        else:
            array = to_numpy(values)
        found[field.name] = array[order]
    return found
