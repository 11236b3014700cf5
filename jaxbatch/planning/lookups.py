"""The job's lookups, opened: their files are listed, their columns named, and their keys fit the input's."""

import glob
import os
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from jaxbatch.errors import InputError, JobError, nearest
from jaxbatch.input.file_checks import InputTable, check_files, open_input, refuse
from jaxbatch.input.listing import check_output_outside_input
from jaxbatch.input.lookup import LookupTable
from jaxbatch.input.lookup.key_columns import KeyColumns, kind_of
from jaxbatch.input.row_steps import RowSteps
from jaxbatch.job.model import Input, Job, Lookup
from jaxbatch.output.paths import DATA, SINGLE_RUN, SUCCESS
from jaxbatch.storage import StorageOptions, Store, is_remote, open_store

_REPLACE = "Replace them, or name other files."


def open_lookups(job: Job, opened: InputTable) -> tuple[LookupTable, ...]:
    """The job's lookups with all their columns, by footers alone.

    Raises:
        JobError: one of them does not fit the input, or its files cannot be used.
    """
    taken = dict.fromkeys(opened.schema.names, "the files have")
    lookups = []
    for name, lookup in job.input.lookup.items():
        found = _opened(job, name, lookup, opened.schema)
        for own in found.columns:
            if own in taken:
                raise job.error(
                    ("input", "lookup", name),
                    f"its column '{own}' has a name that {taken[own]} too.",
                    f'Add prefix = "{name}_" there, or list the columns to take: columns = […].',
                )
        taken |= dict.fromkeys(found.columns, f"lookup '{name}' has")
        lookups.append(found)
    return tuple(lookups)


def with_checked_lookups(job: Job, steps: RowSteps) -> RowSteps:
    """The steps, after a look at all rows of the lookups.

    Raises:
        JobError: a table is too large, has a key twice, or cannot be read.
    """
    return replace(steps, lookups=tuple(_checked(job, lookup) for lookup in steps.lookups))


def _checked(job: Job, lookup: LookupTable) -> LookupTable:
    stopping = job.model_copy(update={"input": Input(path=job.input.lookup[lookup.name].path)})
    try:
        check_files(lookup.source, lookup.read.names, stopping)
        return lookup.checked()
    except InputError as error:
        raise _refusal(job, lookup.name, error) from error


def _opened(job: Job, name: str, lookup: Lookup, rows: pa.Schema) -> LookupTable:
    table = _open_files(job, name, lookup)
    columns = _columns(job, name, lookup, table.schema)
    return LookupTable(
        name=name,
        source=table,
        key=tuple(lookup.key.items()),
        compared=tuple(_compared(job, name, ours, theirs, rows, table.schema) for ours, theirs in lookup.key.items()),
        columns={f"{lookup.prefix}{column}": column for column in columns},
        mapping=lookup.mapping,
    )


def _open_files(job: Job, name: str, lookup: Lookup) -> InputTable:
    """The files of a lookup's path with their schema; all of them must be readable."""
    try:
        given = job.model_copy(update={"input": Input(path=lookup.path)})
        check_output_outside_input(given, (), "lookup")
        path = _data_folder(job.resolve(lookup.path), job.storage)
        given = job.model_copy(update={"input": Input(path=path or lookup.path)})
        opened = open_input(given)
        check_output_outside_input(given, (file.path for file in opened.files), "lookup")
        if opened.skipped:
            raise refuse(opened.skipped)
        return opened
    except InputError as error:
        raise _refusal(job, name, error) from error


def _data_folder(path: str, options: StorageOptions) -> str | None:
    """The folder of parts of the output at a path or URL, or of that whose parts lie there.

    None if it is no output, or some of an output's parts are named by a pattern or one by one.

    Raises:
        InputError: its run is not finished.
        OSError: an object store cannot be asked.
    """
    whole = path
    while glob.has_magic(whole) or whole.endswith(".parquet"):
        whole = whole.rpartition("/")[0]
    parent, _, last = whole.rpartition("/")
    for folder in (whole, *([parent] if last == DATA else [])):
        if not (is_remote(folder) or os.path.isdir(folder)):
            continue
        store = open_store(folder, options)
        if next(iter(store.list(SINGLE_RUN.folder)), None) is None:
            continue
        if not _has(store, SUCCESS):
            raise InputError(f"{folder} is an output whose run is not finished.", "Run its job again to finish it.")
        return f"{folder}/{DATA}" if whole == path else None
    return None


def _has(store: Store, name: str) -> bool:
    try:
        store.open(name).close()
    except FileNotFoundError:
        return False
    return True


def _refusal(job: Job, name: str, error: InputError) -> JobError:
    """An error about a lookup's files, with the lookup's place in the job."""
    about_path = error.what.removeprefix("[input] path: ")
    remedy = _REPLACE if "on_bad_file" in error.remedy else error.remedy
    return job.error(("input", "lookup", name, "path"), about_path, remedy)


def _columns(job: Job, name: str, lookup: Lookup, table: pa.Schema) -> Sequence[str]:
    """The table's columns that may be joined: those that the job lists, or all but the key."""
    if lookup.columns is None:
        return [column for column in table.names if column not in lookup.key.values()]
    where = ("input", "lookup", name, "columns")
    for column in lookup.columns:
        if column not in table.names:
            raise job.error(where, f"the table has no column '{column}'.", nearest(column, table.names))
    if len(set(lookup.columns)) < len(lookup.columns):
        raise job.error(where, "a column is named twice.", "List each column once.")
    return lookup.columns


def _compared(job: Job, name: str, ours: str, theirs: str, rows: pa.Schema, table: pa.Schema) -> KeyColumns:
    """Two columns of the key, if they can be compared."""
    where = ("input", "lookup", name, "on")
    for column, schema, whose in ((ours, rows, "the input has"), (theirs, table, "the table has")):
        if column not in schema.names:
            renamed = f'on = {{ {ours} = "…" }} takes a column of another name.'
            raise job.error(where, f"{whose} no column '{column}'.", f"{nearest(column, schema.names)} {renamed}")
        if kind_of(schema.field(column).type) is None and not pa.types.is_null(schema.field(column).type):
            raise job.error(
                where,
                f"column '{column}' is {schema.field(column).type}, which cannot be a key.",
                "Join by integers, texts, dates, times or decimals, or cast the column.",
            )
    types = rows.field(ours).type, table.field(theirs).type
    known = next((kind for kind in types if not pa.types.is_null(kind)), pa.int64())
    compared = KeyColumns(*(known if pa.types.is_null(kind) else kind for kind in types))
    if not compared.fit:
        raise job.error(
            where,
            f"column '{ours}' of the input is {compared.rows}, but '{theirs}' of the table is {compared.table}.",
            "Cast one of them, so that both are of one kind.",
        )
    return compared
