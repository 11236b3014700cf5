"""From keys to the rows of a table: a hash table that is built once and asked for many rows at a time.

``pyarrow.compute.index_in`` builds its own anew in every call: for a million keys that takes longer than all else that
is done with a chunk of rows. For few keys it is the quicker one.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from jaxbatch.input import arrow_compute as pc
from jaxbatch.input.arrow_arrays import is_null, to_arrow, to_numpy
from jaxbatch.input.lookup.hashing import PIECE, hashes_of
from jaxbatch.input.lookup.key_columns import KeyColumns

_EMPTY = -1

_FEW = 1 << 17
"""Up to so many keys of one column Arrow's own search is quicker, for 131,072 rows at a time."""


class RepeatedKey(ValueError):
    """Two rows of a table have the same key; ``rows`` are their numbers."""

    def __init__(self, rows: tuple[int, int]):
        super().__init__(f"rows {rows[0]} and {rows[1]} have the same key")
        self.rows = rows


class KeyIndex:
    """Finds the rows of a table by their keys. A key with a null in it is equal to none.

    Open addressing with linear probing, at most half full, by 64-bit hashes that differ for the table's rows; what is
    found is compared by value.

    Args:
        columns: how each column of the key is compared.
        keys: the table's columns, each in one chunk.

    Raises:
        RepeatedKey: a key is there twice.
    """

    def __init__(self, columns: Sequence[KeyColumns], keys: Sequence[pa.Array]):
        self._columns = tuple(columns)
        compared = [column.of_table(array) for column, array in zip(columns, keys, strict=True)]
        present = ~np.logical_or.reduce([is_null(array) for array in compared])
        self._numbers = np.flatnonzero(present).astype(np.int32)
        self._keys = [array if present.all() else array.take(to_arrow(self._numbers)) for array in compared]
        self._seed, hashes = self._distinct_hashes()
        self._shift = np.uint64(64 - max(2 * len(hashes), 2).bit_length())
        self._slots = np.full(1 << (64 - int(self._shift)), _EMPTY, np.int32)
        self._hashes = np.append(hashes, np.uint64(0))  # the last one stands for an empty slot
        for first in range(0, len(hashes), PIECE):
            self._fill(first, hashes[first : first + PIECE])

    def places(self, columns: Sequence[pa.Array]) -> pa.Array:
        """The number of the table's row that has the key of each of the rows, int32; null where there is none.

        Args:
            columns: the rows' key columns, in the types that the index was made for.
        """
        compared = [ours.of_rows(array) for ours, array in zip(self._columns, columns, strict=True)]
        if len(compared) == 1 and len(self._numbers) <= _FEW:
            return to_arrow(self._numbers).take(pc.index_in(compared[0], value_set=self._keys[0]))
        found = self._candidates(hashes_of([_in_dictionary(array) for array in compared], self._seed))
        candidates = to_arrow(found, found != _EMPTY)
        equal = np.ones(len(found), bool)
        for ours, theirs in zip(compared, self._keys, strict=True):
            equal &= to_numpy(pc.equal(ours, theirs.take(candidates)), filled=False)
        return to_arrow(self._numbers).take(to_arrow(found, equal))

    def _distinct_hashes(self) -> tuple[int, np.ndarray]:
        """A seed by which all keys have different hashes, and these.

        Raises:
            RepeatedKey: two keys are equal.
        """
        for seed in itertools.count():
            hashes = hashes_of(self._keys, seed)
            ordered = np.sort(hashes)
            if not (ordered[1:] == ordered[:-1]).any():
                return seed, hashes
            self._check_distinct(hashes)
        raise AssertionError  # the count does not end

    def _check_distinct(self, hashes: np.ndarray) -> None:
        """Compare keys of equal hashes.

        Raises:
            RepeatedKey: two are equal.
        """
        order = np.argsort(hashes, kind="stable")
        same = np.flatnonzero(hashes[order[1:]] == hashes[order[:-1]])
        first, second = order[same], order[same + 1]
        equal = np.ones(len(same), bool)
        for keys in self._keys:
            equal &= to_numpy(pc.equal(keys.take(to_arrow(first)), keys.take(to_arrow(second))))
        if equal.any():
            at = np.flatnonzero(equal)[np.argmin(first[equal])]
            raise RepeatedKey((int(self._numbers[first[at]]), int(self._numbers[second[at]])))

    def _fill(self, first: int, hashes: np.ndarray) -> None:
        """Give keys, from the number ``first`` on, the first free slot from that of their hash on."""
        waiting = np.arange(first, first + len(hashes), dtype=np.int32)
        slots = (hashes >> self._shift).astype(np.int64)
        while len(waiting):
            free = self._slots[slots] == _EMPTY
            self._slots[slots[free]] = waiting[free]  # where several want one slot, the last of them gets it
            left = self._slots[slots] != waiting
            waiting, slots = waiting[left], (slots[left] + 1) & (len(self._slots) - 1)

    def _candidates(self, hashes: np.ndarray) -> np.ndarray:
        """``[rows]`` int32: the key with each hash, ``_EMPTY`` where there is none."""
        slots = (hashes >> self._shift).astype(np.int64)
        found = self._slots[slots]
        going_on = np.flatnonzero((self._hashes[found] != hashes) & (found != _EMPTY))
        while len(going_on):
            slots[going_on] = (slots[going_on] + 1) & (len(self._slots) - 1)
            found[going_on] = self._slots[slots[going_on]]
            other = self._hashes[found[going_on]] != hashes[going_on]
            going_on = going_on[other & (found[going_on] != _EMPTY)]
        return found


def _in_dictionary(array: pa.Array) -> pa.Array:
    """Texts or bytes in a dictionary, so that each that is there often is hashed once; numbers as they are."""
    return array if pa.types.is_integer(array.type) else array.dictionary_encode()
