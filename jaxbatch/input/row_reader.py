"""Row groups → Arrow tables: the rows of a shard in order, in pieces of bounded size."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pyarrow as pa

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input import read_limits
from jaxbatch.input.arrow_arrays import to_arrow, to_texts
from jaxbatch.input.input_file import InputFile, OpenFile, as_input_error
from jaxbatch.input.int96 import NANOSECONDS, aligned_batches, exact
from jaxbatch.input.ranges import check_range
from jaxbatch.input.row_identity import row_numbers
from jaxbatch.input.shards import RowGroup


class Rows:
    """A forward reader over the rows of some row groups, across files.

    Args:
        files: all files of the input.
        row_groups: the row groups to read; each has the number of its file in ``files``.
        schema: the columns to read, with the types in which tables have them.
        batch_rows: how many rows are read at once, at most.
        ranged: a column that the plan trusts to lie in its footers' ranges, so that its values are checked.
        numbered: whether the rows come with their numbers in the input, see
            :mod:`~jaxbatch.input.row_identity.row_numbers`.
    """

    def __init__(
        self,
        files: Sequence[InputFile],
        row_groups: Sequence[RowGroup],
        schema: pa.Schema,
        batch_rows: int,
        ranged: str | None = None,
        *,
        numbered: bool = False,
    ):
        schema = schema.append(row_numbers.FIELD) if numbered else schema
        self._schema = schema
        self._batches = _batches(files, row_groups, schema, batch_rows, ranged)
        self._left: list[pa.Table] = []
        self._step = batch_rows
        self._position = 0

    def take(self, rows: int, enough: int | None = None) -> pa.Table:
        """The next ``rows`` rows, or fewer where texts or lists are long, as a table of one chunk per column.

        Args:
            rows: the most rows; there must be as many.
            enough: how many suffice where one batch ends, such as a row group: a batch alone is not copied.

        Raises:
            pyarrow.ArrowInvalid: the file holds fewer rows than its footer says.
            InputError: a page cannot be read, or holds other values than the footer says.
            ConnectionError: the store does not answer.
        """
        taken: list[pa.Table] = []
        missing = rows
        taken_bytes = 0
        spare = 0 if enough is None else max(0, rows - enough)
        while missing > spare and taken_bytes < read_limits.READ_BYTES:
            table = self._left.pop() if self._left else next(self._batches, None)
            if table is None:
                raise pa.ArrowInvalid(f"the file holds {missing} fewer rows than its footer says")
            if table.num_rows > missing:
                self._left.append(table.slice(missing))
                table = table.slice(0, missing)
            taken.append(table)
            missing -= table.num_rows
            taken_bytes += long_bytes(table)
        self._position += rows - missing
        return pa.concat_tables(taken).combine_chunks() if taken else pa.Table.from_batches([], self._schema)

    def seek(self, position: int) -> None:
        """Skip the rows before ``position``, counted from the first row group's first row."""
        while self._position < position:
            self.take(min(position - self._position, self._step))


def _batches(
    files: Sequence[InputFile],
    row_groups: Sequence[RowGroup],
    schema: pa.Schema,
    batch_rows: int,
    ranged: str | None,
) -> Iterator[pa.Table]:
    for number, groups in itertools.groupby(row_groups, key=lambda group: group.file):
        indices = [group.index for group in groups]
        yield from _file_batches(files[number], number, indices, schema, batch_rows, ranged)


def _file_batches(
    file: InputFile, number: int, indices: Sequence[int], schema: pa.Schema, batch_rows: int, ranged: str | None
) -> Iterator[pa.Table]:
    keys = dict(file.keys)
    stored = [name for name in schema.names if name not in (*keys, row_numbers.NUMBER)]
    starts = row_numbers.starts(number, file.row_groups)
    with as_input_error(file.path), file.open() as opened:
        if not stored:
            yield from (_table({}, keys, schema, file.row_groups[index], starts[index]) for index in indices)
            return
        leaves = read_limits.leaves_of(opened, stored)
        int96 = sorted({c.names[0] for group in opened.chunks[:1] for c in group if c.is_int96} & set(stored))
        with file.open(coerce_int96_timestamp_unit=NANOSECONDS) if int96 else nullcontext() as finer:
            for index in indices:  # one at a time: pyarrow would hold all of several in memory
                where = f"{file.path}, row group {index}"
                first = starts[index]
                with as_input_error(where):
                    step = min(batch_rows, read_limits.rows_at_once(file, opened, index, leaves))
                    options = {"batch_size": step, "row_groups": [index]}
                    for columns, rows in _read_batches(opened, finer, stored, int96, schema, where, options):
                        if ranged is not None and ranged in columns:
                            check_range(columns[ranged], opened, file, index, ranged)
                        yield _table(columns, keys, schema, rows, first)
                        first += rows


def _read_batches(
    opened: OpenFile,
    finer: OpenFile | None,
    stored: Sequence[str],
    int96: Sequence[str],
    schema: pa.Schema,
    where: str,
    options: Mapping[str, Any],
) -> Iterator[tuple[dict[str, pa.Array], int]]:
    """The columns of some rows at a time, and the number of rows.

    The exact values of INT96 columns, which ``int96`` names, follow from both units: those of ``opened``, and those of
    ``finer``, which is the same file opened in nanoseconds.
    """
    batches = opened.parquet.iter_batches(columns=stored, **options)
    if finer is None:
        yield from ((_columns(batch), batch.num_rows) for batch in batches)
        return
    for batch, again in aligned_batches(batches, finer.parquet.iter_batches(columns=int96, **options)):
        columns = _columns(batch)
        for name in int96:
            named = f"{where}, column '{name}'"
            columns[name] = exact(columns[name], again.column(name), schema.field(name).type, named)
        yield columns, batch.num_rows


def _columns(batch: pa.RecordBatch) -> dict[str, pa.Array]:
    return dict(zip(batch.schema.names, batch.columns, strict=True))


def long_bytes(table: pa.Table) -> int:
    """The bytes of a table's texts and lists, which may be of any length."""
    return sum(column.nbytes for column in table.columns if not _is_number(column.type))


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_primitive(kind) or pa.types.is_decimal(kind)


def _table(
    columns: dict[str, pa.Array], keys: dict[str, str | int | None], schema: pa.Schema, rows: int, first: int
) -> pa.Table:
    """Rows of one file: what was read of them, its keys, and numbers from the ``first`` row's on."""
    arrays = []
    for field in schema:
        if field.name in columns:
            array = columns[field.name]
            arrays.append(array if array.type == field.type else pc.cast(array, field.type))
        elif field.name == row_numbers.NUMBER:
            arrays.append(to_arrow(np.arange(first, first + rows)))
        else:
            arrays.append(_repeated(keys[field.name], field.type, rows))
    return pa.Table.from_arrays(arrays, schema=schema)


def _repeated(key: str | int | None, kind: pa.DataType, rows: int) -> pa.Array:
    if key is None:
        return pa.nulls(rows, kind)
    one = to_texts([key]) if isinstance(key, str) else to_arrow(np.array([key]))
    return pa.repeat(one.cast(kind)[0], rows)
