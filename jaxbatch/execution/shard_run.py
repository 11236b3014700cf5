"""One shard from its rows to its receipts: its parts, one after the other, and what becomes of each."""

from collections.abc import Hashable, Sequence
from contextlib import ExitStack

from jaxbatch.errors import JaxbatchError, OutputTaken, printable, readable_bytes
from jaxbatch.execution.compute_slots import ShardAbandoned
from jaxbatch.execution.host_memory import HostMemoryPool, MemoryLimitExceeded
from jaxbatch.execution.parts.context import PartContext
from jaxbatch.execution.parts.write_part import write_part
from jaxbatch.execution.shard_result import Failure, ShardResult
from jaxbatch.execution.worker import WorkerProcess
from jaxbatch.failpoints import crash_point
from jaxbatch.input.row_reader import Rows
from jaxbatch.input.shards import Shard
from jaxbatch.planning.plan import WorkerPlan
from jaxbatch.planning.stage_plans import GroupPlan, MergePlan, StagePlan


def run_shard(
    process: WorkerProcess,
    shard: Shard,
    wanted: Sequence[int],
    stage: str = "rows",
    attempt: Hashable | None = None,
) -> ShardResult:
    """Write the ``wanted`` parts of a shard of the stage of that name. Failures are values: nothing is raised.

    A part for which memory does not suffice beside others is tried a second time, without others. An ``attempt`` that
    is abandoned meanwhile (:meth:`WorkerProcess.abandon`) writes nothing more.
    """
    plan, its = process.plan, process.plan.stage(stage)
    crash_point("shard.begun")
    result = ShardResult(shard.index, process.name)
    owner = attempt or (stage, shard.index)
    rows: Rows | None = None
    for part in shard.parts:
        if part.index not in wanted:
            continue
        for exclusive in (False, True):
            try:
                if not isinstance(its, MergePlan):
                    rows = rows or _reader(plan, its, shard)
                    with result.stage("read"):
                        rows.seek(part.start)
                with ExitStack() as entered:
                    with process.slots.waiting(owner):
                        reserve = entered.enter_context(process.memory.part(owner, exclusive=exclusive))
                    device = process.device_of(shard.index)
                    context = PartContext(
                        part, rows, process.steps, device, result, owner, process.slots, reserve, exclusive
                    )
                    result.receipts.append(write_part(process, its, context))
                break
            except MemoryLimitExceeded:
                rows = None  # some were taken: what follows is read afresh
                if exclusive:
                    result.failures.append(Failure(part.index, _too_large(process.memory)))
            except ShardAbandoned:
                return result
            except OutputTaken as error:
                ended = {receipt.part for receipt in result.receipts} | {each.part for each in result.failures}
                result.failures += [Failure(each, error.what) for each in wanted if each not in ended]
                return result
            except BaseException as error:  # the user's code may raise SystemExit, which would end a thread unseen
                result.failures.append(Failure(part.index, _reason(error)))
                rows = None
                break
    result.add("queue", process.slots.forget(owner))
    result.compilations, result.compile_s = process.programs.compilations, process.programs.seconds
    crash_point("shard.done")
    return result


def _reader(plan: WorkerPlan, its: StagePlan, shard: Shard) -> Rows:
    ranged = its.disjoint_key if isinstance(its, GroupPlan) else None
    numbered = plan.steps.numbered
    return Rows(plan.files, shard.row_groups, plan.read, plan.chunk_rows, ranged, numbered=numbered)


def _too_large(memory: HostMemoryPool) -> str:
    return (
        f"its rows hold more than the {readable_bytes(memory.size)} of memory available for parts: "
        "lower [output] rows_per_part, or leave the largest columns out of [input] keep"
    )


def _reason(error: BaseException) -> str:
    what = error.what if isinstance(error, JaxbatchError) else f"{type(error).__name__}: {printable(error)}"
    return what.replace("\n", " ")[:500]
