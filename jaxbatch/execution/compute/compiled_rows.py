"""A table of rows → the kernel's outputs for each, and their statuses."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.batches import decode
from jaxbatch.batches.places import places
from jaxbatch.columns import Column, Status
from jaxbatch.compilation.programs import Programs
from jaxbatch.errors import JobError
from jaxbatch.execution.compute.encoding import encoded_batch, in_order
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.program_key import ProgramKey
from jaxbatch.kernels.results import Results
from jaxbatch.planning.plan import WorkerPlan

Batch = tuple[np.ndarray, Results]
"""Which rows were computed, and their results."""


class CompiledRows:
    """Computes a plan's rows: grouped by program, batch by batch, in the kernel's one stage or two."""

    def __init__(self, plan: WorkerPlan, kernel: Kernel, programs: Programs):
        self._plan = plan
        self._kernel = kernel
        self._programs = programs

    def rows(self, table: pa.Table, device: Any, shard_result: ShardResult) -> tuple[list[pa.Array], np.ndarray]:
        """The results for a table's rows, in their order: an Arrow array a column, and statuses (int8, one a row)."""
        kernel = self._kernel
        with shard_result.stage("decode"):
            batch = decode.decode(
                table,
                kernel.inputs,
                self._plan.names,
                self._plan.source.constants,
                self._plan.job.compute.precision,
                kernel.drop_nulls,
                x64=kernel.needs_x64,
            )
            groups = list(self._by_program(batch))
        self._programs.prepare_all((program for program, _ in groups), device)
        status = batch.status.copy()
        computed = self._first_stage(batch, groups, status, device, shard_result)
        if self._programs.second_stage:
            computed = self._second_stage(self._programs.second_stage, list(computed), status, device, shard_result)
        order: list[np.ndarray] = []
        encoded: list[list[pa.Array]] = []
        for rows, results in computed:
            with shard_result.stage("encode"):
                order.append(rows)
                its = status[places(rows)]
                encoded.append(encoded_batch(kernel.results, results, its, self._plan.job.compute.precision))
        with shard_result.stage("encode"):
            return in_order(encoded, np.concatenate(order) if order else np.arange(0)), status

    def _by_program(self, batch: decode.DecodedRows) -> Iterator[tuple[ProgramKey, np.ndarray]]:
        """The numbers of a batch's rows by the program that computes them, ascending.

        Raises:
            JobError: the kernel's bucket() is outside the buckets that it declares.
        """
        numbers = {name: values for name, values in batch.columns.items() if isinstance(values, np.ndarray)}
        given = np.asarray(self._kernel.bucket(numbers))
        if given.shape == () and given == 0 and not batch.dimensions:
            yield ProgramKey(0, ()), np.arange(batch.rows)
            return
        buckets = np.broadcast_to(given, (batch.rows,))
        buckets = np.where(batch.status == Status.ok, buckets, 0)
        if batch.rows and not 0 <= buckets.min() <= buckets.max() < self._kernel.buckets:
            name = type(self._kernel).__name__
            raise JobError(
                f"{name}.bucket() gives {buckets.max()}, but {name} declares {self._kernel.buckets} buckets.",
                "Return 0 … buckets - 1.",
            )
        names = tuple(batch.dimensions)
        keys = np.stack([buckets, *(self._kernel.size(name, batch.dimensions[name]) for name in names)], axis=1)
        if batch.rows and (keys == keys[0]).all():
            kinds, which = keys[:1], np.zeros(batch.rows, np.int64)
        else:
            kinds, which = np.unique(keys, axis=0, return_inverse=True)
        for number, key in enumerate(kinds):
            sizes = tuple(zip(names, (int(size) for size in key[1:]), strict=True))
            yield ProgramKey(int(key[0]), sizes), np.flatnonzero(which == number)

    def _first_stage(
        self,
        batch: decode.DecodedRows,
        groups: Sequence[tuple[ProgramKey, np.ndarray]],
        status: np.ndarray,
        device: Any,
        shard_result: ShardResult,
    ) -> Iterator[Batch]:
        for program, rows in groups:
            width = self._programs.width(program)
            for start in range(0, len(rows), width):
                taken = rows[start : start + width]
                with shard_result.stage("decode"):
                    arrays = decode.gather(batch, self._kernel.inputs, taken, dict(program.sizes))
                count_padding(program, arrays, width, shard_result)
                yield taken, run_batch(self._programs, program, arrays, device, shard_result, status, taken)

    def _second_stage(
        self,
        programs: Programs,
        first: Sequence[Batch],
        status: np.ndarray,
        device: Any,
        shard_result: ShardResult,
    ) -> Iterator[Batch]:
        """Run the second stage on results of the first, grouped by the sizes of their arrays, of whatever program."""
        by_sizes: dict[ProgramKey, list[Batch]] = {}
        for batch in first:
            by_sizes.setdefault(ProgramKey(0, sizes_of(programs.kernel.inputs, batch[1].values)), []).append(batch)
        for program, found in by_sizes.items():
            rows = np.concatenate([rows for rows, _ in found])
            values = [{**results.values, **results.lengths} for _, results in found]
            arrays = {name: np.concatenate([each[name] for each in values]) for name in values[0]}
            for taken, part in in_batches(arrays, programs.width(program)):
                yield rows[taken], run_batch(programs, program, part, device, shard_result, status, rows[taken])


def run_batch(
    programs: Programs,
    program: ProgramKey,
    arrays: Mapping[str, np.ndarray],
    device: Any,
    shard_result: ShardResult,
    status: np.ndarray,
    rows: np.ndarray,
) -> Results:
    """Run one batch of at most a program's width, which is padded; the program is compiled at first use.

    ``status[rows]`` becomes the worse of what it was and of the results'. Rows for which the kernel needs it are
    recomputed by the next bucket's program.
    """
    results = _computed(programs, program, arrays, device, shard_result, len(rows))
    where = places(rows)
    status[where] = np.maximum(status[where], results.status)
    return results


def _computed(
    programs: Programs,
    program: ProgramKey,
    arrays: Mapping[str, np.ndarray],
    device: Any,
    shard_result: ShardResult,
    valid: int,
) -> Results:
    with shard_result.stage("decode"):
        wide = decode.pad_batch(arrays, programs.width(program))
    shard_result.add("compile", programs.prepare(program, device))
    results = programs.run(program, wide, valid, device, shard_result.stage)
    recompute = programs.kernel.needs_recompute(program.bucket, {**results.values, **results.lengths})
    if recompute is None or not recompute.any():
        return results
    if program.bucket + 1 >= programs.kernel.buckets:
        name = type(programs.kernel).__name__
        raise JobError(
            f"{name}.needs_recompute() returns rows of the last bucket.", "There is no later bucket to compute them in."
        )
    rows = np.flatnonzero(recompute)
    again = {name: array[rows] for name, array in arrays.items()}
    following = replace(program, bucket=program.bucket + 1)
    return results.replaced(rows, _computed(programs, following, again, device, shard_result, len(rows)))


def count_padding(program: ProgramKey, arrays: Mapping[str, np.ndarray], width: int, shard_result: ShardResult) -> None:
    """Count the elements of a batch's lists, and of the padded batch."""
    if program.sizes:
        shard_result.elements += int(np.prod(np.stack([arrays[name] for name, _ in program.sizes]), axis=0).sum())
        shard_result.padded_elements += width * math.prod(size for _, size in program.sizes)


def in_batches(arrays: Mapping[str, np.ndarray], width: int) -> Iterator[tuple[slice, dict[str, np.ndarray]]]:
    """Arrays of equal length, ``width`` rows at a time, with the slice of each."""
    rows = len(next(iter(arrays.values())))
    for start in range(0, rows, width):
        taken = slice(start, min(start + width, rows))
        yield taken, {name: array[taken] for name, array in arrays.items()}


def sizes_of(columns: Sequence[Column], arrays: Mapping[str, np.ndarray]) -> tuple[tuple[str, int], ...]:
    """The sizes of the columns' named dimensions in padded arrays."""
    sizes: dict[str, int] = {}
    for column in columns:
        for size, actual in zip(column.shape, arrays[column.name].shape[1:], strict=True):
            if isinstance(size, str):
                sizes[size] = actual
    return tuple(sizes.items())
