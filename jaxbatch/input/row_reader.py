"""Row groups to tables: the rows of a shard, in order, so many at a time."""

# pyarrow.compute makes its functions at import, where no checker sees them.
# pyright: reportAttributeAccessIssue=false

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from jaxbatch.errors import InputError, printable
from jaxbatch.input.arrow_arrays import to_arrow, to_texts
from jaxbatch.input.input_file import InputFile, OpenFile
from jaxbatch.input.int96 import NANOSECONDS, exact, side_by_side
from jaxbatch.input.ranges import check_range, leaf_of
from jaxbatch.input.shards import RowGroup, Shard

READ_BYTES = 64 * 2**20
"""So many bytes of a column are decoded at once, or one row; and rows are taken until texts and lists have so many."""

_UNKNOWN_ROWS = 16
"""So many rows are decoded at once where texts are stored by what they have in common, and nothing tells how much."""

_WIDTHS = {"BOOLEAN": 1, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8}


class Rows:
    """A forward reader over the rows of some row groups, across files.

    A ``ranged`` column is refused where its values are not in the range that the footer has for them.
    """

    def __init__(
        self,
        files: Sequence[InputFile],
        row_groups: Sequence[RowGroup],
        schema: pa.Schema,
        batch_rows: int,
        ranged: str | None = None,
    ):
        self._schema = schema
        self._batches = _batches(files, row_groups, schema, batch_rows, ranged)
        self._left: list[pa.Table] = []
        self._step = batch_rows
        self._position = 0

    def take(self, rows: int) -> pa.Table:
        """The next ``rows`` rows as a table of one chunk per column, or fewer where texts or lists are long.

        Raises:
            pyarrow.ArrowException, OSError: a page cannot be read, or the file holds fewer rows than its
                footer says.
            InputError: it holds other values than its footer says.
        """
        taken: list[pa.Table] = []
        missing = rows
        taken_bytes = 0
        while missing > 0 and taken_bytes < READ_BYTES:
            table = self._left.pop() if self._left else next(self._batches, None)
            if table is None:
                raise pa.ArrowInvalid(f"the file holds {missing} fewer rows than its footer says")
            if table.num_rows > missing:
                self._left.append(table.slice(missing))
                table = table.slice(0, missing)
            taken.append(table)
            missing -= table.num_rows
            taken_bytes += sum(column.nbytes for column in table.columns if not _is_number(column.type))
        self._position += rows - missing
        return pa.concat_tables(taken).combine_chunks() if taken else pa.Table.from_batches([], self._schema)

    def seek(self, position: int) -> None:
        """Pass over the rows before ``position``."""
        while self._position < position:
            self.take(min(position - self._position, self._step))


def _batches(
    files: Sequence[InputFile],
    row_groups: Sequence[RowGroup],
    schema: pa.Schema,
    batch_rows: int,
    ranged: str | None,
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
        with _as_input_error(file.path), file.open() as opened:
            if not stored:
                counts = (file.row_groups[index] for index in indices)
                yield from (_table({}, keys, schema, rows) for rows in counts)
                continue
            leaves = _leaves(opened, stored)
            wide = sorted({c.names[0] for group in opened.chunks[:1] for c in group if c.is_int96} & set(stored))
            with file.open(coerce_int96_timestamp_unit=NANOSECONDS) if wide else nullcontext() as finer:
                for index in indices:  # one at a time: asked for several, pyarrow holds them all
                    where = f"{file.path}, row group {index}"
                    with _as_input_error(where):
                        step = min(batch_rows, _fitting(file, opened, index, leaves))
                        options = {"batch_size": step, "row_groups": [index]}
                        for columns, rows in _decoded(opened, finer, stored, wide, schema, where, options):
                            if ranged is not None and ranged in columns:
                                check_range(columns[ranged], opened, file, index, ranged)
                            yield _table(columns, keys, schema, rows)


def _decoded(
    opened: OpenFile,
    finer: OpenFile | None,
    stored: Sequence[str],
    wide: Sequence[str],
    schema: pa.Schema,
    where: str,
    options: Mapping[str, Any],
) -> Iterator[tuple[dict[str, pa.Array], int]]:
    """The columns of some rows at a time, and how many rows they are; those of ``wide``, which are INT96, are seen to
    be exact by what the same file says where it is opened for a ``finer`` unit."""
    batches = opened.parquet.iter_batches(columns=stored, **options)
    if finer is None:
        yield from ((_columns(batch), batch.num_rows) for batch in batches)
        return
    for batch, again in side_by_side(batches, finer.parquet.iter_batches(columns=wide, **options)):
        columns = _columns(batch)
        for name in wide:
            named = f"{where}, column '{name}'"
            columns[name] = exact(columns[name], again.column(name), schema.field(name).type, named)
        yield columns, batch.num_rows


def _columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_primitive(kind) or pa.types.is_decimal(kind)


def _leaves(opened: OpenFile, columns: Sequence[str]) -> list[int]:
    """The numbers of the Parquet columns that some columns are stored in."""
    return [n for group in opened.chunks[:1] for n, chunk in enumerate(group) if chunk.names[0] in columns]


def _fitting(file: InputFile, opened: OpenFile, index: int, leaves: Sequence[int]) -> int:
    """How many rows of a row group may be decoded at once: a dictionary or a run makes gigabytes of a few bytes."""
    rows, fitting = file.row_groups[index], READ_BYTES
    for number in leaves:
        chunk = opened.chunks[index][number]
        stored = max(chunk.stored, 1)
        decoded = max(stored, chunk.values * _WIDTHS.get(chunk.physical_type, chunk.length))
        fitting = min(fitting, READ_BYTES * rows // decoded)
        if chunk.physical_type != "BYTE_ARRAY" or rows * stored <= READ_BYTES:
            continue  # no text is longer than all that is stored
        if len(chunk.names) > 1 or chunk.is_decimal or chunk.is_incremental:
            fitting = min(fitting, max(READ_BYTES // stored, _UNKNOWN_ROWS))
        elif chunk.has_dictionary:
            fitting = min(fitting, READ_BYTES // max(_longest(file, index, chunk.path), 1))
    return max(fitting, 1)


def _longest(file: InputFile, index: int, path: str) -> int:
    """The length of the longest text in the dictionary of a row group's column, which is all that this decodes."""
    with file.open(read_dictionary=[path]) as opened:
        for batch in opened.parquet.iter_batches(batch_size=1024, row_groups=[index], columns=[path]):
            dictionary = batch.column(0).dictionary
            if len(dictionary):
                return pc.max(pc.binary_length(dictionary)).as_py()
    return 0


@contextmanager
def _as_input_error(where: str) -> Iterator[None]:
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
            arrays.append(_repeated(keys[field.name], field.type, rows))
    return pa.Table.from_arrays(arrays, schema=schema)


def _repeated(key: str | int | None, kind: pa.DataType, rows: int) -> pa.Array:
    if key is None:
        return pa.nulls(rows, kind)
    one = to_texts([key]) if isinstance(key, str) else to_arrow(np.array([key]))
    return pa.repeat(one.cast(kind)[0], rows)


class FileProbe:
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
            with _as_input_error(f"{file.path}, column '{name}'"), file.open() as opened:
                if name not in opened.parquet.schema_arrow.names:
                    continue
                leaves = _leaves(opened, [name])
                for index in range(len(file.row_groups)):
                    step = min(1024, _fitting(file, opened, index, leaves))
                    for batch in opened.parquet.iter_batches(batch_size=step, row_groups=[index], columns=[name]):
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
    with _as_input_error(f"{file.path}, column '{name}'"), file.open() as opened:
        parquet = opened.parquet
        leaf = leaf_of(opened, name)
        if leaf is None:
            return  # the check of the files, which comes later, names every file without the column
        signed = not pa.types.is_unsigned_integer(parquet.schema_arrow.field(name).type)
        for index, group in enumerate(opened.chunks):
            known = group[leaf].range(signed)
            if known is not None:
                yield known[1]
                continue
            value = pc.max(parquet.read_row_group(index, columns=[name]).column(name)).as_py()
            if value is not None:
                yield int(value)


def ranges_disjoint(files: Sequence[InputFile], shards: Sequence[Shard], column: str) -> bool:
    """Whether footers prove that no value of a column is in two parts: no nulls, and ranges that do not touch."""
    if any(len(shard.parts) > 1 for shard in shards):
        return False
    ranges: list[tuple[Any, Any]] = []
    asked = {number: _ranges(files[number], column) for number in {g.file for s in shards for g in s.row_groups}}
    if len({kind for kind, _ in asked.values()}) > 1:
        return False
    wanted = {number: found for number, (_, found) in asked.items()}
    for shard in shards:
        found = [wanted[group.file][group.index] for group in shard.row_groups]
        if not found or None in found:
            return False
        ranges.append((min(low for low, _ in found), max(high for _, high in found)))  # type: ignore[misc]
    ranges.sort()
    return all(before[1] < after[0] for before, after in itertools.pairwise(ranges))


def _ranges(file: InputFile, name: str) -> tuple[str, list[tuple[Any, Any] | None]]:
    """The least and the largest value in each row group, None where the footer does not tell or there are nulls.

    Before them what kind of numbers or bytes they are: those of one kind can be compared.
    """
    keys = dict(file.keys)
    if name in keys:
        value = keys[name]
        return "key", [None if value is None else (value, value)] * len(file.row_groups)
    with _as_input_error(f"{file.path}, column '{name}'"), file.open() as opened:
        leaf = leaf_of(opened, name)
        if leaf is None:
            return "", [None] * len(file.row_groups)
        found = [group[leaf] for group in opened.chunks]
        stored = opened.parquet.schema_arrow.field(name).type
        kind = f"{found[0].physical_type} {stored}"
        if pa.types.is_decimal(stored):  # whose bytes are not in their order
            return kind, [None] * len(file.row_groups)
        signed = not pa.types.is_unsigned_integer(stored)
        return kind, [chunk.range(signed) if chunk.nulls == 0 else None for chunk in found]
