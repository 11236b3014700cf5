"""One part while it is computed: its rows, its device, and what it may take of the process that computes it."""

from collections.abc import Callable, Hashable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from jaxbatch.execution.compute_slots import ComputeSlots
from jaxbatch.execution.parallel_map import parallel_map
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.input.read_limits import READ_BYTES
from jaxbatch.input.row_reader import Rows, long_bytes
from jaxbatch.input.row_steps import OpenSteps
from jaxbatch.input.shards import Part

Result = TypeVar("Result")


@dataclass(frozen=True)
class PartContext:
    """A part that is being computed, and on whose behalf."""

    part: Part
    rows: Rows | None
    """The reader of its rows; None where statistics are merged."""
    steps: OpenSteps
    """Choose among the rows that are read, and join columns to them."""
    device: Any
    result: ShardResult
    """The result of its shard, to which it adds the seconds of each stage."""
    owner: Hashable
    """The attempt at its shard, by which compute slots and memory know it."""
    slots: ComputeSlots
    reserve: Callable[[int], None]
    """Reserves host memory: called with the bytes of each chunk's results."""
    exclusive: bool
    """Whether it is the second try, without other parts beside it, because there was too little memory."""

    def map_chunks(
        self, step: int, work: Callable[[pa.Table, ShardResult], Result], enough: int | None = None
    ) -> list[Result]:
        """``work`` for each chunk of at most ``step`` rows, in the order of the rows.

        Several threads compute where compute slots are free. Each chunk has a result of its own for its seconds. See
        :meth:`~jaxbatch.input.row_reader.Rows.take` for ``enough``.
        """

        def timed(chunk: pa.Table) -> tuple[Result, ShardResult]:
            result = ShardResult(self.result.shard)
            with result.stage("join"):
                rows = self.steps.joined(chunk)
            return work(rows, result), result

        computed = parallel_map(timed, self._chunks(step, enough), self._spare_slot)
        for _, result in computed:
            self.result.include(result)
        return [value for value, _ in computed]

    def _chunks(self, step: int, enough: int | None) -> Iterator[pa.Table]:
        """Tables of ``step`` rows that are to be computed and a last one of fewer; smaller ones where rows are long."""
        if not self.steps.choose:
            yield from self._read(step, enough)
            return
        gathered: list[pa.Table] = []
        rows = size = 0
        for table in self._read(step, None):
            with self.result.stage("where"):
                chosen = self.steps.chosen(table)
            if not chosen.num_rows:
                continue
            gathered.append(chosen)
            rows, size = rows + chosen.num_rows, size + long_bytes(chosen)
            if rows >= step or size >= READ_BYTES:
                full = pa.concat_tables(gathered)
                yield full.slice(0, step).combine_chunks()
                gathered = [full.slice(step)] if rows > step else []
                rows, size = max(rows - step, 0), sum(map(long_bytes, gathered))
        if rows:
            yield pa.concat_tables(gathered).combine_chunks()

    def _read(self, step: int, enough: int | None) -> Iterator[pa.Table]:
        assert self.rows is not None
        missing = self.part.rows
        while missing > 0:
            with self.result.stage("read"):
                table = self.rows.take(min(missing, step), enough)
            missing -= table.num_rows
            yield table

    def _spare_slot(self) -> ExitStack | None:
        """A compute slot for one more thread; None where others want it, or where memory is too short for haste."""
        return None if self.exclusive else self.slots.try_acquire(self.owner)
