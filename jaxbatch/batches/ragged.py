"""Columns of lists whose lengths differ from row to row."""

from dataclasses import dataclass

import numpy as np


@dataclass
class RaggedColumn:
    """A column of lists: the values of all rows end to end, and the lengths of the lists."""

    values: np.ndarray
    """[values]: the numbers of all rows, in their order."""
    lengths: tuple[np.ndarray, ...]
    """[rows] for each level of nesting: how many entries a row's list has, and how many numbers each entry."""
    nulls: np.ndarray
    """[entries]: which entries of the first level are null or hold a null."""
    rectangular: np.ndarray
    """[rows]: whether all inner lists of a row, but nulls, have one length. A row where they do not has no values."""
    unfit: np.ndarray
    """[rows]: whether any value of a row does not fit the column's type."""

    def padded(self, rows: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The values of some rows as an array ``[len(rows), *shape]``, zero beyond each row's own lengths."""
        lengths = [length[rows] for length in self.lengths]
        result = np.zeros((len(rows), *shape), self.values.dtype)
        fitting = np.all([length <= size for length, size in zip(lengths, shape, strict=True)], axis=0)
        if not fitting.all():  # the others are rows of invalid input, and stay zero
            result[fitting] = self.padded(rows[fitting], shape)
            return result
        values = self._values_of(rows)
        if not len(values):
            return result
        inner = [int(length.max(initial=0, where=lengths[0] > 0)) for length in lengths[1:]]
        if all((length[lengths[0] > 0] == size).all() for length, size in zip(lengths[1:], inner, strict=True)):
            # All entries are equally long, so whole entries are copied.
            inside = (slice(None), slice(None), *(slice(size) for size in inner))
            first, entries = lengths[0], values.reshape(-1, *inner)
            if (first == first[0]).all():
                if result.shape[1:] == (first[0], *inner):
                    return entries.reshape(result.shape)
                result[:, : first[0]][inside] = entries.reshape(len(rows), first[0], *inner)
            else:
                result[inside][np.arange(shape[0]) < first[:, None]] = entries
            return result
        within = np.ones((len(rows), *[1] * len(shape)), bool)
        for level, (size, length) in enumerate(zip(shape, lengths, strict=True)):
            axis = [1] * (len(shape) + 1)
            axis[level + 1] = size
            within = within & (np.arange(size).reshape(axis) < length.reshape(-1, *[1] * len(shape)))
        result[within] = values
        return result

    def end_to_end(self, rows: np.ndarray, inner: tuple[int, ...]) -> np.ndarray:
        """The entries of some rows one after the other, ``[Σ lengths, *inner]``, zero beyond each row's inner lengths.

        Args:
            rows: the numbers of the rows, in ascending order; each is one that can be computed.
            inner: the size of an entry, at least that of each of these rows' own.
        """
        values = self._values_of(rows)
        if not inner:
            return values
        lengths, widths = (length[rows] for length in self.lengths)
        if (widths[lengths > 0] == inner[0]).all():
            return values.reshape(-1, *inner)
        result = np.zeros((int(lengths.sum()), *inner), values.dtype)
        result[np.arange(inner[0]) < np.repeat(widths, lengths)[:, None]] = values
        return result

    def _values_of(self, rows: np.ndarray) -> np.ndarray:
        """The values of some rows end to end; ``rows`` are in ascending order."""
        if len(rows) == len(self.rectangular):
            return self.values
        sizes = np.prod(np.stack(self.lengths), axis=0)
        starts = np.cumsum(sizes) - sizes
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1:
            return self.values[starts[rows[0]] : starts[rows[-1]] + sizes[rows[-1]]]
        chosen = np.zeros(len(sizes), bool)
        chosen[rows] = True
        return self.values[np.repeat(chosen, sizes)]
