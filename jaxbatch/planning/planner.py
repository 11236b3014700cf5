"""Job + footers + traced kernel → Plan. Reads no data pages but those that a kernel asks for, and runs nothing.

``plan`` goes step by step, and each step returns a value: the input is opened, the kernel bound to it, columns are
named, shards cut, programs traced and sized, stages chosen; all of it together is the ``Plan``.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from jaxbatch.compilation import invariants, process_setup
from jaxbatch.compilation.code_identity import code_identity
from jaxbatch.compilation.devices import Device
from jaxbatch.errors import translate_storage_errors
from jaxbatch.input.file_checks import InputTable, check_files, open_input
from jaxbatch.input.listing import Listed, check_output_outside_input
from jaxbatch.input.row_identity.draws import RANDOM_KEY
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.shards import RowGroup, cut, limited, row_groups
from jaxbatch.job.model import Job
from jaxbatch.kernels.program_set import ProgramSet
from jaxbatch.kernels.random_keys import key_columns
from jaxbatch.output.paths import SINGLE_RUN, RunPaths
from jaxbatch.planning.binding import bind
from jaxbatch.planning.fingerprint import fingerprint, job_identity, schema_identity
from jaxbatch.planning.lookups import with_checked_lookups
from jaxbatch.planning.naming import name_columns
from jaxbatch.planning.plan import Plan
from jaxbatch.planning.program_list import compilations, rungs, trace_programs
from jaxbatch.planning.random_numbers import named_files, with_random_numbers
from jaxbatch.planning.row_steps import row_steps
from jaxbatch.planning.stages import choose_stages

CHUNK_ROWS = 131_072
"""Rows that are read at once, at most."""

CHUNK_BYTES = 32 * 2**20
"""Bytes of rows that are read at once, at most, as the footers count them."""


@dataclass(frozen=True)
class Addition:
    """What a run adds to an output that grows: some files, and the column types of those that were added before.

    Its number, in ``records``, is part of its identity, so that equal files at two places are two runs.
    """

    files: Sequence[Listed]
    types: Mapping[str, str]
    records: RunPaths
    called: Mapping[str, str] = field(default_factory=dict)
    """By what they are called, the paths of the files that were added before, where rows are named by them."""


@translate_storage_errors()
@process_setup.prepared()
def plan(
    job: Job | str | os.PathLike[str],
    *,
    device: Device | str = "cpu",
    limit: int | None = None,
    addition: Addition | None = None,
    traced: Callable[[ProgramSet], None] = lambda _: None,
) -> Plan:
    """Check everything about a job and decide what its run will be.

    Args:
        job: the job, or the path of its file.
        device: what will compute; or its kind, ``"cpu"``.
        limit: how many of the input's first rows to compute; None for all.
        addition: which files of the input to compute, where the run adds to an output that grows.
        traced: called with the programs as soon as they are traced, while more is being checked.

    Raises:
        JobError, InputError: the job, its function or its input cannot be run.
        AccessError, StorageError: an object store refuses access, or does not answer.
    """
    job = job if isinstance(job, Job) else Job.load(job)
    device = device if isinstance(device, Device) else Device(device)
    invariants.check_flags()
    opened = _open_input(job, addition)
    steps = row_steps(job, opened)
    bound = bind(job, opened, steps, device.platform)
    steps = with_random_numbers(job, steps, bound.kernel, bound.context, opened.schema)
    columns = name_columns(job, bound, opened.schema, steps)
    opened = check_files(opened, columns.read.names, job)
    steps = with_checked_lookups(job, columns.steps)
    steps = named_files(job, steps, opened.files, addition.called if addition else {})
    if bound.kernel.buckets:
        invariants.check()  # of flags once more, since the user's files may have set what they like
    groups = _row_groups_within(opened, limit)
    shards = cut(steps.remaining(opened.files, groups), job.output.rows_per_part)
    programs = trace_programs(job, bound.kernel, shards)
    traced(programs.programs)
    programs.programs.check_pure()
    stages = choose_stages(bound.kernel, opened, shards, columns, steps, job.output.rows_per_part)
    identity = {
        **job_identity(job, opened, columns, steps, limit, programs.batch_rows),
        "schema": schema_identity(columns.schema),
        "code": code_identity(bound.unbound, programs.programs, job.folder),
        **device.identity(),
        **({"run": addition.records.number} if addition else {}),
    }
    return Plan(
        job=job,
        source=bound.context,
        files=opened.files,
        skipped=opened.skipped,
        read=columns.read,
        keep=columns.keep,
        names={**columns.stored, **dict.fromkeys(key_columns(bound.kernel.read), RANDOM_KEY)},
        written=columns.written,
        arguments=columns.arguments,
        limits=columns.limits,
        schema=columns.schema,
        width_limit=programs.width_limit,
        chunk_rows=_chunk_rows(opened, steps, programs.whole_batch),
        identity=identity,
        fingerprint=fingerprint(identity),
        programs=programs.described,
        compilations=compilations(bound.kernel),
        platform=device.platform,
        rungs=rungs(bound.kernel),
        records=addition.records if addition else SINGLE_RUN,
        steps=steps,
        row_groups=len(groups),
        stages=stages,
    )


def _open_input(job: Job, addition: Addition | None) -> InputTable:
    """The input's files and schema, from their footers, after a check that the output lies apart from them."""
    opened = open_input(job, addition and addition.files, addition and addition.types)
    check_output_outside_input(job, (file.path for file in opened.files))
    return opened


def _row_groups_within(opened: InputTable, limit: int | None) -> list[RowGroup]:
    groups = row_groups(opened.files)
    return groups if limit is None else list(limited(groups, limit))


def _chunk_rows(opened: InputTable, steps: RowSteps, batch_rows: int) -> int:
    """How many rows are read at once: of bounded size, and whole batches where they are narrow enough."""
    rows = sum(sum(file.row_groups) for file in opened.files)
    row_bytes = sum(file.bytes for file in opened.files) // max(rows, 1) + steps.added_bytes
    fitting = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(row_bytes, 1)))
    return max(fitting // batch_rows, 1) * batch_rows if batch_rows <= CHUNK_ROWS else batch_rows
