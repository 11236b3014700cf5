"""A kernel's questions about the data before the run, answered from statistics in footers, or else by reading."""

from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.input_file import InputFile, as_input_error
from jaxbatch.input.lookup import LookupTable
from jaxbatch.input.ranges import leaf_of
from jaxbatch.input.read_limits import leaves_of, rows_at_once


class FileProbe:
    """Answers a kernel's questions about the data before the run.

    Args:
        files: the input's files.
        names: the column for each name that the kernel may ask about.
        lookups: the tables that columns may be joined from; a question about one of these is asked of all its rows.
    """

    def __init__(self, files: Sequence[InputFile], names: Mapping[str, str], lookups: Sequence[LookupTable] = ()):
        self._files = files
        self._names = names
        self._lookups = lookups

    def maximum(self, column: str) -> int | None:
        """The largest value of an integer column, or None if it has no value.

        Raises:
            InputError: a file cannot be read.
        """
        files, name = self._place(column)
        largest = [value for file in files for value in _maxima(file, name)]
        return max(largest, default=None)

    def length(self, column: str) -> int | None:
        """The length of a list column's first list that is not null, or None if there is none.

        Raises:
            InputError: a file cannot be read.
        """
        files, name = self._place(column)
        for file in files:
            with as_input_error(f"{file.path}, column '{name}'"), file.open() as opened:
                if name not in opened.parquet.schema_arrow.names:
                    continue
                leaves = leaves_of(opened, [name])
                for index in range(len(file.row_groups)):
                    step = min(1024, rows_at_once(file, opened, index, leaves))
                    for batch in opened.parquet.iter_batches(batch_size=step, row_groups=[index], columns=[name]):
                        lengths = pc.drop_null(pc.list_value_length(batch.column(name)))
                        if len(lengths):
                            return int(lengths[0].as_py())
        return None

    def _place(self, column: str) -> tuple[Sequence[InputFile], str]:
        """The files that hold a column, and its name in them."""
        name = self._names[column]
        lookup = next((lookup for lookup in self._lookups if name in lookup.columns), None)
        return (self._files, name) if lookup is None else (lookup.files, lookup.columns[name])


def _maxima(file: InputFile, name: str) -> Iterator[int]:
    keys = dict(file.keys)
    if name in keys:
        if isinstance(keys[name], int):
            yield int(keys[name])  # type: ignore[arg-type]
        return
    with as_input_error(f"{file.path}, column '{name}'"), file.open() as opened:
        parquet = opened.parquet
        leaf = leaf_of(opened, name)
        if leaf is None:
            return  # schemas.check_files, which comes later, names every file without the column
        signed = not pa.types.is_unsigned_integer(parquet.schema_arrow.field(name).type)
        for index, group in enumerate(opened.chunks):
            known = group[leaf].range(signed)
            if known is not None:
                yield known[1]
                continue
            value = pc.max(parquet.read_row_group(index, columns=[name]).column(name)).as_py()
            if value is not None:
                yield int(value)
