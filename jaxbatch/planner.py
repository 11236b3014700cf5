"""Job + footers + traced kernel → Plan. Reads no data pages beyond what a kernel asks for, and runs nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch import __version__, batches, compiled, inputs, kernels
from jaxbatch.columns import STATUS, Column
from jaxbatch.errors import InputError, JobError, nearest
from jaxbatch.fingerprint import code_identity, fingerprint
from jaxbatch.job import Job
from jaxbatch.kernel import Kernel, Source, dimensions
from jaxbatch.outputs import Expected
from jaxbatch.reading import Peek
from jaxbatch.shards import RowGroup, Shard, cut, limited
from jaxbatch.traced import precision, representative
from jaxbatch.types import column_type

CHUNK_ROWS = 131_072
"""At most so many rows are read at once."""

CHUNK_BYTES = 32 * 2**20
"""Rows of at most so many bytes, as the footers count them, are read at once."""


@dataclass(frozen=True)
class Plan:
    """What a run is: everything a worker needs, as a value that can be sent.

    ``names`` maps the kernel's input columns to those of the files, ``written`` its outputs to those written.
    """

    job: Job
    source: Source
    files: tuple[inputs.InputFile, ...]
    skipped: tuple[inputs.BadFile, ...]
    shards: tuple[Shard, ...]
    read: pa.Schema
    keep: tuple[str, ...]
    names: Mapping[str, str]
    written: Mapping[str, str]
    schema: pa.Schema
    width_limit: int
    chunk_rows: int
    identity: Mapping[str, Any]
    fingerprint: str
    programs: tuple[Mapping[str, Any], ...]
    compilations: str
    """How many programs the run compiles at most, in words."""

    @property
    def output(self) -> str:
        """The output folder, absolute."""
        return self.job.resolve(self.job.output.path)

    @property
    def rows(self) -> int:
        """Rows of the input, and so of the output."""
        return sum(shard.rows for shard in self.shards)

    @property
    def parts(self) -> int:
        """Parts of the output."""
        return sum(len(shard.parts) for shard in self.shards)

    @property
    def expected(self) -> list[Expected]:
        """Every part with its rows."""
        return [Expected(part.index, part.rows) for shard in self.shards for part in shard.parts]

    def layout(self) -> list[dict[str, Any]]:
        """Every shard as JSON values: its row groups by file, number and rows; its parts by number, start and rows."""
        return [
            {
                "row_groups": [[self.files[g.file].name, g.index, g.rows] for g in shard.row_groups],
                "parts": [[part.index, part.start, part.rows] for part in shard.parts],
            }
            for shard in self.shards
        ]

    def describe(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "jaxbatch": __version__,
            "fingerprint": self.fingerprint,
            "job": self.job.model_dump(mode="json"),
            "output": self.output,
            "rows": self.rows,
            "shards": len(self.shards),
            "parts": self.parts,
            "files": len(self.files),
            "skipped_files": [{"path": file.path, "reason": file.reason} for file in self.skipped],
            "columns": {column.name: str(column.type) for column in self.schema},
            "programs": [dict(program) for program in self.programs],
            "identity": dict(self.identity),
        }


def plan(job: Job, *, device: str = "cpu", limit: int | None = None) -> Plan:
    """Check everything about a job and decide what its run will be.

    Args:
        job: the job.
        device: the kind of device that will compute.
        limit: compute only the first so many rows.

    Raises:
        JobError, InputError: the job, its function or its input cannot be run.
    """
    opened = inputs.open_input(job)
    inputs.check_apart(job, opened.files)
    with precision(job.compute.precision):
        unbound = kernels.build(job)
    with precision(job.compute.precision, unbound):
        source = _source(job, opened)
        kernel = unbound.bind(source)
        names = _input_names(job, kernel, source)
        keep = _keep(job, opened.schema)
        used = tuple(dict.fromkeys([*names.values(), *keep]))
        opened = inputs.check_files(opened, used, job)
        written = _output_names(job, kernel, keep)
    groups = row_groups(opened)
    shards = cut(groups if limit is None else limited(groups, limit), job.output.rows_per_part)
    width_limit = compiled.width_limit(max(part.rows for shard in shards for part in shard.parts))
    made = compiled.Programs(kernel, job.compute.precision, batch_rows=job.compute.batch_rows, limit=width_limit)
    schema = _schema(job, kernel, opened.schema, keep, written)
    programs = _programs(kernel, made)
    identity = {
        **_identity(job, opened, names, keep, limit, programs),
        "schema": [[field.name, str(field.type), _texts(field.metadata)] for field in schema],
        "code": code_identity(unbound, made),
        "device": device,
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
        schema=schema,
        width_limit=width_limit,
        chunk_rows=_chunk_rows(opened, max(program["batch_rows"] for program in programs)),
        identity=identity,
        fingerprint=fingerprint(identity),
        programs=tuple(programs),
        compilations=_compilations(kernel),
    )


def row_groups(opened: inputs.Input) -> list[RowGroup]:
    """Every row group of the input, in order."""
    return [
        RowGroup(number, index, rows)
        for number, file in enumerate(opened.files)
        for index, rows in enumerate(file.row_groups)
    ]


def _source(job: Job, opened: inputs.Input) -> Source:
    names = {name: name for name in opened.schema.names} | dict(job.input.columns)
    for own, stored in job.input.columns.items():
        if stored not in opened.schema.names:
            raise InputError(
                f"[input] columns: the input has no column '{stored}' for '{own}'.",
                nearest(stored, opened.schema.names),
            )
        if own in job.input.constants:
            raise job.error(("input", "constants", own), f"'{own}' has a column too.", "Leave out one of the two.")
    return Source(
        types={own: column_type(opened.schema.field(stored).type) for own, stored in names.items()},
        constants=dict(job.input.constants),
        precision=job.compute.precision,
        folder=job.folder,
        peek=Peek(opened.files, names),
        stored=dict(job.input.columns),
    )


def _input_names(job: Job, kernel: Kernel, source: Source) -> dict[str, str]:
    """The files' column for each of the kernel's, after a check that nothing in the job is left unused."""
    known = [column.name for column in kernel.inputs]
    for own in job.input.columns:
        if own not in known:
            raise job.error(("input", "columns", own), f"the kernel has no input '{own}'.", nearest(own, known))
    for own, value in job.input.constants.items():
        if own not in known and own not in source.used:
            raise job.error(("input", "constants", own), f"nothing takes the constant '{own}'.", nearest(own, known))
        if own in known:
            _check_constant(job, next(c for c in kernel.inputs if c.name == own), value)
    return {name: job.input.columns.get(name, name) for name in known if name not in job.input.constants}


def _check_constant(job: Job, column: Column, value: Any) -> None:
    where = ("input", "constants", column.name)
    if column.dtype == "string":
        if value not in column.choices:
            raise job.error(where, f"{value!r} is not one of {', '.join(column.choices)}.")
        return
    if column.dimensions:
        raise job.error(where, f"'{column.name}' is a list of any length, which a constant cannot be.")
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(None)
    wanted = "iu" if column.dtype == "int" else "iuf"
    if array.dtype.kind not in wanted or array.shape != column.shape:
        raise job.error(where, f"{value!r} does not fit the column '{column.name}'.", "Correct the value.")


def _keep(job: Job, schema: pa.Schema) -> tuple[str, ...]:
    if job.input.keep is None:
        return tuple(field.name for field in schema if not pa.types.is_nested(field.type))
    for name in job.input.keep:
        if name not in schema.names:
            raise InputError(f"[input] keep: the input has no column '{name}'.", nearest(name, schema.names))
    if len(set(job.input.keep)) < len(job.input.keep):
        raise job.error(("input", "keep"), "a column is named twice.", "Name each once.")
    return tuple(job.input.keep)


def _output_names(job: Job, kernel: Kernel, keep: tuple[str, ...]) -> dict[str, str]:
    results = [*(column.name for column in kernel.outputs), STATUS]
    for own in job.output.columns:
        if own not in results:
            raise job.error(("output", "columns", own), f"the kernel has no result '{own}'.", nearest(own, results))
    written = {name: job.output.columns.get(name, name) for name in results}
    taken: set[str] = set(keep)
    for own, name in written.items():
        if name in taken:
            clash = "a kept column" if name in keep else "another result"
            raise JobError(
                f"The result '{own}' would be written as '{name}', which {clash} has for a name.",
                f'Rename it, [output] columns = {{ {own} = "…" }}, or list the columns to keep in [input] keep.',
            )
        taken.add(name)
    return written


def _schema(
    job: Job, kernel: Kernel, stored: pa.Schema, keep: tuple[str, ...], written: Mapping[str, str]
) -> pa.Schema:
    kept = [pa.field(name, stored.field(name).type) for name in keep]
    results = [
        pa.field(
            written[column.name],
            batches.arrow_type(column, job.compute.precision),
            metadata=dict(column.metadata) or None,
        )
        for column in kernel.outputs
    ]
    return pa.schema([*kept, *results, pa.field(written[STATUS], pa.string())])


def _programs(kernel: Kernel, programs: compiled.Programs) -> list[dict[str, Any]]:
    """What ``plan`` prints of the programs that a run may compile."""
    return [
        {
            "rows_of": kernel.describe_bucket(program.bucket),
            "sizes": dict(program.sizes),
            "batch_rows": programs.width(program),
            "batch_bytes": programs.width(program) * programs.traced(program).row_bytes,
        }
        for program in representative(kernel)
    ]


def _compilations(kernel: Kernel) -> str:
    ragged = dimensions(kernel.inputs)
    if not ragged:
        return f"at most {kernel.buckets}"
    each = f" for each of {kernel.buckets} buckets" if kernel.buckets > 1 else ""
    return f"one{each} for each rung of {' and '.join(ragged)} that the data reach"


def _chunk_rows(opened: inputs.Input, batch_rows: int) -> int:
    """How many rows are read at once: of bounded size, and whole batches where they are narrow enough."""
    rows = sum(sum(file.row_groups) for file in opened.files)
    row_bytes = sum(file.bytes for file in opened.files) // max(rows, 1)
    fitting = max(1, min(CHUNK_ROWS, CHUNK_BYTES // max(row_bytes, 1)))
    return max(fitting // batch_rows, 1) * batch_rows if batch_rows <= CHUNK_ROWS else batch_rows


def _identity(
    job: Job,
    opened: inputs.Input,
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
            "limit": limit,
        },
        "rows_per_part": job.output.rows_per_part,
        "compression": job.output.compression,
    }


def _texts(metadata: Mapping[bytes, bytes] | None) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in (metadata or {}).items()}
