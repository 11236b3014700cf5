"""A part in the making: what a worker has at hand while it computes one."""

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.input.row_reader import Rows
from jaxbatch.input.shards import Part


@dataclass(frozen=True)
class PartContext:
    """A part in the making, and whose it is."""

    part: Part
    rows: Rows | None
    """Where its rows are read; None where statistics are merged."""
    device: Any
    outcome: ShardResult
    owner: Hashable
    reserve: Callable[[int], None]
    """Called with the bytes that its results hold."""
    exclusive: bool
    """Whether it was begun once before, and there was too little memory for it beside others."""

    def chunks(self, step: int) -> Iterator[pa.Table]:
        """Its rows, so many at a time."""
        assert self.rows is not None
        missing = self.part.rows
        while missing > 0:
            with self.outcome.stage("read"):
                table = self.rows.take(min(missing, step))
            missing -= table.num_rows
            yield table
