"""Cholesky's factor of a Gram matrix with complete pivoting, and what is solved with it, in either precision.

Arrays have their datasets last (``batched.py``); a matrix is a :class:`DoubleDouble` or a plain array.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool

from jaxbatch.least_squares.double_double import DoubleDouble, full_like, inverse_root, mapped, rounded, where

_NOTHING = 2.0**-98
"""A pivot below this fraction of its column's square is rounding of the double-double statistic …"""

_NOTHING_PLAIN = 2.0**-50
"""… or of the plain one."""


class Factor(NamedTuple):
    """G = R'R of a p×p matrix G with further columns: rows in the order of elimination, columns as they were."""

    rows: Any
    """R: [p, k, …]; beyond the rank zero. Row j has zeros in the columns of the pivots before it."""
    pivots: Bool[Array, "p p ..."]
    """Row j marks the column that step j eliminated."""
    taken: Bool[Array, "p ..."]
    """Whether step j found a pivot."""
    inverses: Any
    """[p, …]: one over the pivot's element of each row; 1 where there is none."""


def factor(G: Any, terms: Bool[Array, "p ..."]) -> Factor:
    """Factor the leading p×p block of G [k, k, …], whose diagonal is about 1; padding is not in ``terms``.

    Golub and Van Loan, *Matrix Computations*, 4th ed., §4.2.8; here nothing is moved: each step takes the largest
    remaining pivot wherever it is.
    """
    p, k = terms.shape[0], G.shape[0]
    nothing = _NOTHING if isinstance(G, DoubleDouble) else _NOTHING_PLAIN
    index_p = jnp.arange(p)
    index = index_p.reshape(p, *(1,) * (terms.ndim - 1))
    further = jnp.ones((k - p, *terms.shape[1:]), bool)

    def step(j: Array, state: tuple[Any, ...]) -> tuple[Any, ...]:
        A, left, rows, pivots, taken, inverses = state
        diagonal = mapped(lambda part: part[index_p, index_p], A)
        size = jnp.where(left, rounded(diagonal), -jnp.inf)
        chosen = (index == jnp.argmax(size, axis=0)) & left
        pivot = _select(chosen, diagonal)
        found = jnp.any(chosen, axis=0) & ~(rounded(pivot) <= nothing)  # a NaN goes on, to be seen at the end
        inverse = inverse_root(where(found, pivot, full_like(pivot, 1.0)))
        row = _select(chosen[:, None], A[:p]) * inverse[None]
        row = where(jnp.concatenate([left, further]) & found, row, full_like(row, 0.0))
        A = A - row[:, None] * row[None, :]
        return (
            A,
            left & ~chosen,
            _with_row(rows, row, j),
            _with_row(pivots, chosen & found, j),
            _with_row(taken, found, j),
            _with_row(inverses, inverse, j),
        )

    state = (
        G,
        terms,
        mapped(lambda part: jnp.zeros_like(part[:p]), G),
        jnp.zeros((p, *terms.shape), bool),
        jnp.zeros(terms.shape, bool),
        full_like(G[:p, 0], 1.0),
    )
    _, _, *found = lax.fori_loop(0, p, step, state)
    return Factor(*found)


def back_substitute(factor: Factor, right: Any, used: Bool[Array, "p ..."]) -> Any:
    """X [p, m, …] with R X = ``right`` [p, m, …], of the rows ``used``: zero in every column they do not eliminate."""
    p = factor.taken.shape[0]

    def step(i: Array, state: tuple[Any, Any]) -> tuple[Any, Any]:
        X, right = state
        j = p - 1 - i
        pivot, counts = _row(factor.pivots, j), _row(used, j)
        found = _row(right, j) * _row(factor.inverses, j)[None]
        found = where(counts, found, full_like(found, 0.0))
        column = _select(pivot[:, None], mapped(lambda part: jnp.swapaxes(part[:, :p], 0, 1), factor.rows))
        return where((pivot & counts)[:, None], found[None], X), right - column[:, None] * found[None]

    return lax.fori_loop(0, p, step, (full_like(right, 0.0), right))[0]


def _select(chosen: Array, x: Any) -> Any:
    """The one element along the first axis that is chosen, or 0."""
    return mapped(lambda part: jnp.sum(jnp.where(chosen, part, 0.0), axis=0), x)


def _row(x: Any, j: Array) -> Any:
    return mapped(lambda part: lax.dynamic_index_in_dim(part, j, keepdims=False), x)


def _with_row(x: Any, row: Any, j: Array) -> Any:
    return mapped(lambda part, new: lax.dynamic_update_index_in_dim(part, new, j, 0), x, row)
