"""A part is built, encoded and published: created under its name, whole or not at all."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from jaxbatch.batches import encode
from jaxbatch.execution.parts import groups, merge, partials, rows
from jaxbatch.execution.parts.built import BuiltPart
from jaxbatch.execution.parts.context import PartContext
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.failpoints import crash_point
from jaxbatch.output import ownership, part_file
from jaxbatch.output.encode_buffers import EncodeBuffer
from jaxbatch.output.publish import publish
from jaxbatch.output.receipt import Receipt
from jaxbatch.planning.plan import WorkerPlan
from jaxbatch.planning.stage_plans import GroupPlan, MergePlan, PartialsPlan, RowPlan, StagePlan

BUILDERS: Mapping[type[StagePlan], Callable[[WorkerProcess, Any, PartContext], BuiltPart | Receipt]] = {
    RowPlan: rows.build,
    GroupPlan: groups.build,
    PartialsPlan: partials.build,
    MergePlan: merge.build,
}


def write_part(process: WorkerProcess, stage: StagePlan, context: PartContext) -> Receipt:
    """Compute one part and publish it. A compute slot is held while it is built and encoded, none while it is written.

    Raises:
        MemoryLimitExceeded: its results do not fit in memory.
        ShardAbandoned: its attempt was abandoned meanwhile.
        OutputTaken: the output has become another run's.
        Exception: whatever a kernel, a file or the store raises.
    """
    with ExitStack() as until_published:
        with process.slots.acquire(context.owner):
            encoded = _build_and_encode(process, stage, context, until_published)
        if isinstance(encoded, Receipt):
            return encoded
        data, receipt = encoded
        crash_point("part.encoded")
        with context.result.stage("publish"):
            ownership.check_owner(process.store, process.plan.fingerprint, process.plan.records)
            publish(process.store, data, receipt)
        crash_point("part.published")
        return receipt


def _build_and_encode(
    process: WorkerProcess, stage: StagePlan, context: PartContext, until_published: ExitStack
) -> tuple[memoryview, Receipt] | Receipt:
    """The bytes of a part, in a buffer of its own ``until_published``, and its receipt.

    The receipt alone of a part that is published already. The part's table is freed before the part is written.
    """
    built = BUILDERS[type(stage)](process, stage, context)
    if isinstance(built, Receipt):
        return built
    crash_point("part.read")
    with context.result.stage("encode"):
        buffer = until_published.enter_context(process.buffers.borrowed())
        return _encode(built, process.plan, stage.folder, context.part.index, buffer)


def _encode(
    built: BuiltPart, plan: WorkerPlan, folder: str, part: int, buffer: EncodeBuffer
) -> tuple[memoryview, Receipt]:
    table, counts = built.table, {}
    if built.status is not None:
        table, counts = encode.with_statuses(table, built.status, plan.schema)
    return part_file.encode(
        table,
        part=part,
        fingerprint=plan.fingerprint,
        compression=plan.job.output.compression,
        statuses=counts,
        folder=folder,
        row_groups=built.row_groups,
        buffer=buffer,
    )
