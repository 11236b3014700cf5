"""Cholesky factors of Gram matrices with complete pivoting, and back substitution, in double-double or plain float64.

A matrix is a :class:`DoubleDouble` or a plain array. Arrays have their datasets on trailing axes (``batched.py``),
written … in shapes.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from jaxbatch.least_squares.arithmetic.array_library import Array, fori_loop, namespace, row, total, with_row
from jaxbatch.least_squares.arithmetic.double_double import (
    DoubleDouble,
    full_like,
    inverse_root,
    mapped,
    rounded,
    where,
)

_NO_PIVOT = 2.0**-98
"""A pivot at or below this, with a diagonal of about 1, is rounding of a double-double statistic and counts as none."""

_NO_PIVOT_PLAIN = 2.0**-50
"""The same for a plain statistic."""


class Factor(NamedTuple):
    """R of G = R'R for the leading p×p block of G [k, k, …]: rows in the order of elimination, columns in that of G."""

    rows: Any
    """R [p, k, …]: row j is 0 in the columns of earlier pivots, and all 0 where step j found no pivot."""
    pivots: Bool[Array, "p p ..."]
    """Row j marks the one column that step j eliminated; none where it found no pivot."""
    taken: Bool[Array, "p ..."]
    """Whether step j found a pivot."""
    inverses: Any
    """[p, …]: the reciprocal of each row's diagonal element of R; 1 where step j found no pivot."""


def factor(G: Any, terms: Bool[Array, "p ..."]) -> Factor:
    """Factors the leading p×p block of G by Cholesky's method with complete pivoting.

    Golub and Van Loan, *Matrix Computations*, 4th ed., §4.2.8, without moving rows or columns: each step takes the
    largest remaining diagonal element where it stands.

    Args:
        G: [k, k, …] with k ≥ p, positive semidefinite, its diagonal about 1 (``solve.normalised``).
        terms: the columns that are used; the others are padding.
    """
    p, k = terms.shape[0], G.shape[0]
    no_pivot = _NO_PIVOT if isinstance(G, DoubleDouble) else _NO_PIVOT_PLAIN
    xp = namespace(terms)
    index_p = np.arange(p)
    index = index_p.reshape(p, *(1,) * (terms.ndim - 1))
    further = xp.ones((k - p, *terms.shape[1:]), bool)

    def step(j: Array, state: tuple[Any, ...]) -> tuple[Any, ...]:
        A, left, rows, pivots, taken, inverses = state
        diagonal = mapped(lambda part: part[index_p, index_p], A)
        size = xp.where(left, rounded(diagonal), -xp.inf)
        chosen = (index == xp.argmax(size, axis=0)) & left
        pivot = _select(chosen, diagonal)
        found = xp.any(chosen, axis=0) & ~(
            rounded(pivot) <= no_pivot
        )  # NaN counts as a pivot, so that it shows in the result
        inverse = inverse_root(where(found, pivot, full_like(pivot, 1.0)))
        found_row = _select(chosen[:, None], A[:p]) * inverse[None]
        found_row = where(xp.concatenate([left, further]) & found, found_row, full_like(found_row, 0.0))
        A = A - found_row[:, None] * found_row[None, :]
        return (
            A,
            left & ~chosen,
            _with_row(rows, found_row, j),
            _with_row(pivots, chosen & found, j),
            _with_row(taken, found, j),
            _with_row(inverses, inverse, j),
        )

    state = (
        G,
        terms,
        mapped(lambda part: xp.zeros_like(part[:p]), G),
        xp.zeros((p, *terms.shape), bool),
        xp.zeros(terms.shape, bool),
        full_like(G[:p, 0], 1.0),
    )
    _, _, *found = fori_loop(xp, p, step, state)
    return Factor(*found)


def back_substitute(factor: Factor, right: Any, used: Bool[Array, "p ..."]) -> Any:
    """X [p, m, …] with R X = ``right`` [p, m, …].

    Only the rows ``used`` count: X is 0 for every column that they do not eliminate. Rows of ``right`` are in the order
    of elimination, those of X in the order of the columns.
    """
    p = factor.taken.shape[0]

    def step(i: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        X, right = state
        j = p - 1 - i
        pivot, counts = _row(factor.pivots, j), _row(used, j)
        found = _row(right, j) * _row(factor.inverses, j)[None]
        found = where(counts, found, full_like(found, 0.0))
        column = _select(pivot[:, None], mapped(lambda part: part[:, :p].swapaxes(0, 1), factor.rows))
        return where((pivot & counts)[:, None], found[None], X), right - column[:, None] * found[None]

    return fori_loop(namespace(used), p, step, (full_like(right, 0.0), right))[0]


def _select(chosen: Array, x: Any) -> Any:
    """The one element along the first axis that ``chosen`` marks, or 0."""
    return mapped(lambda part: total(namespace(part).where(chosen, part, 0.0)), x)


def _row(x: Any, j: Any) -> Any:
    return mapped(lambda part: row(part, j), x)


def _with_row(x: Any, new: Any, j: Any) -> Any:
    return mapped(lambda part, new: with_row(part, new, j), x, new)
