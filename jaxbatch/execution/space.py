"""Whether an output fits its disk, judged before the first part."""

import logging
from collections.abc import Mapping

import pyarrow as pa

from jaxbatch.errors import OutputError
from jaxbatch.planning.plan import Plan
from jaxbatch.storage import Store

SHRINKS = 4
"""Numbers are not compressed to less than a so-manieth, but for those that are nearly all the same."""

_LOG = logging.getLogger(__name__)


def check_space(plan: Plan, todo: Mapping[int, list[int]], store: Store) -> None:
    """Refuse parts that cannot all fit, and warn of those that may not.

    Counted are the columns of fixed width, so what is refused would certainly have failed.

    Raises:
        OutputError: there is too little space.
    """
    free = store.free()
    if free is None:
        return
    rows = sum(part.rows for shard in plan.shards for part in shard.parts if part.index in todo.get(shard.index, ()))
    needed = rows * sum(_width(field.type) for field in plan.schema)
    least = needed if plan.job.output.compression == "none" else needed // SHRINKS
    said = f"{store.url} has {_mib(free)} free, and the parts still to be written hold {_mib(needed)} of numbers"
    if least > free:
        raise OutputError(f"{said}.", "Free some space, or choose another [output] path.")
    if needed > free:
        _LOG.warning("%s: it may run out of space.", said)


def _width(kind: pa.DataType) -> int:
    try:
        return kind.bit_width // 8
    except ValueError:  # of no fixed width
        return 0


def _mib(count: int) -> str:
    return f"{count / 2**20:,.1f} MiB"
