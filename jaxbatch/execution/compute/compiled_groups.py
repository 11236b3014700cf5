"""Groups computed by compiled programs: a statistic for each block of rows, one a group by merging, then the fits."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.batches import encode
from jaxbatch.columns import STATUS
from jaxbatch.compilation.background import compile_in_background
from jaxbatch.compilation.programs import Programs
from jaxbatch.execution.compute.compiled_rows import count_padding, in_batches, run_batch, sizes_of
from jaxbatch.execution.compute.encoding import encoded_batch
from jaxbatch.execution.compute.merging import Arrays, merge_runs, placed
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.program_key import ProgramKey

BLOCK_ROWS = (4096, 256)
"""Rows in a block, the largest first: a larger group is computed in blocks, and their statistics are merged."""


class CompiledGroups:
    """Computes groups with a kernel's programs.

    Args:
        kernel: a kernel with a grouping.
        programs: its programs.
        precision: the dtype of the results' floats, ``"float64"`` or ``"float32"``.
    """

    def __init__(self, kernel: Kernel, programs: Programs, precision: str):
        assert kernel.second_stage is not None
        assert programs.second_stage is not None
        self._kernel = kernel
        self._second_stage = kernel.second_stage
        self._programs = programs
        self._second_programs = programs.second_stage
        self._precision = precision

    def prepare_ahead(self, device: Any) -> None:
        """Compile the second stage's program."""
        empty = {name: value[None] for name, value in self._kernel.empty_state().items() if name != STATUS}
        compile_in_background(
            self._second_programs.prepare, ProgramKey(0, sizes_of(self._second_stage.inputs, empty)), device
        )

    def statistics(
        self,
        columns: Mapping[str, np.ndarray],
        order: np.ndarray | None,
        counts: np.ndarray,
        device: Any,
        shard_result: ShardResult,
    ) -> Arrays:
        """See :class:`~jaxbatch.execution.compute.aggregation.GroupComputer`."""
        lengths, owner = _cut_into_blocks(counts)
        found = self._blocks(columns, order, lengths, device, shard_result)
        with shard_result.stage("merge"):
            return placed(self._kernel, merge_runs(self._kernel, found, owner), np.unique(owner), len(counts))

    def fits(self, statistics: Arrays, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """See :class:`~jaxbatch.execution.compute.aggregation.GroupComputer`."""
        arrays = {name: values for name, values in statistics.items() if name != STATUS}
        status = statistics[STATUS].astype(np.int8)
        program = ProgramKey(0, sizes_of(self._second_stage.inputs, arrays))
        arrays |= {name: np.full(len(status), size) for name, size in program.sizes}
        encoded: list[list[pa.Array]] = []
        for taken, part in in_batches(arrays, self._second_programs.width(program)):
            rows = np.arange(taken.start, taken.stop)
            results = run_batch(self._second_programs, program, part, device, shard_result, status, rows)
            with shard_result.stage("encode"):
                encoded.append(encoded_batch(self._second_stage.outputs, results, status[rows], self._precision))
        if not encoded:
            return [
                pa.nulls(0, encode.arrow_type(column, self._precision)) for column in self._second_stage.outputs
            ], status
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
            found = placed(self._kernel, {}, np.zeros(0, np.int64), len(lengths))
        return {**found, STATUS: status}


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
