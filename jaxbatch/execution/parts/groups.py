"""The stage ``groups``: a part with one row for every group, where each group is whole in its shard."""

from collections.abc import Sequence

import pyarrow as pa

from jaxbatch.execution.parts.built import BuiltPart
from jaxbatch.execution.parts.context import PartContext
from jaxbatch.execution.parts.partials import compute_partials
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.planning.stage_plans import GroupPlan


def build(process: WorkerProcess, stage: GroupPlan, context: PartContext) -> BuiltPart:
    """Compute the statistics of a part's groups, and their fits at once."""
    del stage
    return fit_groups(process, context, [compute_partials(process, context)])


def fit_groups(process: WorkerProcess, context: PartContext, partials: Sequence[pa.Table]) -> BuiltPart:
    """A part with a fit for every group of some tables of statistics, which are merged in their order."""
    with context.result.stage("merge"):
        keys, statistics = process.aggregation.merged(partials)
    outputs, status = process.aggregation.groups.fits(statistics, context.device, context.result)
    schema = process.plan.schema.remove(len(process.plan.schema) - 1)
    return BuiltPart(pa.Table.from_arrays([*keys.columns, *outputs], schema=schema), status)
