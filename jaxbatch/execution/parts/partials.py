"""The stage ``partials``: a part with one statistic for every group that a shard's rows meet, for the merge to read."""

import pyarrow as pa

from jaxbatch.execution.compute import aggregation
from jaxbatch.execution.parts.built import BuiltPart
from jaxbatch.execution.parts.context import PartContext
from jaxbatch.execution.shard_result import ShardResult
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.output import part_file
from jaxbatch.planning.stage_plans import PartialsPlan

GROUPED_ROWS = 1 << 20
"""Rows in a chunk where rows are grouped: the more, the fewer statistics to merge."""

GROUPED_BYTES = 1 << 28
"""The most bytes that a chunk's statistics may have, were each row a group of its own."""


def build(process: WorkerProcess, stage: PartialsPlan, context: PartContext) -> BuiltPart:
    """A part of statistics, with a row group for each bucket of the merge."""
    statistics = compute_partials(process, context)
    in_buckets = aggregation.in_buckets(statistics, len(process.plan.keep), stage.buckets)
    table, row_groups = part_file.in_row_groups(*in_buckets)
    return BuiltPart(table, row_groups=tuple(row_groups))


def compute_partials(process: WorkerProcess, context: PartContext) -> pa.Table:
    """The statistic of every group that a part's rows meet: a table of the plan's ``partial_schema``."""
    plan, groups = process.plan, process.aggregation
    bytes_each = sum(value.nbytes for value in process.kernel.empty_state().values())
    step = max(min(GROUPED_ROWS, GROUPED_BYTES // bytes_each) if plan.keep else 0, plan.chunk_rows)

    def summarize(chunk: pa.Table, result: ShardResult) -> pa.Table:
        return groups.partials(chunk, context.device, result)

    tables = context.map_chunks(step, summarize) or [pa.Table.from_batches([], plan.partial_schema)]
    with context.result.stage("merge"):
        return tables[0] if len(tables) == 1 else groups.combined(tables)
