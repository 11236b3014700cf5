"""The statistics of many datasets lying end to end, in NumPy: no compiler, and nothing padded beyond a group.

Short datasets of like length are computed together, a group at a time whose slices fit in the cache of a core; a long
one block by block. Sums are exact but for the last step (see ``slices.py``), so a dataset's bits depend on its rows
alone: not on their order, nor on the other datasets, nor on the processor.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxbatch.least_squares.statistics import few, slices
from jaxbatch.least_squares.statistics.lengths import alike, padded
from jaxbatch.least_squares.statistics.scaling import (
    LARGEST_EXPONENT,
    ZERO_EXPONENT,
    divide,
    exponents_of,
    measured,
    measured_between,
)
from jaxbatch.least_squares.statistics.slices import BLOCK_ROWS, LEVELS, SLICES

GROUP_SIZE = 1 << 19
"""The elements of slices and of their products that are computed at once, 4 MiB: more would leave the caches, and less
would take longer to call than to compute."""

LONG_ROWS = 2016
"""The rows of a block of a long dataset. It has many divisors, but is no multiple of a high power of two: this would
lay all columns onto the same few places of a cache, which takes twice as long."""

BATCH_SIZE = 1 << 18
"""The sums of levels, for many datasets, that are kept until they are combined."""


class Statistics(NamedTuple):
    """The statistics of D datasets; each field means that of :class:`jaxbatch.least_squares.Statistic`.

    The k columns are those of the terms, with the intercept's ones first if there is one, and y last.
    """

    high: np.ndarray
    """The high parts of the products, [D, k(k + 1)/2]: the upper triangle, row by row."""
    low: np.ndarray
    """The low parts."""
    exponents: np.ndarray
    """Of the powers of two by which columns were divided, [D, k], int64."""
    n: np.ndarray
    """Numbers of observations, [D], int64."""
    weight: np.ndarray
    """Sums of the weights, [D]."""
    y_min: np.ndarray
    y_max: np.ndarray
    shift: np.ndarray
    """Zeros, [D]."""


def statistics_of(
    columns: Sequence[np.ndarray],
    lengths: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    intercept: bool,
    order: np.ndarray | None = None,
) -> Statistics:
    """The statistics of many datasets.

    Args:
        columns: the features, and y last: float64 arrays of one column, [rows], or of several, [rows, columns], which
            need not be contiguous.
        lengths: the number of rows of each dataset, [D]; it may be 0.
        weights: [rows], all above 0.
        intercept: whether a column of ones is put before the others.
        order: the numbers of the rows dataset by dataset, [Σ lengths]; None if they lie so.
    """
    job = _Job(columns, np.asarray(lengths, np.int64), weights, order, intercept=intercept)
    with np.errstate(all="ignore"):  # infinity and NaN stay in the statistic of their dataset
        for datasets in alike(np.where(job.add_few(), 0, job.lengths)):
            job.add_short(datasets)
        for dataset in np.flatnonzero(job.lengths > BLOCK_ROWS):
            job.add_long(int(dataset))
        return job.statistics()


class _Job:
    """The results so far. Weighted columns begin with the ones; else these are left to the slices."""

    def __init__(
        self,
        columns: Sequence[np.ndarray],
        lengths: np.ndarray,
        weights: np.ndarray | None,
        order: np.ndarray | None,
        *,
        intercept: bool,
    ) -> None:
        self.columns, self.lengths, self.weights, self.order = columns, lengths, weights, order
        self.intercept = intercept
        self.starts = np.cumsum(lengths) - lengths
        self.weighted = weights is not None
        self.ones = intercept and not self.weighted
        self.k = sum(1 if each.ndim == 1 else each.shape[1] for each in columns) + self.weighted
        self.size = self.k + self.ones
        self.first, self.second = np.triu_indices(self.size)
        self.pairs = len(self.first)
        datasets = len(lengths)
        self.high, self.low = np.zeros((2, datasets, self.pairs))
        self.exponents = np.full((datasets, self.size), ZERO_EXPONENT)
        self.y_min, self.y_max = np.full(datasets, np.inf), np.full(datasets, -np.inf)

    def statistics(self) -> Statistics:
        """The statistics of all datasets."""
        n, high, low, exponents = self.lengths.copy(), self.high, self.low, self.exponents
        weight = n.astype(np.float64)
        if self.weighted:
            weight = np.ldexp(high[:, 0], 2 * exponents[:, 0])
            if not self.intercept:
                high, low, exponents = high[:, self.size :], low[:, self.size :], exponents[:, 1:]
        return Statistics(high, low, exponents, n, weight, self.y_min, self.y_max, np.zeros(len(n)))

    def add_few(self) -> np.ndarray:
        """Adds those datasets of few rows that three slices hold; says which these are, [D]."""
        done = np.zeros(len(self.lengths), bool)
        if self.weighted or self.k > few.FEW_COLUMNS:
            return done
        for length in range(1, few.FEW_ROWS + 1):
            datasets = np.flatnonzero(self.lengths == length)
            step = few.datasets_at_once(length, self.k)
            for start in range(0, len(datasets), step):
                some = datasets[start : start + step]
                rows = self.starts[some] + np.arange(length)[:, None]
                Z = self._scaled(some, self._read(rows), axis=1)
                high, low, beyond = few.sums_of_products(Z, ones=self.ones)
                if beyond.any():
                    some, high, low = some[~beyond], high[:, ~beyond], low[:, ~beyond]
                self._keep(some, high, low)
                done[some] = True
        return done

    def _group(self, length: int) -> int:
        """How many datasets of this length are computed at once."""
        columns = (3 + SLICES * self.weighted) * self.k + 1
        return max(1, GROUP_SIZE // (columns * (length + columns)))

    def add_short(self, datasets: np.ndarray) -> None:
        """Adds datasets of like length, of at most ``BLOCK_ROWS``."""
        length = int(self.lengths[datasets].max())
        group = self._group(length)
        batch = -(-BATCH_SIZE // (LEVELS * self.pairs * group)) * group
        for start in range(0, len(datasets), batch):
            self._add_batch(datasets[start : start + batch], length, group)

    def _add_batch(self, datasets: np.ndarray, length: int, group: int) -> None:
        words = 1 if length * SLICES <= BLOCK_ROWS else 2
        sums = np.zeros((words, LEVELS, self.pairs, len(datasets)))
        late, values = [], []
        for start in range(0, len(datasets), group):
            some = datasets[start : start + group]
            found = self._sliced(self._of_length(some, length))
            sums[..., start : start + group] = self._level_sums(found, len(some), words)
            late.append(start + found.late // length)
            values.append(found.values)
        self._add_late(np.concatenate(late), np.concatenate(values, axis=1), sums)
        self._keep(datasets, *slices.combined(sums))

    def _of_length(self, datasets: np.ndarray, length: int) -> np.ndarray:
        """The scaled columns of datasets, [k, D, length] or [k + 1, D, length], padded with zeros to this length."""
        starts, lengths = self.starts[datasets], self.lengths[datasets]
        if (lengths == length).all() and starts[-1] - starts[0] == (len(starts) - 1) * length:
            return self._scaled(datasets, self._read(slice(starts[0], starts[-1] + length), len(datasets)))
        rows, padding = padded(starts, lengths, length)
        Z = self._scaled(datasets, self._read(rows))
        Z[:, padding] = 0.0
        return Z

    def _scaled(self, datasets: np.ndarray, Z: np.ndarray, axis: int = 2) -> np.ndarray:
        """The columns of datasets, divided in place; keeps exponents and the range of y."""
        exponents = exponents_of(measured(Z, weighted=self.weighted, axis=axis))
        self.exponents[datasets, self.ones :] = exponents.T
        self._keep_range(datasets, Z, axis)
        divide(Z, exponents, weighted=self.weighted, axis=axis)
        return Z

    def _add_late(self, own: np.ndarray, values: np.ndarray, sums: np.ndarray) -> None:
        """Adds rows left out before, [k, rows], to the sums; ``own``, [rows], is the dataset of each."""
        datasets, starts, lengths = np.unique(own, return_index=True, return_counts=True)
        for some in alike(lengths):
            length = int(lengths[some].max())
            group = self._group(length)
            for first in range(0, len(some), group):
                part = some[first : first + group]
                rows, padding = padded(starts[part], lengths[part], length)
                Z = values[:, rows]
                Z[:, padding] = 0.0
                sums[..., datasets[part]] += self._level_sums(self._sliced(Z, apart=False), len(part), len(sums))

    def add_long(self, dataset: int) -> None:
        """Adds a dataset of any length, some blocks at a time."""
        start, end = self.starts[dataset], self.starts[dataset] + self.lengths[dataset]
        step = self._group(LONG_ROWS) * LONG_ROWS
        whole = start + (end - start) // LONG_ROWS * LONG_ROWS
        pieces = [slice(a, min(a + step, whole)) for a in range(start, whole, step)]
        pieces += [slice(whole, end)] if whole < end else []
        some = np.array([dataset])
        exponents = exponents_of(self._measured_long(some, pieces))
        self.exponents[some, self.ones :] = exponents.T
        size = self.ones + SLICES * self.k
        total, late = np.zeros((2, 1, size, size)), np.empty((self.k + self.weighted, 0))
        for rows in pieces:
            Z = self._read(rows)
            divide(Z, exponents, weighted=self.weighted)
            late = np.concatenate([late, self._add_blocks(Z, total).values], axis=1)
            while late.shape[1] >= LONG_ROWS or (late.size and rows is pieces[-1]):
                self._add_blocks(late[:, None, :LONG_ROWS].copy(), total, apart=False)
                late = late[:, LONG_ROWS:]
        sums = np.stack([slices.level_sums(word, self.k, ones=self.ones) for word in total])
        self._keep(some, *slices.combined(sums))

    def _measured_long(self, some: np.ndarray, pieces: Sequence[slice]) -> np.ndarray:
        """See :func:`measured`, of one dataset; keeps the range of its y."""
        if self.weighted or self.order is not None:
            found = np.full((self.k, 1), -np.inf)
            for rows in pieces:
                Z = self._read(rows)
                found = np.maximum(found, measured(Z, weighted=self.weighted))
                self._keep_range(some, Z)
            return found
        rows = slice(pieces[0].start, pieces[-1].stop)  # read where they are: a copy would take longer
        least, most = (
            np.hstack([find(each[rows], axis=0) for each in self.columns])[:, None] for find in (np.min, np.max)
        )
        self.y_min[some], self.y_max[some] = least[-1], most[-1]
        return measured_between(least, most)

    def _add_blocks(self, Z: np.ndarray, total: np.ndarray, *, apart: bool = True) -> slices.Sliced:
        found = self._sliced(Z, apart=apart)
        products = slices.products(found, max(1, Z.shape[2] // LONG_ROWS))
        high, low = slices.words(products, self.k, ones=self.ones)
        p, q = high.shape[1:]
        total[0, 0, :p, :q] += high.sum(axis=0)
        total[1, 0, :p, :q] += low.sum(axis=0)
        return found

    def _read(self, rows: slice | np.ndarray, blocks: int = 1) -> np.ndarray:
        """The columns, and weights last if there are any: [k, …] or [k + 1, …] for rows […], or [k, blocks, n]."""
        shape = (blocks, -1) if isinstance(rows, slice) else rows.shape
        if self.order is not None:
            rows = self.order[rows]
        given = [*self.columns, self.weights] if self.weighted else self.columns
        count = rows.stop - rows.start if isinstance(rows, slice) else rows.size
        Z = np.empty((self.k + self.weighted, count))
        Z[: self.weighted] = 1.0
        k = int(self.weighted)
        for each in given:
            width = 1 if each.ndim == 1 else each.shape[1]
            own = Z[k : k + width]
            if isinstance(rows, slice):
                own[:] = each[rows].T
            elif each.ndim == 1:
                each.take(rows.reshape(-1), out=own[0], mode="clip")  # the default would take them to a buffer first
            else:
                own[:] = each[rows.reshape(-1)].T
            k += width
        return Z.reshape(len(Z), *shape)

    def _keep_range(self, datasets: np.ndarray, Z: np.ndarray, axis: int = 2) -> None:
        y = Z[self.k - 1]
        self.y_min[datasets] = np.minimum(self.y_min[datasets], y.min(axis=axis - 1))
        self.y_max[datasets] = np.maximum(self.y_max[datasets], y.max(axis=axis - 1))

    def _sliced(self, Z: np.ndarray, *, apart: bool = True) -> slices.Sliced:
        return slices.sliced(Z.reshape(len(Z), -1), ones=self.ones, weighted=self.weighted, apart=apart)

    def _level_sums(self, found: slices.Sliced, blocks: int, words: int) -> np.ndarray:
        products = slices.products(found, blocks)
        parts = (products,) if words == 1 else slices.words(products, self.k, ones=self.ones)
        return np.stack([slices.level_sums(part, self.k, ones=self.ones) for part in parts])

    def _keep(self, datasets: np.ndarray, high: np.ndarray, low: np.ndarray) -> None:
        """Keeps the products of scaled columns, [pairs, D], of datasets of at least one row; it may overwrite them."""
        exponents = self.exponents[datasets].T
        if self.ones:  # divided by 2, as any other column whose largest element is 1
            exponents[0] = 1
            high[0] = self.lengths[datasets]
            for part in (high, low):
                part[: self.size] *= 0.5
            high[0] *= 0.5
        if not self.weighted and np.abs(exponents).max(initial=0) > LARGEST_EXPONENT:
            least = np.clip(exponents, -LARGEST_EXPONENT, LARGEST_EXPONENT)
            down = exponents - least
            high, low = (np.ldexp(part, down[self.first] + down[self.second]) for part in (high, low))
            exponents = least
        self.exponents[datasets] = exponents.T
        self.high[datasets], self.low[datasets] = high.T, low.T
