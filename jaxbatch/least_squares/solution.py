"""The solution of a fit, and what every way to it shares: how a statistic is scaled, and how its rank is judged."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace
from jaxbatch.least_squares.arithmetic.double_double import (
    LARGEST_EXPONENT,
    DoubleDouble,
    exponent_of,
    mapped,
    power_of_two,
    rounded,
    times_power,
)
from jaxbatch.least_squares.statistics.sufficient import Statistic


class Solution(NamedTuple):
    """The coefficients of a fit, and all that its inference needs; p terms, and k = p + 1 columns with y the last.

    ``scaled``, ``unscaled_stderr``, ``rss`` and ``rss_rounding`` are those of the columns divided by 2^exponents, so
    that no square of them is out of range.
    """

    coefficients: Float[Array, "p ..."]
    """b̂, in the units of the data: ``scaled[i]``·2^(exponents[-1] − exponents[i])."""
    exponents: Int[Array, "k ..."]
    """The exponents e of the powers of two by which the terms and y are divided."""
    scaled: Float[Array, "p ..."]
    """The coefficients of the divided columns."""
    rank: Int[Array, "..."]
    """The numerical rank of the design A."""
    condition: Float[Array, "..."]
    """κ of the design with columns of unit norm: its largest singular value over the smallest."""
    unscaled_stderr: Float[Array, "p ..."]
    """√diag (A'WA)⁺: the standard errors over the residual standard deviation s."""
    rss: Float[Array, "..."]
    """The residual sum of squares Σw(y − A b̂)²."""
    rss_rounding: Float[Array, "..."]
    """A bound on what rounding may leave of the terms that cancel in ``rss``; 0 if nothing cancels there."""


def rank_tolerance(terms: Int[Array, "..."], eps: float, *, plain: bool) -> Float[Array, "..."]:
    """The fraction of the largest singular value at or below which others count as zero.

    It is 8·p·eps for p terms: exactly dependent columns, scaled to unit norm, were seen to leave at most 2.6·p·eps. A
    plain Gram matrix in float64 has squared the singular values, so below the root of its own roundoff they mean
    nothing.

    Args:
        terms: p, the number of terms.
        eps: the unit roundoff of the data.
        plain: whether the singular values come from a plain Gram matrix.
    """
    xp, fraction = namespace(terms), 8.0 * terms
    of_gram = xp.sqrt(fraction * 2.0**-52) if plain else 0.0
    return xp.maximum(fraction * eps, of_gram)


def rss_rounding_of(G: Any) -> Array:
    """64·k·eps·Σwy² for a plain G; 0 in double-double, where nothing cancels."""
    square = rounded(G[-1, -1])
    if isinstance(G, DoubleDouble):
        return namespace(square).zeros_like(square)
    return 64.0 * G.shape[0] * 2.0**-52 * square


def normalised(statistic: Statistic) -> tuple[Any, Int[Array, "k ..."]]:
    """The Gram matrix rescaled to a diagonal between 1/4 and 4, and the exponents that now divide its columns.

    A column of zeros has the largest of the other columns' exponents.
    """
    G, more = unit_diagonal(statistic.products)
    index = np.arange(G.shape[0])
    empty = rounded(mapped(lambda part: part[index, index], G)) == 0
    exponents = statistic.exponents + more
    xp = namespace(exponents)
    largest = xp.max(xp.where(empty, -2 * LARGEST_EXPONENT, exponents), axis=0)
    return G, xp.where(empty, largest, exponents)


def unit_diagonal(G: Any) -> tuple[Any, Array]:
    """``G`` with its columns and rows divided by powers of two so that its diagonal is about 1; their exponents."""
    index = np.arange(G.shape[0])
    squares = rounded(mapped(lambda part: part[index, index], G))
    exponents = (exponent_of(squares) + 1) // 2
    power = power_of_two(-exponents)
    return times_power(G, power[:, None] * power[None, :]), exponents
