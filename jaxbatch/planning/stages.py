"""How groups are put together: whole in their shards, or in a second stage."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from jaxbatch.input.file_checks import InputTable
from jaxbatch.input.ranges import ranges_disjoint
from jaxbatch.input.shards import Shard
from jaxbatch.kernels.base import Kernel
from jaxbatch.planning import naming
from jaxbatch.planning.naming import NamedColumns
from jaxbatch.planning.plan import Stage


@dataclass(frozen=True)
class Stages:
    """What a plan says of its stages; its fields are those of :class:`~jaxbatch.planning.plan.Plan`."""

    stage: Stage = "rows"
    partial_schema: pa.Schema = field(default_factory=lambda: pa.schema([]))
    disjoint_key: str | None = None
    buckets: int = 1
    partials: int = 0


def choose_stages(
    kernel: Kernel, opened: InputTable, shards: Sequence[Shard], columns: NamedColumns, rows_per_part: int
) -> Stages:
    """One stage for rows, and for groups that are whole in their shard as footers show; else two.

    Raises:
        InputError: a file has changed since its footer was read, or cannot be read.
    """
    if kernel.grouping is None:
        return Stages()
    keys = [columns.stored[name] for name in kernel.grouping.by]
    rows_schema = columns.steps.with_added(opened.schema)
    schema = naming.partial_schema(kernel, [rows_schema.field(name).type for name in keys])
    parts = sum(len(shard.parts) for shard in shards)
    in_files = [name for name in keys if parts > 1 and name in opened.schema.names]
    disjoint_key = next((name for name in in_files if ranges_disjoint(opened.files, shards, name)), None)
    if parts == 1 or disjoint_key is not None:
        return Stages("groups", schema, disjoint_key)
    rows = sum(shard.rows for shard in shards)
    buckets = max(1, -(-rows // rows_per_part)) if keys else 1
    return Stages("partials", schema, buckets=buckets, partials=parts)
