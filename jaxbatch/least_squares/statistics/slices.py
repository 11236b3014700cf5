"""Sums of products of columns without any error, by plain matrix products: the scheme of Ozaki.

After Ozaki, Ogita, Oishi and Rump, *Error-free transformations of matrix multiplication by using fast routines of
matrix multiplication and its applications*, Numer. Algorithms 59 (2012). A column with elements below 1 is cut into
slices: numbers of at most 2²¹ units each, the unit of every slice being 2²² times smaller than that of the one before.
A sum of at most 2¹¹ products of such numbers is an integer number of units of at most 2⁵³, so a matrix product of
slices is exact, whichever library computes it, in whichever order, on whichever processor.

The product of slices a and b counts at level a + b. The sum of a level depends on the columns alone, not on the order
of their rows, nor on how these are divided into blocks, nor on where zeros were left out. So slices are cut only until
nothing remains, and the few rows whose elements have later bits can be treated apart.
"""

import functools
from typing import NamedTuple

import numpy as np

from jaxbatch.least_squares.arithmetic import blas
from jaxbatch.least_squares.arithmetic.double_double import fast_two_sum, two_sum

FIRST_BITS = 21
"""The first slice holds the multiples of 2^−21, of elements below 1."""

BITS = 22
"""Every further slice holds so many bits more: what remains is at most half a unit, so one bit less than its width."""

SLICES = 5
"""What is left after them, at most 2^−110, is dropped."""

LEVELS = 2 * SLICES - 1
"""The levels a + b of two slices a and b."""

BLOCK_ROWS = 2048
"""The most rows of a block, over which products of two slices are summed."""

FEW = 16
"""Rows with later bits are treated apart once they are at most one in so many."""

PRODUCT_SIZE = 1 << 18
"""The most multiplications of one matrix product where OpenBLAS would compute greater ones on several threads, which
wait for each other: beside threads of our own, or on a busy machine, that takes several times as long."""

TILE = 48
"""The most columns of such a product; more are computed tile by tile, over more rows at once."""

PART_SIZE = 1 << 16
"""The most numbers of a factor of a matrix product that is not so limited: 512 KiB, as much as a core's own cache."""

UNITS = 2.0 ** -(FIRST_BITS + BITS * np.arange(SLICES))
"""The unit of each slice."""

LEVEL_UNITS = 2.0 ** -(2 * FIRST_BITS + BITS * np.arange(LEVELS))
"""The unit of which the sum of each level is a multiple."""

_ROUNDS = 1.5 * 2.0**52
"""Adding and subtracting so many units rounds to a unit."""

_HALF_WORD = 2.0**26
"""The units of the high word of a sum of more than 2¹¹ products."""


class Sliced(NamedTuple):
    """Columns cut into slices, but for some rows."""

    left: np.ndarray
    """The slices of the columns times their weights, [ones + slices·k, rows]: first the ones, then slice by slice."""
    right: np.ndarray
    """The slices of the columns; the same array if there are no weights."""
    late: np.ndarray
    """The rows that are left out, that is zero in all slices, [L], ascending."""
    values: np.ndarray
    """The columns and the weights of these rows, [k, L] or [k + 1, L]."""


def sliced(columns: np.ndarray, *, ones: bool = False, weighted: bool = False, apart: bool = True) -> Sliced:
    """Cuts columns into slices.

    Args:
        columns: [k, rows], all below 1 in absolute value. It is overwritten.
        ones: whether a column of ones is put before the others.
        weighted: whether the last of the columns holds weights between 0 and 1; this excludes ``ones``.
        apart: whether a few rows with late bits may be left out.
    """
    weights, rest = (columns[-1], columns[:-1]) if weighted else (None, columns)
    k, rows = rest.shape
    slices = np.empty((ones + SLICES * k, rows))
    left = np.empty((SLICES * k, rows)) if weighted else slices
    products = None if weights is None else two_product(rest, weights)
    slices[:ones] = 1.0
    size, late = int(ones), None
    for number in range(SLICES):
        cut(rest, UNITS[number], slices[size : size + k])
        size += k
        late = _late(rest, rows // FEW if apart else 0)
        if late is not None:
            break
    slices, late = slices[:size], np.empty(0, np.int64) if late is None else late
    values = np.empty((len(columns), len(late)))
    if products is not None:
        left = left[: _cut_pairs(*products, left)]
    if len(late):
        values[:k] = rest[:, late]
        for start in range(size - k, -1, -k):
            values[:k] += slices[start : start + k, late]  # from the smallest on, which is exact
        slices[ones:, late] = 0.0
        if weights is not None:
            values[k] = weights[late]
            left[:, late] = 0.0
    return Sliced(left if weighted else slices, slices, late, values)


def _late(rest: np.ndarray, most: int) -> np.ndarray | None:
    """The rows where anything is left, ascending; None if they are more than so many."""
    first = rest[:, : 4 * most]  # which often have too many already, and are counted sooner than all
    if np.count_nonzero((first != 0).any(axis=0)) > most:
        return None
    late = np.flatnonzero((rest != 0).any(axis=0))
    return late if len(late) <= most else None


def cut(rest: np.ndarray, unit: float, out: np.ndarray) -> None:
    """A slice: ``rest`` rounded to this unit, of less than 2⁵¹ units. In place, ``rest`` is reduced by it.

    No step has an error.
    """
    shift = _ROUNDS * unit
    np.add(rest, shift, out=out)
    np.subtract(out, shift, out=out)
    np.subtract(rest, out, out=rest)


def _cut_pairs(high: np.ndarray, low: np.ndarray, out: np.ndarray) -> int:
    """Cuts numbers high + low, [k, rows] each, and returns how many rows of ``out`` are used.

    What a slice leaves of ``high`` is 0 or at least one unit in its last place, so greater than ``low``.
    """
    k = len(high)
    for number in range(SLICES):
        cut(high, UNITS[number], out[number * k : (number + 1) * k])
        high, low = fast_two_sum(high, low)
        if not high.any():
            return (number + 1) * k
    return SLICES * k


def two_product(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a·b rounded, and its exact error, for numbers of at most 1 (Dekker). NumPy fuses no product with a sum."""
    product = a * b
    (a_upper, a_lower), (b_upper, b_lower) = _halves(a), _halves(b)
    error = a_upper * b_upper - product + a_upper * b_lower + a_lower * b_upper + a_lower * b_lower
    return product, error


def _halves(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """a = upper + lower exactly, of 26 bits each (Veltkamp)."""
    scaled = (2.0**27 + 1.0) * a
    upper = scaled - (scaled - a)
    return upper, a - upper


def products(found: Sliced, blocks: int) -> np.ndarray:
    """The matrix products of left and right slices over the rows of each block, exactly.

    Args:
        found: of rows that are those of ``blocks`` blocks of equal length, at most ``BLOCK_ROWS``, end to end.
        blocks: the number of blocks, B.

    Returns:
        [B, p, q], of p left and q right slices.
    """
    left, right = (each.reshape(len(each), blocks, -1).swapaxes(0, 1) for each in (found.left, found.right))
    p, q = left.shape[1], right.shape[1]
    limited = not blas.has_one_thread()
    if not limited or max(p, q) <= TILE:
        return _product(left, right, limited=limited)
    result = np.empty((blocks, p, q))
    for rows in _tiles(p):
        for columns in _tiles(q):
            if found.left is found.right and columns.start < rows.start:
                result[:, rows, columns] = result[:, columns, rows].swapaxes(1, 2)
            else:
                result[:, rows, columns] = _product(left[:, rows], right[:, columns], limited=True)
    return result


def _tiles(size: int) -> list[slice]:
    """Tiles of about equal size, of at most ``TILE``."""
    count = -(-size // TILE)
    return [slice(i * size // count, (i + 1) * size // count) for i in range(count)]


def _product(left: np.ndarray, right: np.ndarray, *, limited: bool) -> np.ndarray:
    """left·right' of [B, p, n] and [B, q, n], over parts of the rows and then over the parts."""
    (blocks, p, n), q = left.shape, right.shape[1]
    part = _part(n, max(1, PRODUCT_SIZE // (p * (q + 1)) if limited else PART_SIZE // max(p, q)))
    whole = n // part * part
    a, b = (each[..., :whole].reshape(blocks, -1, whole // part, part).swapaxes(1, 2) for each in (left, right))
    result = a @ b.swapaxes(2, 3)
    result = result[:, 0] if whole == part else result.sum(axis=1)
    if whole < n:
        result += left[..., whole:] @ right[..., whole:].swapaxes(1, 2)
    return result


@functools.cache
def _part(n: int, most: int) -> int:
    """The rows of a part of n rows: at most so many, and a divisor of n if there is one of at least half as many."""
    divisors = (part for part in range(min(n, most), most // 2, -1) if n % part == 0)
    return next(divisors, min(n, most))


def words(sums: np.ndarray, k: int, *, ones: bool) -> tuple[np.ndarray, np.ndarray]:
    """Products of slices, [..., p, q], as the sums of high and low words, in which sums of many are exact."""
    shift = _word_shift(*sums.shape[-2:], k, ones=ones)
    high = sums + shift
    high -= shift
    return high, sums - high


@functools.cache
def _word_shift(p: int, q: int, k: int, *, ones: bool) -> np.ndarray:
    first, second = (np.maximum(np.arange(size) - ones, 0) // k for size in (p, q))
    return (_ROUNDS * _HALF_WORD) * LEVEL_UNITS[first[:, None] + second]


def level_sums(products: np.ndarray, k: int, *, ones: bool) -> np.ndarray:
    """The sums of the levels for each pair of columns, exact over at most ``BLOCK_ROWS / SLICES`` rows or of words.

    Args:
        products: [B, p, q], of slices of blocks.
        k: the number of columns, without the ones.
        ones: whether a column of ones comes before them.

    Returns:
        [levels, pairs, B], with the pairs i ≤ j in the order of ``numpy.triu_indices``. The product of the ones with
        themselves is left 0: it is the number of rows.
    """
    blocks, p, q = products.shape
    flat = products.reshape(blocks, p * q)
    sums = np.zeros((LEVELS, (k + ones) * (k + ones + 1) // 2, blocks))
    for b in range((q - 1) // k if ones else 0):
        sums[b, 1 : k + 1] = products[:, 0, 1 + b * k :][:, :k].T
    for level, places in enumerate(_places(p, q, k, ones=ones)):
        total = flat.take(places[0], axis=1)
        for place in places[1:]:
            total += flat.take(place, axis=1)
        sums[level, ones * (k + 1) :] = total.T
    return sums


@functools.cache
def _places(p: int, q: int, k: int, *, ones: bool) -> list[list[np.ndarray]]:
    """For every level and product of slices, the places in [p, q], flattened, of the pairs i ≤ j without the ones."""
    i, j = np.triu_indices(k)
    lefts, rights = (p - ones) // k, (q - ones) // k
    levels: list[list[np.ndarray]] = [[] for _ in range(lefts + rights - 1)]
    for a in range(lefts):
        for b in range(rights):
            levels[a + b].append((ones + a * k + i) * q + ones + b * k + j)
    return levels


def combined(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The sums of all levels, [words, levels, pairs, B], as double-doubles [pairs, B]: high and low parts.

    Levels are added from the last to the first. The result depends on the sum of each level alone, not on the words it
    is kept in, nor on the sign of a zero, which depends on the library.
    """
    blocks = sums.shape[-1]
    high, low = np.zeros((2, sums.shape[2], blocks))
    begun = np.zeros(blocks, bool)  # what has but zeros at the last levels is left out
    for level in range(sums.shape[1] - 1, -1, -1):
        if not begun.all():
            begun |= sums[:, level].any(axis=(0, 1))
            begun |= np.count_nonzero(begun) * 2 > blocks
        own = slice(None) if begun.all() else np.flatnonzero(begun)
        high[:, own], low[:, own] = _plus(high[:, own], low[:, own], sums[:, level][..., own])
    return high, low


def _plus(high: np.ndarray, low: np.ndarray, words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """high + low + the sum of one or two words; one word is as two of which the second is 0."""
    if len(words) == 1:
        total, error = two_sum(high, words[0])
        return fast_two_sum(total, error + low)
    other, rest = two_sum(words[0], words[1])
    total, error = two_sum(high, other)
    rest, lost = two_sum(low, rest)
    total, error = fast_two_sum(total, error + rest)
    return fast_two_sum(total, error + lost)
