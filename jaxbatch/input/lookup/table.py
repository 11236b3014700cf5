"""A lookup as a value in a plan, and as a table in a process that computes."""

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from jaxbatch.errors import InputError, JobError, readable_bytes
from jaxbatch.input.arrow_arrays import one_chunk, taken
from jaxbatch.input.file_checks import InputTable
from jaxbatch.input.input_file import InputFile, as_input_error
from jaxbatch.input.lookup.key_columns import KeyColumns
from jaxbatch.input.lookup.key_index import KeyIndex, RepeatedKey
from jaxbatch.input.lookup.sizes import decoded_bytes, longest_value
from jaxbatch.input.row_reader import Rows
from jaxbatch.input.shards import row_groups

LIMIT_BYTES = 256 * 2**20
"""Bytes that the keys and the joined columns of a table may have in memory: each process of a run holds them all."""

_ROWS_AT_ONCE = 1 << 20
"""Rows of a table that are read at once: of fewer, the allocator keeps much of what each piece has left."""


@dataclass(frozen=True)
class LookupTable:
    """A table whose columns are joined to the rows: what is joined and of which files, never its rows."""

    name: str
    source: InputTable
    """Its files, and the columns that they have."""
    key: tuple[tuple[str, str], ...]
    """Each column of the key by its name in the input, then in the table."""
    compared: tuple[KeyColumns, ...]
    """The types of each."""
    columns: Mapping[str, str]
    """The columns that are joined: name among the rows → name in the table."""
    mapping: Mapping[str, Any]
    """What the job says of it, files aside, as JSON values."""
    digests: tuple[str, ...] = ()
    """Of the content of each file; set once the table has been checked."""
    row_bytes: int = 0
    """Bytes of the longest row of joined columns; set with the digests."""

    @property
    def files(self) -> tuple[InputFile, ...]:
        """Its files, in order."""
        return self.source.files

    @property
    def joined(self) -> list[pa.Field]:
        """The columns as the rows have them."""
        return [pa.field(own, self.source.schema.field(stored).type) for own, stored in self.columns.items()]

    @property
    def reads(self) -> tuple[str, ...]:
        """The input's columns by which rows are joined; none where nothing is."""
        return tuple(ours for ours, _ in self.key) if self.columns else ()

    @property
    def read(self) -> pa.Schema:
        """The table's columns that are read: of its key, and those that are joined."""
        names = dict.fromkeys([*(theirs for _, theirs in self.key), *self.columns.values()])
        return pa.schema([self.source.schema.field(name).remove_metadata() for name in names])

    def using(self, names: Container[str]) -> "LookupTable":
        """The lookup with those of its columns alone that are among the ``names``."""
        return replace(self, columns={own: stored for own, stored in self.columns.items() if own in names})

    def checked(self) -> "LookupTable":
        """The lookup with what only its rows tell, after a look at all of them.

        Raises:
            InputError: a key is there twice, the table takes too much memory, or it cannot be read.
        """
        size = decoded_bytes(self.files, self.read.names)
        if size > LIMIT_BYTES:
            raise self._too_large(f"about {readable_bytes(size)}")
        columns = self._read()
        keys = [columns[theirs] for _, theirs in self.key]
        try:
            KeyIndex([KeyColumns(pair.table, pair.table) for pair in self.compared], keys)
        except RepeatedKey as error:
            first, second = error.rows
            key = ", ".join(f"{theirs} = {array[first]}" for (_, theirs), array in zip(self.key, keys, strict=True))
            raise InputError(
                f"the key {key} is there twice, in rows {first} and {second}.",
                "Keep one row for each key, or join by more columns: on = […].",
            ) from None
        longest = sum(longest_value(columns[stored]) for stored in self.columns.values())
        return replace(self, digests=tuple(self._content()), row_bytes=longest)

    def identity(self) -> dict[str, Any]:
        """The part of a run's identity that follows from the lookup, as JSON values."""
        files = [
            {"name": file.name, "size": file.size, "footer": file.footer_digest, "content": digest}
            for file, digest in zip(self.files, self.digests, strict=True)
        ]
        return {**self.mapping, "files": files}

    def open(self) -> "OpenLookup":
        """The table in memory, ready to be joined.

        Raises:
            JobError: the files are not here, or not as they were when the run was planned.
        """
        try:
            columns = self._read()
            content = tuple(self._content())
        except InputError as error:
            raise JobError(f"Lookup '{self.name}': {error.what}", f"{error.remedy} {_SAME_EVERYWHERE}") from error
        for file, planned, found in zip(self.files, self.digests, content, strict=True):
            if planned != found:
                raise JobError(
                    f"Lookup '{self.name}': {file.path} is not the file that the run was planned with.",
                    f"Run again to make a new plan. {_SAME_EVERYWHERE}",
                )
        return OpenLookup(self, columns)

    def _read(self) -> dict[str, pa.Array]:
        """The columns of the key and those that are joined.

        Raises:
            InputError: they take too much memory, or cannot be read.
        """
        schema = self.read
        groups = row_groups(self.files)
        rows, missing, size = Rows(self.files, groups, schema, _ROWS_AT_ONCE), sum(each.rows for each in groups), 0
        tables: list[pa.Table] = []
        while missing:
            with as_input_error(self.files[0].path):
                tables.append(rows.take(min(missing, _ROWS_AT_ONCE)))
            missing -= tables[-1].num_rows
            size += tables[-1].nbytes
            if size > LIMIT_BYTES:
                raise self._too_large(f"more than {readable_bytes(LIMIT_BYTES)}")
        table = pa.concat_tables(tables) if tables else schema.empty_table()
        del tables
        columns: dict[str, pa.Array] = {}
        for name in schema.names:  # one at a time, so that no more than one is there twice
            columns[name] = one_chunk(table.column(name))
            table = table.drop_columns(name)
        pa.default_memory_pool().release_unused()  # what was read in pieces may be as much again
        return columns

    def _content(self) -> Iterator[str]:
        for file in self.files:
            with as_input_error(file.path):
                yield file.content_digest()

    def _too_large(self, size: str) -> InputError:
        return InputError(
            f"its keys and the columns in use are {size} in memory, of which a lookup may have "
            f"{readable_bytes(LIMIT_BYTES)}.",
            "Join a large table beforehand, or leave out rows and columns that the job does not need.",
        )


_SAME_EVERYWHERE = "On a cluster every node must see the same file."


class OpenLookup:
    """A lookup's table in memory: it adds its columns to tables of rows, and may be shared by threads.

    Args:
        lookup: the lookup.
        columns: its table, of one chunk a column.
    """

    def __init__(self, lookup: LookupTable, columns: Mapping[str, pa.Array]):
        self._key = [ours for ours, _ in lookup.key]
        self._index = KeyIndex(lookup.compared, [columns[theirs] for _, theirs in lookup.key])
        self._joined: Sequence[tuple[pa.Field, pa.Array]] = [
            (field, columns[stored]) for field, stored in zip(lookup.joined, lookup.columns.values(), strict=True)
        ]

    def join(self, rows: pa.Table) -> pa.Table:
        """The rows with the table's columns after their own: null where no row of the table has their key."""
        places = self._index.places([one_chunk(rows.column(name)) for name in self._key])
        for field, values in self._joined:
            rows = rows.append_column(field, taken(values, places))
        return rows
