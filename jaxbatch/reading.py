"""Row groups to tables: the rows of a shard, in order, so many at a time."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jaxbatch.errors import InputError, printable
from jaxbatch.inputs import InputFile, is_unchanged
from jaxbatch.shards import RowGroup, Shard


class Rows:
    """A forward reader over the rows of some row groups, across files."""

    def __init__(self, files: Sequence[InputFile], row_groups: Sequence[RowGroup], schema: pa.Schema, batch_rows: int):
        self._schema = schema
        self._batches = _batches(files, row_groups, schema, batch_rows)
        self._left: list[pa.Table] = []
        self._step = batch_rows
        self._position = 0

    def take(self, rows: int) -> pa.Table:
        """The next ``rows`` rows as a table of one chunk per column.

        Raises:
            pyarrow.ArrowException, OSError: a page cannot be read, or the file holds fewer rows than its
                footer says.
        """
        taken: list[pa.Table] = []
        missing = rows
        while missing > 0:
            table = self._left.pop() if self._left else next(self._batches, None)
            if table is None:
                raise pa.ArrowInvalid(f"the file holds {missing} rows fewer than its footer says")
            if table.num_rows > missing:
                self._left.append(table.slice(missing))
                table = table.slice(0, missing)
            taken.append(table)
            missing -= table.num_rows
        self._position += rows
        return pa.concat_tables(taken).combine_chunks() if taken else self._schema.empty_table()

    def move_to(self, position: int) -> None:
        """Pass over the rows before ``position``."""
        while self._position < position:
            self.take(min(position - self._position, self._step))


def _batches(
    files: Sequence[InputFile], row_groups: Sequence[RowGroup], schema: pa.Schema, batch_rows: int
) -> Iterator[pa.Table]:
    by_file: list[tuple[int, list[int]]] = []
    for group in row_groups:
        if not by_file or by_file[-1][0] != group.file:
            by_file.append((group.file, []))
        by_file[-1][1].append(group.index)
    for number, indices in by_file:
        file = files[number]
        keys = dict(file.keys)
        stored = [name for name in schema.names if name not in keys]
        if not is_unchanged(file):
            raise InputError(f"{file.path} has changed since the run was planned.", "Run again to plan anew.")
        with file.parquet(page_checksum_verification=True) as parquet:
            if not stored:
                counts = (file.row_groups[index] for index in indices)
                yield from (_table({}, keys, schema, rows) for rows in counts)
                continue
            for index in indices:  # one at a time: asked for several, pyarrow holds them all
                with _damage_told(f"{file.path}, row group {index}"):
                    for batch in parquet.iter_batches(batch_size=batch_rows, row_groups=[index], columns=stored):
                        columns = {name: batch.column(name) for name in stored}
                        yield _table(columns, keys, schema, batch.num_rows)


@contextmanager
def _damage_told(where: str) -> Iterator[None]:
    try:
        yield
    except ConnectionError:
        raise  # that says nothing of the file
    except (pa.ArrowException, OSError) as error:
        what = f"{where}: cannot be read ({printable(error)})."
        raise InputError(what, "Replace the file, then run again.") from error


def _table(columns: dict[str, pa.Array], keys: dict[str, str | int | None], schema: pa.Schema, rows: int) -> pa.Table:
    arrays = []
    for field in schema:
        if field.name in columns:
            array = columns[field.name]
            arrays.append(array if array.type == field.type else pc.cast(array, field.type))
        else:
            arrays.append(pa.repeat(pa.scalar(keys[field.name], field.type), rows))
    return pa.Table.from_arrays(arrays, schema=schema)


class Peek:
    """Answers a kernel's questions about the data before the run, from footers where they know."""

    def __init__(self, files: Sequence[InputFile], names: "dict[str, str]"):
        self._files = files
        self._names = names

    def maximum(self, column: str) -> int | None:
        """The largest value of an integer column, or None without a value."""
        name = self._names[column]
        largest = [value for file in self._files for value in _maxima(file, name)]
        return max(largest, default=None)

    def length(self, column: str) -> int | None:
        """The length of the first list that is not null, or None without one."""
        name = self._names[column]
        for file in self._files:
            with (
                _damage_told(f"{file.path}, column '{name}'"),
                file.parquet(page_checksum_verification=True) as parquet,
            ):
                if name not in parquet.schema_arrow.names:
                    continue
                for batch in parquet.iter_batches(batch_size=1024, columns=[name]):
                    lengths = pc.drop_null(pc.list_value_length(batch.column(name)))
                    if len(lengths):
                        return int(lengths[0].as_py())
        return None


def _maxima(file: InputFile, name: str) -> Iterator[int]:
    keys = dict(file.keys)
    if name in keys:
        if isinstance(keys[name], int):
            yield int(keys[name])  # type: ignore[arg-type]
        return
    with _damage_told(f"{file.path}, column '{name}'"), file.parquet(page_checksum_verification=True) as parquet:
        metadata = parquet.metadata
        for group in range(metadata.num_row_groups):
            row_group = metadata.row_group(group)
            chunks = (row_group.column(i) for i in range(row_group.num_columns))
            chunk = next((chunk for chunk in chunks if chunk.path_in_schema == name), None)
            if chunk is None:
                return  # the check of the files, which comes later, names every file without the column
            statistics = chunk.statistics
            if statistics is not None and statistics.has_min_max:
                value = statistics.max
            else:
                value = pc.max(parquet.read_row_group(group, columns=[name]).column(name)).as_py()
            if value is not None:
                yield int(value)


def are_apart(files: Sequence[InputFile], shards: Sequence[Shard], column: str) -> bool:
    """Whether footers prove that no value of a column is in two parts: no nulls, and ranges that do not touch."""
    if any(len(shard.parts) > 1 for shard in shards):
        return False
    ranges: list[tuple[Any, Any]] = []
    wanted = {number: _ranges(files[number], column) for number in {g.file for s in shards for g in s.row_groups}}
    for shard in shards:
        found = [wanted[group.file][group.index] for group in shard.row_groups]
        if not found or None in found:
            return False
        ranges.append((min(low for low, _ in found), max(high for _, high in found)))  # type: ignore[misc]
    ranges.sort()
    return all(before[1] < after[0] for before, after in itertools.pairwise(ranges))


def _ranges(file: InputFile, name: str) -> list[tuple[Any, Any] | None]:
    """The least and the largest value in each row group, None where the footer does not tell or there are nulls."""
    keys = dict(file.keys)
    if name in keys:
        value = keys[name]
        return [None if value is None else (value, value)] * len(file.row_groups)
    found: list[tuple[Any, Any] | None] = []
    with file.parquet() as parquet:
        for number in range(parquet.metadata.num_row_groups):
            group = parquet.metadata.row_group(number)
            chunks = (group.column(i) for i in range(group.num_columns))
            chunk = next((chunk for chunk in chunks if chunk.path_in_schema == name), None)
            known = chunk.statistics if chunk is not None else None
            if known is None or not known.has_min_max or not known.has_null_count or known.null_count:
                found.append(None)
                continue
            try:
                found.append((known.min, known.max))
            except (ValueError, OverflowError, pa.ArrowException):  # a value that Python's own types do not hold
                found.append(None)
    return found
