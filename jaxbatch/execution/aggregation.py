"""Rows that are observations → one statistic per group; statistics of groups → their fits."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.batches import decode, encode
from jaxbatch.batches.grouping import Groups, buckets_of, groups_of, sorted_order, stable_order
from jaxbatch.columns import Status
from jaxbatch.compilation.programs import Programs, compile_in_background
from jaxbatch.execution.evaluation import count_padding, encoded_batch, in_batches, run_batch, sizes_of
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.input.arrow_arrays import one_chunk, to_arrow, to_numpy
from jaxbatch.kernels.base import Grouping, Kernel
from jaxbatch.kernels.program_key import ProgramKey
from jaxbatch.planning.plan import Plan

BLOCK_ROWS = (4096, 256)
"""Rows in a block, the largest first: a larger group is computed in blocks, and their statistics are merged."""

_STATUS = "status"

Arrays = dict[str, np.ndarray]


class Aggregation:
    """Computes one row per group from a plan's observations."""

    def __init__(self, plan: Plan, kernel: Kernel, programs: Programs):
        assert kernel.grouping is not None
        assert kernel.second_stage is not None
        assert programs.second_stage is not None
        self._plan = plan
        self._kernel = kernel
        self._grouping: Grouping = kernel.grouping
        self._second_stage = kernel.second_stage
        self._programs = programs
        self._second_programs = programs.second_stage

    def prepare_ahead(self, device: Any) -> None:
        """Compile the second stage's program while the first shards are read."""
        empty = {name: value[None] for name, value in self._kernel.empty_state().items() if name != _STATUS}
        compile_in_background(
            self._second_programs.prepare, ProgramKey(0, sizes_of(self._second_stage.inputs, empty)), device
        )

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
        lengths, owner = _cut_into_blocks(counts)
        statistics = self._blocks(columns, order, lengths, device, shard_result)
        with shard_result.stage("merge"):
            merged = self._placed(merge_runs(self._kernel, statistics, owner), np.unique(owner), len(groups))
            merged[_STATUS] = np.maximum(merged[_STATUS], status)
            return _with_statistics(groups.keys, merged, plan.partial_schema)

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

    def fits(self, statistics: Arrays, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """The second stage's results for groups: an Arrow array a column, and statuses (int8, one a group)."""
        arrays = {name: values for name, values in statistics.items() if name != _STATUS}
        status = statistics[_STATUS].astype(np.int8)
        program = ProgramKey(0, sizes_of(self._second_stage.inputs, arrays))
        arrays |= {name: np.full(len(status), size) for name, size in program.sizes}
        precision = self._plan.job.compute.precision
        encoded: list[list[pa.Array]] = []
        for taken, part in in_batches(arrays, self._second_programs.width(program)):
            rows = np.arange(taken.start, taken.stop)
            results = run_batch(self._second_programs, program, part, device, shard_result, status, rows)
            with shard_result.stage("encode"):
                encoded.append(encoded_batch(self._second_stage.outputs, results, status[rows], precision))
        if not encoded:
            return [pa.nulls(0, encode.arrow_type(column, precision)) for column in self._second_stage.outputs], status
        return [pa.concat_arrays(arrays) for arrays in zip(*encoded, strict=True)], status

    def _blocks(
        self,
        columns: Mapping[str, np.ndarray],
        order: np.ndarray | None,
        lengths: np.ndarray,
        device: Any,
        shard_result: ShardResult,
    ) -> Arrays:
        """The statistic of every block. ``lengths`` has the rows of each; blocks follow each other along ``order``."""
        kernel, programs = self._kernel, self._programs
        status = np.zeros(len(lengths), np.int8)
        found: Arrays = {}
        starts = np.cumsum(lengths) - lengths
        sizes = kernel.size("n", lengths)
        for size in np.unique(sizes):
            blocks = np.flatnonzero(sizes == size)
            program = ProgramKey(0, (("n", int(size)),))
            width = programs.width(program)
            for start in range(0, len(blocks), width):
                taken = blocks[start : start + width]
                with shard_result.stage("decode"):
                    place = _places(starts[taken], lengths[taken], int(size), order)
                    arrays = {name: _cut(values, place, int(size)) for name, values in columns.items()}
                    arrays["n"] = lengths[taken]
                count_padding(program, arrays, width, shard_result)
                results = run_batch(programs, program, arrays, device, shard_result, status, taken)
                for name, values in results.values.items():
                    if name not in found:
                        found[name] = np.empty((len(lengths), *values.shape[1:]), values.dtype)
                    found[name][taken] = values
        if not found:
            found = self._placed({}, np.zeros(0, np.int64), len(lengths))
        return {**found, _STATUS: status}

    def _placed(self, statistics: Arrays, places: np.ndarray, count: int) -> Arrays:
        """Statistics at their places among ``count``; at the others, the statistic of no observations."""
        empty = self._kernel.empty_state()
        placed = {name: np.repeat(value[None], count, axis=0) for name, value in empty.items()}
        for name, values in statistics.items():
            placed[name][places] = values
        return placed


def merge_runs(kernel: Kernel, statistics: Arrays, owners: np.ndarray) -> Arrays:
    """Merge the statistics of each run of equal ``owners``: neighbours in pairs, then the pairs, and so on.

    So the order of merging follows from the order of the statistics alone.
    """
    while len(owners) and (owners[1:] == owners[:-1]).any():
        first = np.r_[True, owners[1:] != owners[:-1]]
        starts = np.maximum.accumulate(np.where(first, np.arange(len(owners)), 0))
        even = (np.arange(len(owners)) - starts) % 2 == 0
        left = np.flatnonzero(even[:-1] & ~even[1:])
        pairs = kernel.merge(
            {name: values[left] for name, values in statistics.items()},
            {name: values[left + 1] for name, values in statistics.items()},
        )
        kept = np.flatnonzero(even)
        places = np.searchsorted(kept, left)
        statistics = {name: values[kept] for name, values in statistics.items()}
        for name, values in pairs.items():
            statistics[name][places] = values
        owners = owners[kept]
    return statistics


def in_buckets(table: pa.Table, keys: int, buckets: int) -> tuple[pa.Table, list[int]]:
    """A table of partials sorted by bucket, and how many rows each bucket has. Its first ``keys`` columns are keys."""
    bucket = buckets_of(table.select(table.column_names[:keys]), buckets)
    order = stable_order(bucket, buckets)
    return table.take(to_arrow(order)), np.bincount(bucket, minlength=buckets).tolist()


def _cut_into_blocks(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Cut groups of ``counts`` rows into blocks: the length of each block, and the number of its group."""
    lengths, numbers, left = [], [], counts
    for rows in BLOCK_ROWS:
        lengths.append(np.full(len(counts), rows))
        numbers.append(left // rows)
        left = left % rows
    lengths.append(left)
    numbers.append(left > 0)
    of_group = np.stack(numbers, axis=1)
    return np.repeat(np.stack(lengths, axis=1), of_group.ravel()), np.repeat(np.arange(len(counts)), of_group.sum(1))


def _places(starts: np.ndarray, lengths: np.ndarray, size: int, order: np.ndarray | None) -> "np.ndarray | slice":
    """Where the rows of some blocks are: ``[blocks, size]`` places, with a block's last row repeated; or one slice."""
    if order is None and (lengths == size).all() and (np.diff(starts) == size).all():
        return slice(int(starts[0]), int(starts[-1]) + size)
    within = np.minimum(np.arange(size), lengths[:, None] - 1) + starts[:, None]
    return within if order is None else order[within]


def _cut(values: np.ndarray, place: "np.ndarray | slice", size: int) -> np.ndarray:
    """A column's values in blocks: ``[blocks, size]``."""
    return values[place].reshape(-1, size) if isinstance(place, slice) else values.take(place)


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
