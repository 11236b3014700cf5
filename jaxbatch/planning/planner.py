"""Job + footers + traced kernel → Plan. Reads no data pages beyond what a kernel asks for, and runs nothing."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.compilation import invariants, process_setup
from jaxbatch.compilation.devices import Device
from jaxbatch.compilation.programs import Programs, width_limit
from jaxbatch.compilation.trace import smallest_programs, x64_context
from jaxbatch.errors import InputError, nearest, translate_storage_errors
from jaxbatch.input import schemas
from jaxbatch.input.listing import Listed, check_apart
from jaxbatch.input.row_reader import FileProbe, ranges_disjoint
from jaxbatch.input.shards import RowGroup, Shard, cut, limited
from jaxbatch.input.types import column_type
from jaxbatch.job.model import Job
from jaxbatch.kernels import registry
from jaxbatch.kernels.base import Kernel, dimensions
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.output.paths import SINGLE_RUN, RunPaths
from jaxbatch.planning import naming
from jaxbatch.planning.fingerprint import check_pure, code_identity, fingerprint
from jaxbatch.planning.plan import Plan

CHUNK_ROWS = 131_072
"""At most so many rows are read at once."""

CHUNK_BYTES = 32 * 2**20
"""Rows of at most so many bytes, as the footers count them, are read at once."""


@dataclass(frozen=True)
class Addition:
    """What a run is to add to an output: some files, whose columns have the types of those that were added before.

    Its number is part of its identity, so that equal files at two places are two runs.
    """

    files: Sequence[Listed]
    types: Mapping[str, str]
    records: RunPaths


@translate_storage_errors()
@process_setup.prepared()
def plan(
    job: Job | str | os.PathLike[str],
    *,
    device: Device | str = "cpu",
    limit: int | None = None,
    addition: Addition | None = None,
    traced: Callable[[Programs], None] = lambda _: None,
) -> Plan:
    """Check everything about a job and decide what its run will be.

    Args:
        job: the job, or the path of its file.
        device: what will compute, or the kind of it where that is a CPU.
        limit: compute only the first so many rows.
        addition: what of the input is to be computed, where it is added to an output.
        traced: given the programs as soon as they are traced, while there is more to check.

    Raises:
        JobError, InputError: the job, its function or its input cannot be run.
        AccessError, StorageError: an object store refuses us, or does not answer.
    """
    job = job if isinstance(job, Job) else Job.load(job)
    device = device if isinstance(device, Device) else Device(device)
    invariants.check()
    opened = schemas.open_input(job, addition and addition.files, addition and addition.types)
    check_apart(job, (file.path for file in opened.files))
    with x64_context(job.compute.precision):
        unbound = registry.build(job)
    with x64_context(job.compute.precision, unbound):
        source = _source(job, opened)
        kernel = unbound.bind(source)
        names = naming.input_names(job, kernel, source)
        keep = naming.kept(job, kernel, opened.schema, names)
        used = tuple(dict.fromkeys([*names.values(), *(keep if kernel.grouping is None else ())]))
        opened = schemas.check_files(opened, used, job)
        written = naming.output_names(job, kernel, keep)
    invariants.check()  # once more, since the user's files may have set what they like
    groups = row_groups(opened)
    shards = cut(groups if limit is None else limited(groups, limit), job.output.rows_per_part)
    limit_of_width = width_limit(max(part.rows for shard in shards for part in shard.parts))
    made = Programs(kernel, job.compute.precision, batch_rows=job.compute.batch_rows, limit=limit_of_width)
    schema = naming.written_schema(job, kernel, opened.schema, keep, names, written)
    programs = _programs(made)
    traced(made)
    check_pure(made)
    identity = {
        **_identity(job, opened, names, keep, limit, programs),
        "schema": [[field.name, str(field.type), _texts(field.metadata)] for field in schema],
        "code": code_identity(unbound, made, job.folder),
        **device.identity(),
        **({"run": addition.records.number} if addition else {}),
    }
    return Plan(
        job=job,
        source=source,
        files=opened.files,
        skipped=opened.skipped,
        shards=shards,
        read=pa.schema([opened.schema.field(name).remove_metadata() for name in used]),
        keep=keep,
        names=names,
        written=written,
        arguments=naming.arguments(job, names, source),
        limits=naming.limits(job, kernel, names),
        schema=schema,
        width_limit=limit_of_width,
        chunk_rows=_chunk_rows(opened, _whole_batch(kernel, programs)),
        identity=identity,
        fingerprint=fingerprint(identity),
        programs=tuple(programs),
        compilations=_compilations(kernel),
        platform=device.platform,
        rungs=_rungs(kernel),
        records=addition.records if addition else SINGLE_RUN,
        **_grouped(kernel, opened, shards, names, job.output.rows_per_part),
    )


def row_groups(opened: schemas.InputTable) -> list[RowGroup]:
    """Every row group of the input, in order."""
    return [
        RowGroup(number, index, rows)
        for number, file in enumerate(opened.files)
        for index, rows in enumerate(file.row_groups)
    ]


def _grouped(
    kernel: Kernel, opened: schemas.InputTable, shards: Sequence[Shard], names: Mapping[str, str], rows_per_part: int
) -> dict[str, Any]:
    """How groups are put together: in one stage where the footers show that each is whole in its shard."""
    if kernel.grouping is None:
        return {}
    stored = [names[name] for name in kernel.grouping.by]
    schema = naming.partial_schema(kernel, [opened.schema.field(name).type for name in stored])
    parts = sum(len(shard.parts) for shard in shards)
    apart = next((name for name in stored if parts > 1 and ranges_disjoint(opened.files, shards, name)), None)
    if parts == 1 or apart is not None:
        return {"stage": "groups", "partial_schema": schema, "apart": apart}
    rows = sum(shard.rows for shard in shards)
    buckets = max(1, -(-rows // rows_per_part)) if stored else 1
    return {"stage": "partials", "partial_schema": schema, "buckets": buckets, "partials": parts}


def _source(job: Job, opened: schemas.InputTable) -> BindContext:
    names = {name: name for name in opened.schema.names} | dict(job.input.columns)
    for own, stored in job.input.columns.items():
        if stored not in opened.schema.names:
            raise InputError(
                f"[input] columns: the input has no column '{stored}' for '{own}'.",
                nearest(stored, opened.schema.names),
            )
        if own in job.input.constants:
            raise job.error(("input", "constants", own), f"'{own}' also has a column.", "Remove one of the two.")
    for own in job.input.defaults:
        other = "a column" if own in job.input.columns else "a constant" if own in job.input.constants else None
        if other:
            raise job.error(("input", "defaults"), f"'{own}' also has {other}.", "Remove one of the two.")
    return BindContext(
        types={own: column_type(opened.schema.field(stored).type) for own, stored in names.items()},
        constants=dict(job.input.constants),
        precision=job.compute.precision,
        folder=job.folder,
        probe=FileProbe(opened.files, names),
        stored=dict(job.input.columns),
        defaults=tuple(job.input.defaults),
    )


def _programs(programs: Programs) -> list[dict[str, Any]]:
    """What ``plan`` prints of the programs that a run may compile."""
    return [
        {
            "rows_of": programs.kernel.describe_bucket(program.bucket),
            "sizes": dict(program.sizes),
            "batch_rows": programs.width(program),
            "batch_bytes": programs.width(program) * programs.traced(program).row_bytes,
        }
        for program in smallest_programs(programs.kernel)
    ] + (_programs(programs.second_stage) if programs.second_stage else [])


def _compilations(kernel: Kernel) -> str:
    ragged = dimensions(kernel.inputs)
    if not ragged:
        return f"at most {kernel.buckets}"
    each = f" for each of {kernel.buckets} buckets" if kernel.buckets > 1 else ""
    most = kernel.second_stage.buckets if kernel.second_stage else 0
    then = f", and {'one' if most == 1 else f'at most {most}'} for each size of what they give" if most else ""
    return f"one{each} for each rung of {' and '.join(ragged)} that the data reach{then}"


def _rungs(kernel: Kernel) -> dict[str, dict[str, Any]]:
    lengths = np.arange(1, 4097)
    found = {}
    for name in dimensions(kernel.inputs):
        sizes = kernel.size(name, lengths)
        from_first = lengths >= sizes[0]
        longest = float((sizes[from_first] / lengths[from_first]).max()) - 1
        found[name] = {"first": np.unique(sizes)[:6].tolist(), "padding_at_most": round(longest, 3)}
    return found


def _whole_batch(kernel: Kernel, programs: list[dict[str, Any]]) -> int:
    """The rows that a chunk should hold a multiple of; a ragged kernel's batches are of many widths."""
    first = kernel.buckets if dimensions(kernel.inputs) else 0
    return max((program["batch_rows"] for program in programs[first:]), default=1)


def _chunk_rows(opened: schemas.InputTable, batch_rows: int) -> int:
    """How many rows are read at once: of bounded size, and whole batches where they are narrow enough."""
    rows = sum(sum(file.row_groups) for file in opened.files)
    row_bytes = sum(file.bytes for file in opened.files) // max(rows, 1)
    fitting = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(row_bytes, 1)))
    return max(fitting // batch_rows, 1) * batch_rows if batch_rows <= CHUNK_ROWS else batch_rows


def _identity(
    job: Job,
    opened: schemas.InputTable,
    names: Mapping[str, str],
    keep: tuple[str, ...],
    limit: int | None,
    programs: list[dict[str, Any]],
) -> dict[str, Any]:
    files = [{"name": file.name, "size": file.size, "footer": file.footer_digest} for file in opened.files]
    return {
        "kernel": job.kernel,
        "params": job.params,
        "compute": {
            "precision": job.compute.precision,
            "batch_rows": [program["batch_rows"] for program in programs],
        },
        "input": {
            "files": files,
            "columns": dict(names),
            "constants": dict(job.input.constants),
            "keep": list(keep),
            "defaults": list(job.input.defaults),
            "limit": limit,
        },
        "rows_per_part": job.output.rows_per_part,
        "compression": job.output.compression,
    }


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}
