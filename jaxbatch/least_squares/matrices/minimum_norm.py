"""The fit of least norm of a design with linearly dependent columns."""

from typing import Any

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import Array, fori_loop, namespace, row
from jaxbatch.least_squares.arithmetic.batched import rows_of
from jaxbatch.least_squares.arithmetic.double_double import (
    exponent_of,
    full_like,
    inverse,
    mapped,
    power_of_two,
    rounded,
    summed,
    times_power,
    where,
)
from jaxbatch.least_squares.matrices.cholesky import Factor, back_substitute


def minimum_norm(
    factored: Factor, rank: Array, terms: Array, exponents: Array, fitted: Any, root: Any
) -> tuple[Any, Any]:
    """The coefficients b of least norm among all that fit as well, and the root of their unscaled covariance.

    Args:
        factored: R of the scaled design S, where A = S D with D = 2^exponents.
        rank: the number of pivots that count.
        terms: which of the columns are used.
        exponents: [p, …].
        fitted: the basic solution, [p, …]: 0 for every column that was not a pivot.
        root: M with M M' the unscaled covariance of the basic solution, [p, p, …].

    Returns:
        ``fitted`` and ``root`` for the solution of least norm. Like the arguments they are those of the scaled columns,
        β = D b.

    The null space of S is spanned by N = (−R₁₁⁻¹R₁₂, I) (Golub and Van Loan, *Matrix Computations*, 4th ed., §5.5.6),
    so D⁻¹N spans that of A. The solution of least norm is the component of the basic one orthogonal to it, found by
    modified Gram–Schmidt (§5.2.8).
    """
    xp, p = namespace(terms), terms.shape[0]
    used = factored.taken & (rows_of(p, factored.taken) < rank)
    basic = xp.any(factored.pivots & used[:, None], axis=0)
    other = terms & ~basic
    zero = full_like(factored.rows[:, :p], 0.0)
    unit = np.eye(p).reshape(p, p, *(1,) * (terms.ndim - 1))
    combined = back_substitute(factored, factored.rows[:, :p], used)
    null = where(other, (zero + unit) - combined, zero)

    relative = exponents - xp.min(xp.where(terms, exponents, np.iinfo(np.int32).max), axis=0)
    down = power_of_two(-relative)[:, None]
    null = times_power(null, down)
    null = times_power(null, power_of_two(-exponent_of(xp.max(xp.abs(rounded(null)), axis=0)))[None])
    known = times_power(mapped(lambda *parts: xp.concatenate(parts, axis=1), root, fitted[:, None]), down)
    W = mapped(lambda *parts: xp.concatenate(parts, axis=1), null, known)
    later = np.arange(2 * p + 1).reshape(-1, *(1,) * (terms.ndim - 1))

    def orthogonalise(j: Array, W: Any) -> Any:
        direction = mapped(lambda part: row(part.swapaxes(0, 1), j), W)
        inner = summed(direction[:, None] * W)  # [2p + 1, …]
        square = mapped(lambda part: row(part, j), inner)
        usable = row(other, j) & (rounded(square) > 0)
        share = inner * inverse(where(usable, square, full_like(square, 1.0)))[None]
        return where(usable & (later > j), W - direction[:, None] * share[None], W)

    W = times_power(fori_loop(xp, p, orthogonalise, W), power_of_two(relative)[:, None])
    return W[:, 2 * p], W[:, p : 2 * p]
