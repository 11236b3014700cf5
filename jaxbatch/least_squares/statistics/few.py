"""Sums of products of few rows: the scheme of ``slices.py`` for many datasets at once, which lie on the last axis.

Sums of few products leave more bits to a slice, so three slices hold all that most datasets have. Their products are
added up elementwise, over all datasets together: matrices so small would take longer to call than to multiply.
"""

import numpy as np

from jaxbatch.least_squares.statistics.slices import cut

FEW_ROWS = 32
"""The most rows of a dataset."""

FEW_COLUMNS = 8
"""The most columns: with more, small matrix products are faster."""

BITS = 24
"""The bits of a slice. The first has at most 2²⁴ units and the others 2²³, so 32 products of two, and two such sums of
products of the first with another, make at most 2⁵³ units."""

SLICES = 3

ELEMENTS = 1 << 17
"""The elements of slices that are computed at once: 1 MiB."""

_PAIRS = (((0, 0),), ((0, 1), (1, 0)), ((0, 2), (2, 0)), ((1, 1),), ((1, 2), (2, 1)), ((2, 2),))
"""The products of slices whose sums are added at once, exactly, from the greatest to the least."""


def datasets_at_once(length: int, k: int) -> int:
    """How many datasets of this length and of k columns are computed at once."""
    return max(1, ELEMENTS // (SLICES * k * length))


def sums_of_products(columns: np.ndarray, *, ones: bool) -> tuple[np.ndarray, np.ndarray]:
    """The sums of the products of each pair of columns, in parts that are exact.

    Args:
        columns: [k, n, D] of D datasets, all below 1 in absolute value, n at most ``FEW_ROWS``. It is overwritten.
        ones: whether a column of ones comes before the others.

    Returns:
        The parts, [6, pairs, D], to be added from the last to the first, with the pairs i ≤ j in the order of
        ``numpy.triu_indices``; the product of the ones with themselves is left 0. And which datasets have later bits
        than three slices hold, [D]: theirs are not the sums.
    """
    k, datasets = len(columns), columns.shape[2]
    slices = np.empty((SLICES, *columns.shape))
    for number in range(SLICES):
        cut(columns, 2.0 ** -(BITS * (number + 1)), slices[number])
    beyond = (columns != 0).any(axis=(0, 1))
    size = k + ones
    sums = np.zeros((len(_PAIRS), size * (size + 1) // 2, datasets))
    if ones:
        np.add.reduce(slices, axis=2, out=sums[:SLICES, 1:size])
    end = int(ones) * size
    products = np.empty((SLICES, SLICES, k, datasets))
    for i in range(k):
        own = np.einsum("and,bjnd->abjd", slices[:, i], slices[:, i:], out=products[:, :, i:])
        start, end = end, end + k - i
        for part, pairs in zip(sums, _PAIRS, strict=True):
            for a, b in pairs:
                part[start:end] += own[a, b]
    return sums, beyond
