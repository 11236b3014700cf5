"""What names a row, and the key that is folded from it: the same whatever is computed beside the row."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from jaxbatch.input.arrow_arrays import is_null, one_chunk, to_numpy
from jaxbatch.input.row_identity import folds
from jaxbatch.input.row_identity.row_numbers import NUMBER, file_of, place_of
from jaxbatch.input.row_identity.threefry import Keys


@dataclass(frozen=True)
class RowIdentity:
    """What names a row: its file and its place there, or its values in some columns of the files."""

    columns: tuple[str, ...] = ()
    """The columns of ``[input] key_by``; none where file and place name a row."""
    names: tuple[str, ...] = ()
    """What each of the input's files is called; none where columns name a row."""

    def __str__(self) -> str:
        return " and ".join(self.columns) if self.columns else "the row's file and place"

    def keys(self, table: pa.Table, seed: int, use: int) -> Keys:
        """The key of each row of a table, folded from the seed, a word for its use, and the words that name the row.

        Args:
            table: one row or more, with the columns that name them; or with their numbers, where file and place do.
            seed: of the job.
            use: tells apart keys of one row that must know nothing of each other.
        """
        if not self.columns:
            return self._by_place(to_numpy(one_chunk(table.column(NUMBER))), seed, use)
        keys = Keys.of_seed(seed).folded(use)
        for name in self.columns:
            keys = folds.of_values(keys, one_chunk(table.column(name)))
        return keys

    def named(self, table: pa.Table) -> np.ndarray:
        """``[rows]`` booleans: which rows have a name, since no column that names them is null."""
        named = np.ones(table.num_rows, bool)
        for name in self.columns:
            if table.column(name).null_count:
                named &= ~is_null(one_chunk(table.column(name)))
        return named

    def _by_place(self, numbers: np.ndarray, seed: int, use: int) -> Keys:
        segments = list(_by_file(numbers))
        keys = [_of_file(seed, use, self.names[file_of(rows[0])]) for rows in segments]
        folded = [folds.of_places(key, place_of(rows)) for key, rows in zip(keys, segments, strict=True)]
        return Keys.joined(folded, [len(rows) for rows in segments])


@functools.lru_cache(256)  # a file is read chunk by chunk
def _of_file(seed: int, use: int, name: str) -> Keys:
    return folds.of_file(Keys.of_seed(seed).folded(use), name)


def _by_file(numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of each file's rows in turn."""
    files = file_of(numbers)
    if files[0] == files[-1]:
        yield numbers
    else:
        yield from np.split(numbers, np.flatnonzero(np.diff(files)) + 1)
