"""How groups are put together: whole in their shards, or in a second stage."""

from collections.abc import Sequence

from jaxbatch.input.file_checks import InputTable
from jaxbatch.input.ranges import ranges_disjoint
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.shards import Shard
from jaxbatch.kernels.base import Kernel
from jaxbatch.planning import naming
from jaxbatch.planning.naming import NamedColumns
from jaxbatch.planning.stage_plans import GroupPlan, PartialsPlan, RowPlan, StagePlan


def choose_stages(
    kernel: Kernel,
    opened: InputTable,
    shards: tuple[Shard, ...],
    columns: NamedColumns,
    steps: RowSteps,
    rows_per_part: int,
) -> tuple[StagePlan, ...]:
    """One stage for rows, and for groups that are whole in their shard as footers show; else two.

    Raises:
        InputError: a file has changed since its footer was read, or cannot be read.
    """
    if kernel.grouping is None:
        return (RowPlan(shards, steps.choose),)
    keys = [columns.stored[name] for name in kernel.grouping.by]
    types = steps.with_added(opened.schema)
    schema = naming.partial_schema(kernel, [types.field(name).type for name in keys])
    parts = sum(len(shard.parts) for shard in shards)
    disjoint_key = _disjoint_key(opened, shards, keys) if parts > 1 else None
    if parts == 1 or disjoint_key is not None:
        return (GroupPlan(shards, schema, disjoint_key),)
    rows = sum(shard.rows for shard in shards)
    first = PartialsPlan(shards, schema, max(1, -(-rows // rows_per_part)) if keys else 1)
    return first, first.merge()


def _disjoint_key(opened: InputTable, shards: Sequence[Shard], keys: Sequence[str]) -> str | None:
    """A key of which footers show that no value is in two shards."""
    stored = [name for name in keys if name in opened.schema.names]
    return next((name for name in stored if ranges_disjoint(opened.files, shards, name)), None)
