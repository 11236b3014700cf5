"""Cholesky factors without pivoting and their inverses, of many Gram matrices at once, by NumPy.

Every step adds up all that earlier rows contribute at once, so that p steps of some fifty operations do it all.
The datasets are on the last axis. Each array is a :class:`Halved`, or for a plain statistic a plain array.
"""

from typing import Any, NamedTuple

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import total
from jaxbatch.least_squares.arithmetic.double_double import (
    DoubleDouble,
    fast_two_sum,
    inverse_root,
    rounded,
    split,
    two_sum,
    where,
)

SMALLEST_PIVOT = 2.0**-90
"""Below this a pivot of a double-double matrix with a diagonal of about 1 may be rounding."""

SMALLEST_PIVOT_PLAIN = 2.0**-46
"""The same for a plain matrix."""


class Halved(NamedTuple):
    """Double-double numbers ``high + low`` with the halves of ``high`` by which products are computed without error."""

    high: np.ndarray
    low: np.ndarray
    upper: np.ndarray
    lower: np.ndarray

    def at(self, *index: Any) -> "Halved":
        """The elements at an index."""
        return Halved(*(part[index] for part in self))

    def put(self, index: Any, x: DoubleDouble) -> None:
        """Replaces the elements at ``index``."""
        for part, new in zip(self, (x.high, x.low, *split(x.high)), strict=True):
            part[index] = new


class Plain(NamedTuple):
    """Plain numbers, with the methods of :class:`Halved`."""

    high: np.ndarray

    def at(self, *index: Any) -> "Plain":
        """The elements at an index."""
        return Plain(self.high[index])

    def put(self, index: Any, x: np.ndarray) -> None:
        """Replaces the elements at ``index``."""
        self.high[index] = x


def _zeros(shape: tuple[int, ...], like: Any) -> Any:
    kind = Halved if isinstance(like, DoubleDouble) else Plain
    return kind(*(np.zeros(shape) for _ in kind._fields))


def factor_in_order(G: Any, p: int) -> tuple[Any, Any, np.ndarray]:
    """R of G = R'R for the leading p×p block of G, the columns in order (Golub and Van Loan, §4.2.5, by rows).

    Args:
        G: [k, k, B], positive semidefinite, its diagonal about 1.
        p: the number of rows.

    Returns:
        R [p, k, B]; the reciprocals of its diagonal [p, B], double-double or plain; and for which datasets every pivot
        is large enough, [B]. The others' numbers mean nothing.
    """
    k, datasets = G.shape[0], G.shape[-1]
    smallest = SMALLEST_PIVOT if isinstance(G, DoubleDouble) else SMALLEST_PIVOT_PLAIN
    rows, inverses, sound = _zeros((p, k, datasets), G), [], np.ones(datasets, bool)
    for j in range(p):
        row = G[j, j:]
        if j:
            row = _less(row, rows.at(slice(j), j, None), rows.at(slice(j), slice(j, None)))
        large_enough = rounded(row[0]) > smallest
        sound &= large_enough
        inverse = inverse_root(where(large_enough, row[0], _one_like(row[0])))
        rows.put((j, slice(j, None)), row * inverse)
        inverses.append(inverse)
    return rows, inverses, sound


def inverse_in_order(rows: Any, inverses: list[Any]) -> Any:
    """[R⁻¹ b] of R [p, p + 1, B] from :func:`factor_in_order`, where b solves R b = R's last column: [p, p + 1, B]."""
    p, datasets = len(inverses), rows.high.shape[-1]
    found = _zeros((p, p + 1, datasets), inverses[0])
    for j in reversed(range(p)):
        later = slice(j + 1, None)
        right = _zeros((p - j, datasets), inverses[0])
        last = rows.at(j, p)
        right.high[-1] = last.high
        if isinstance(right, Halved):
            right.low[-1] = last.low
            x: Any = DoubleDouble(right.high, right.low)
        else:
            x = right.high
        if j + 1 < p:
            x = _less(x, rows.at(j, slice(j + 1, p), None), found.at(later, later))
        found.put((j, later), x * inverses[j])
        found.put((j, j), inverses[j])
    return found


def _one_like(x: Any) -> Any:
    if isinstance(x, DoubleDouble):
        return DoubleDouble(np.ones_like(x.high), np.zeros_like(x.low))
    return np.ones_like(x)


def _add(sums: np.ndarray, errors: np.ndarray, more: np.ndarray, more_errors: np.ndarray) -> None:
    """Adds ``more`` to ``sums`` in place, and what is lost (see :func:`two_sum`) to ``errors``."""
    total = sums + more
    rest = total - sums
    more -= rest
    np.subtract(total, rest, out=rest)
    sums -= rest
    errors += more_errors
    errors += sums
    errors += more
    sums[...] = total


def _less(x: Any, a: Any, b: Any) -> Any:
    """x − Σ aᵢ bᵢ over the leading axis, right to about 2⁻¹⁰⁴ of the largest term."""
    if isinstance(a, Plain):
        return x - total(a.high * b.high)
    sums = a.high * b.high
    errors, term = a.upper * b.upper, np.empty_like(sums)
    errors -= sums
    for first, second in ((a.upper, b.lower), (a.lower, b.upper), (a.lower, b.lower), (a.high, b.low), (a.low, b.high)):
        errors += np.multiply(first, second, out=term)
    while (length := len(sums)) > 1:
        half = length // 2
        _add(sums[:half], errors[:half], sums[length - half :], errors[length - half :])
        sums, errors = sums[: length - half], errors[: length - half]
    high, rest = two_sum(x.high, -sums[0])
    rest += x.low
    rest -= errors[0]
    return DoubleDouble(*fast_two_sum(high, rest))
