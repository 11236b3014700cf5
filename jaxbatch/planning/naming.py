"""Which columns are read, kept and written, and under which names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.batches.convert import fitted, limits
from jaxbatch.batches.encode import arrow_type
from jaxbatch.columns import STATUS, Column
from jaxbatch.errors import InputError, JobError, nearest
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.input.types import is_key
from jaxbatch.job.model import Job
from jaxbatch.job.toml import toml_key
from jaxbatch.kernels.base import Kernel
from jaxbatch.kernels.bind_context import BindContext
from jaxbatch.kernels.precision import x64_context
from jaxbatch.kernels.random_keys import key_columns
from jaxbatch.planning.binding import BoundKernel


@dataclass(frozen=True)
class NamedColumns:
    """The columns of a run: which the files have, which are read, and which are written."""

    stored: Mapping[str, str]
    """For each of the kernel's inputs the files' column that it takes; constants are not among them."""
    keep: tuple[str, ...]
    """The input's columns that are carried through to the output."""
    written: Mapping[str, str]
    """For each of the kernel's results, and the status, the name under which it is written."""
    read: pa.Schema
    """The files' columns that are read, each once, without metadata."""
    schema: pa.Schema
    """Every part's schema: the kept columns, the results, the status."""
    arguments: Mapping[str, str]
    """For each argument and input, in words, what it takes."""
    limits: Mapping[str, tuple[float, float]]
    """For a file's columns whose numbers may not all fit: the least and the largest that does."""
    steps: RowSteps
    """What becomes of rows on their way, with only those columns joined to them that are used."""


def name_columns(job: Job, bound: BoundKernel, files: pa.Schema, steps: RowSteps) -> NamedColumns:
    """Decide which columns are read, kept and written.

    Args:
        job: the job.
        bound: its kernel, bound to the input.
        files: the schema of the input's files.
        steps: what becomes of rows between their file and the kernel.

    Raises:
        JobError: the job names what there is not, or two columns would have one name.
        InputError: the input lacks a column, or a group's key has a type that cannot be one.
    """
    kernel = bound.kernel
    schema = steps.with_added(files)
    with x64_context(job.compute.precision, bound.unbound):
        stored = _input_names(job, kernel, bound.context)
        keep = _kept(job, kernel, files, schema, stored)
        written = _output_names(job, kernel, keep)
        carried = keep if kernel.grouping is None else ()
        taken = [*stored.values(), *carried]
        used_steps = steps.using(taken)
        used = dict.fromkeys([*taken, *used_steps.reads])
        return NamedColumns(
            stored=stored,
            keep=keep,
            written=written,
            read=pa.schema([files.field(name).remove_metadata() for name in used if name in files.names]),
            schema=_written_schema(job, kernel, schema, keep, stored, written),
            arguments=_arguments(job, stored, bound.context, steps)
            | dict.fromkeys(key_columns(kernel.read), f"random, of seed {steps.seed} and {steps.named_by}"),
            limits=_limits(job, kernel, stored),
            steps=used_steps,
        )


def _input_names(job: Job, kernel: Kernel, source: BindContext) -> dict[str, str]:
    """The files' column for each of the kernel's inputs, after a check that all names in the job are used."""
    read = [column.name for column in kernel.read]
    groups = kernel.grouping.by if kernel.grouping else ()
    known = [*read, *groups]
    for own in job.input.columns:
        if own not in known:
            raise job.error(("input", "columns", own), f"the kernel has no input '{own}'.", nearest(own, known))
    takers = [*known, *sorted(source.used)]
    for own, value in job.input.constants.items():
        if own not in known and own not in source.used:
            raise job.error(("input", "constants", own), f"nothing uses the constant '{own}'.", nearest(own, takers))
        if own in groups:
            raise job.error(("input", "constants", own), f"'{own}' is a group key, which cannot be a constant.")
        if own in read:
            _check_constant(job, kernel, next(c for c in kernel.read if c.name == own), value)
    for name in groups:
        if name not in source.types:
            raise InputError(f"The input has no column '{name}' to group by.", nearest(name, list(source.types)))
    for own in job.input.defaults:
        if own not in source.optional:
            what = f"no argument or optional input '{own}' has a default."
            raise job.error(("input", "defaults"), what, nearest(own, list(source.optional)) or "Leave it out.")
    beside = {*job.input.constants, *key_columns(kernel.read)}
    return {name: job.input.columns.get(name, name) for name in known if name not in beside}


def _arguments(job: Job, names: Mapping[str, str], source: BindContext, steps: RowSteps) -> dict[str, str]:
    """What each argument and input takes, in words: a column, of the files or a lookup, a constant or its default."""
    columns = {own: _column(stored, steps) for own, stored in names.items()}
    constants = {own: f"constant {json.dumps(value)}" for own, value in job.input.constants.items()}
    defaults = {own: f"default {text}" for own, text in source.optional.items()}
    return {**columns, **constants, **{own: text for own, text in defaults.items() if own not in columns | constants}}


def _column(name: str, steps: RowSteps) -> str:
    lookup = steps.lookup_of(name)
    return f"column {name}" if lookup is None else f"lookup {lookup.name}, column {lookup.columns[name]}"


def _limits(job: Job, kernel: Kernel, names: Mapping[str, str]) -> dict[str, tuple[float, float]]:
    """The least and the largest number that fits, for each of the files' columns where not every number does."""
    numbers = [column for column in kernel.read if column.name in names and column.dtype != "string"]
    kinds = [column.numpy_type(job.compute.precision, x64=kernel.needs_x64) for column in numbers]
    found = [(names[c.name], limits(c, kind)) for c, kind in zip(numbers, kinds, strict=True)]
    return {name: between for name, between in found if between is not None}


def _check_constant(job: Job, kernel: Kernel, column: Column, value: Any) -> None:
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
    wanted = {"int": "iu", "bool": "biuf"}.get(column.dtype, "iuf")
    kind = column.numpy_type(job.compute.precision, x64=kernel.needs_x64)
    if array.dtype.kind not in wanted or array.shape != column.shape or fitted(array, column, kind)[1] is not None:
        raise job.error(where, f"{value!r} does not fit the column '{column.name}'.", "Correct the value.")


def _kept(job: Job, kernel: Kernel, files: pa.Schema, schema: pa.Schema, names: Mapping[str, str]) -> tuple[str, ...]:
    """The columns carried through: those in the job's ``keep``, else the files' that are not nested; of groups, keys.

    Raises:
        InputError: the input has no such column, or a group's key has a type that cannot be one.
    """
    if kernel.grouping:
        if job.input.keep is not None:
            raise job.error(("input", "keep"), "a grouped output keeps only the group keys.", "Remove it.")
        for name in kernel.grouping.by:
            if not is_key(schema.field(names[name]).type):
                raise InputError(
                    f"Column '{names[name]}' is {schema.field(names[name]).type}, which cannot be a group key.",
                    "Group by integers, texts, dates or times, or cast the column.",
                )
        return kernel.grouping.by
    if job.input.keep is None:
        return tuple(field.name for field in files if not pa.types.is_nested(field.type))
    for name in job.input.keep:
        if name not in schema.names:
            raise InputError(f"[input] keep: the input has no column '{name}'.", nearest(name, schema.names))
    if len(set(job.input.keep)) < len(job.input.keep):
        raise job.error(("input", "keep"), "a column is named twice.", "List each column once.")
    return tuple(job.input.keep)


def _output_names(job: Job, kernel: Kernel, keep: tuple[str, ...]) -> dict[str, str]:
    """The name under which each result is written.

    Raises:
        JobError: two columns would have one name.
    """
    results = [*(column.name for column in kernel.results), STATUS]
    for own in job.output.columns:
        if own not in results:
            raise job.error(("output", "columns", own), f"the kernel has no result '{own}'.", nearest(own, results))
    written = {name: job.output.columns.get(name, name) for name in results}
    taken: set[str] = set(keep)
    for own, name in written.items():
        if name in taken:
            clash = "a kept column" if name in keep else "another result"
            raise JobError(
                f"The result '{own}' would be written as '{name}', which is already {clash}.",
                f'Rename it with [output] columns = {{ {toml_key(own)} = "…" }}, '
                "or list the columns to keep in [input] keep.",
            )
        taken.add(name)
    return written


def _written_schema(
    job: Job,
    kernel: Kernel,
    stored: pa.Schema,
    keep: tuple[str, ...],
    names: Mapping[str, str],
    written: Mapping[str, str],
) -> pa.Schema:
    """The schema of every part: kept columns, results in the kernel's order, the status last."""
    grouped = names if kernel.grouping else {}
    kept = [pa.field(name, stored.field(grouped.get(name, name)).type) for name in keep]
    results = [
        pa.field(
            written[column.name],
            arrow_type(column, job.compute.precision),
            metadata=dict(column.metadata) or None,
        )
        for column in kernel.results
    ]
    return pa.schema([*kept, *results, pa.field(written[STATUS], pa.string())])


def partial_schema(kernel: Kernel, keys: Sequence[pa.DataType]) -> pa.Schema:
    """The schema of the first stage's parts: each group's keys, and the kernel's outputs for its rows in a shard.

    An output of several numbers is there as their bytes (:func:`~jaxbatch.input.arrow_arrays.vectors_to_arrow`).
    """
    fields = [pa.field(f"key{number}", kind) for number, kind in enumerate(keys)]
    for name, value in kernel.empty_state().items():
        kind = pa.from_numpy_dtype(value.dtype)
        fields.append(pa.field(name, pa.binary(value.nbytes) if value.ndim else kind))
    return pa.schema(fields)
