"""Whether an output fits its disk, checked before the first part."""

import logging
from collections.abc import Mapping

import pyarrow as pa

from jaxbatch.errors import OutputError, readable_bytes
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.stage_plans import StagePlan
from jaxbatch.storage import Store

MAX_COMPRESSION_RATIO = 4
"""Compression makes numbers at most this many times smaller, unless they are nearly all the same."""

_LOG = logging.getLogger(__name__)


def check_space(plan: Plan, stage: StagePlan, todo: Mapping[int, list[int]], store: Store) -> None:
    """Refuse to compute parts that cannot all fit, and warn if they may not.

    Only columns of fixed width count, and rows that are known beforehand: what is refused would certainly have failed.

    Raises:
        OutputError: there is too little space.
    """
    free = store.free()
    if free is None:
        return
    rows = sum(
        stage.rows_of(part) or 0
        for shard in stage.shards
        for part in shard.parts
        if part.index in todo.get(shard.index, ())
    )
    needed = rows * sum(_width(field.type) for field in plan.schema)
    least = needed if plan.job.output.compression == "none" else needed // MAX_COMPRESSION_RATIO
    numbers = f"the parts still to be written hold {readable_bytes(needed)} of numbers"
    said = f"{store.url} has {readable_bytes(free)} free, and {numbers}"
    if least > free:
        raise OutputError(f"{said}.", "Free some space, or choose another [output] path.")
    if needed > free:
        _LOG.warning("%s: it may run out of space.", said)


def _width(kind: pa.DataType) -> int:
    try:
        return kind.bit_width // 8
    except ValueError:  # texts and lists have no fixed width
        return 0
