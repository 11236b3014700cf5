"""Sums of products of few rows: the scheme of ``slices.py`` for many datasets at once, which lie on the last axis.

Sums of few products leave more bits to a slice, so three slices hold all that most datasets have. Their products are
added up elementwise, over all datasets together: matrices so small would take longer to call than to multiply.
"""

import numpy as np

from jaxbatch.least_squares.arithmetic.double_double import fast_two_sum, two_sum
from jaxbatch.least_squares.statistics.slices import cut

FEW_ROWS = 32
"""The most rows of a dataset."""

FEW_COLUMNS = 8
"""The most columns: with more, small matrix products are faster."""

BITS = 24
"""The bits of a slice. The first has at most 2²⁴ units and the others 2²³, so 32 products of the first with itself make
at most 2⁵³ units, and two such sums of products with another slice together no more."""

SLICES = 3

ELEMENTS = 1 << 17
"""The elements of slices that are computed at once: 1 MiB."""


def datasets_at_once(length: int, k: int) -> int:
    """How many datasets of this length and of k columns are computed at once."""
    return max(1, ELEMENTS // (SLICES * k * length))


def sums_of_products(columns: np.ndarray, *, ones: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sums of the products of each pair of columns.

    Args:
        columns: [k, n, D] of D datasets, all below 1 in absolute value, n at most ``FEW_ROWS``. It is overwritten.
        ones: whether a column of ones comes before the others.

    Returns:
        The sums as double-doubles, high and low parts, [pairs, D], with the pairs i ≤ j in the order of
        ``numpy.triu_indices``; the product of the ones with themselves is left 0. And which datasets have later bits
        than three slices hold, [D]: theirs are not the sums.
    """
    k, datasets = len(columns), columns.shape[2]
    slices = np.empty((SLICES, *columns.shape))
    for number in range(SLICES):
        cut(columns, 2.0 ** -(BITS * (number + 1)), slices[number])
    beyond = (columns != 0).any(axis=(0, 1))
    size = k + ones
    sums = np.empty((SLICES, SLICES, size * (size + 1) // 2, datasets))
    if ones:
        sums[:, :, :size] = 0.0
        np.add.reduce(slices, axis=2, out=sums[0, :, 1:size])
    end = int(ones) * size
    for i in range(k):
        start, end = end, end + k - i
        np.einsum("and,bjnd->abjd", slices[:, i], slices[:, i:], out=sums[:, :, start:end])
    return *_added(sums), beyond


def _added(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sums of products of slices a and b, [a, b, …], as double-doubles.

    They are exact, and each slice is 2²⁴ times smaller than the one before. So what is rounded here is less than 2⁻¹⁰³
    of the root of the product of the columns' own sums, if each column has an element of at least 1/2.
    """
    last = sums[2, 2] + (sums[1, 2] + sums[2, 1])
    rest, error = two_sum(sums[1, 1], sums[0, 2] + sums[2, 0])
    last += error
    rest, error = two_sum(sums[0, 1] + sums[1, 0], rest)
    last += error
    high, low = two_sum(sums[0, 0], rest)
    low += last
    return fast_two_sum(high, low)
