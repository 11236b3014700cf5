"""The stage ``rows``: a part with one row for every row of the input."""

import numpy as np
import pyarrow as pa

from jaxbatch.execution.parts.built import BuiltPart
from jaxbatch.execution.parts.context import PartContext
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.planning.stage_plans import RowPlan


def build(process: WorkerProcess, stage: RowPlan, context: PartContext) -> BuiltPart:
    """Compute a part's rows, chunk by chunk.

    Raises:
        MemoryLimitExceeded: its results do not fit in memory.
    """
    del stage
    plan = process.plan
    schema = plan.schema.remove(len(plan.schema) - 1)

    def evaluate(chunk: pa.Table, result: ShardResult) -> tuple[pa.Table, np.ndarray]:
        outputs, status = process.row_computer.rows(chunk, context.device, result)
        kept = [chunk.column(name) for name in plan.keep]
        with result.stage("encode"):
            table = pa.Table.from_arrays([*kept, *outputs], schema=schema)
        context.reserve(table.nbytes)
        return table, status

    empty = (pa.Table.from_batches([], schema), np.zeros(0, np.int8))
    tables, statuses = zip(empty, *context.map_chunks(plan.chunk_rows, evaluate), strict=True)
    return BuiltPart(pa.concat_tables(tables), np.concatenate(statuses))
