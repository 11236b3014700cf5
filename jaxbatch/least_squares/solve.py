"""A fit from the statistic alone, by a Cholesky factor in the statistic's own precision.

:func:`solve` and :func:`with_coefficients` are for one dataset, and for ``vmap``; all other functions are for arrays
with the datasets on trailing axes (``batched.py``), written … in shapes.
"""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Bool, Float, Int

from jaxbatch.least_squares.batched import datasets_last, rows_of
from jaxbatch.least_squares.cholesky import Factor, back_substitute, factor
from jaxbatch.least_squares.double_double import (
    LARGEST_EXPONENT,
    DoubleDouble,
    exponent_of,
    full_like,
    mapped,
    power_of_two,
    rounded,
    times_power,
    where,
)
from jaxbatch.least_squares.gram import Statistic
from jaxbatch.least_squares.minimum_norm import minimum_norm
from jaxbatch.least_squares.quadratic import squared_residual
from jaxbatch.least_squares.singular import singular_values

_LARGEST_PENALTY = 1e300
"""Penalties are cut here: the term comes out 0, and its pivot is still finite."""


class Solution(NamedTuple):
    """The coefficients of a fit, and all that its inference needs; p terms, and k = p + 1 columns with y the last.

    ``scaled``, ``unscaled_stderr``, ``rss`` and ``rss_rounding`` are those of the columns divided by 2^exponents, so
    that no square of them is out of range.
    """

    coefficients: Float[Array, " p"]
    """b̂, in the units of the data: ``scaled[i]``·2^(exponents[-1] − exponents[i])."""
    exponents: Int[Array, " k"]
    """The exponents e of the powers of two by which the terms and y are divided."""
    scaled: Float[Array, " p"]
    """The coefficients of the divided columns."""
    rank: Int[Array, ""]
    """The numerical rank of the design A."""
    condition: Float[Array, ""]
    """κ of the design with columns of unit norm: its largest singular value over the smallest."""
    unscaled_stderr: Float[Array, " p"]
    """√diag (A'WA)⁺: the standard errors over the residual standard deviation s."""
    rss: Float[Array, ""]
    """The residual sum of squares Σw(y − A b̂)²."""
    rss_rounding: Float[Array, ""]
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
    fraction = 8.0 * terms
    of_gram = jnp.sqrt(fraction * jnp.finfo(jnp.float64).eps) if plain else 0.0
    return jnp.maximum(fraction * eps, of_gram)


def solve(
    statistic: Statistic,
    terms: Bool[Array, " p"],
    penalised: Bool[Array, " p"],
    *,
    ridge: float,
    eps: float,
    least_norm: bool = True,
) -> Solution:
    """The least-squares fit of one dataset; below full rank the one of least norm in the data's own coordinates.

    Args:
        statistic: in double-double or plain.
        terms: which columns of the padded design are used.
        penalised: the terms that ``ridge`` shrinks: all but the intercept.
        ridge: λ ≥ 0 of Σwr² + λΣb².
        eps: the unit roundoff of the coarsest precision among the stored columns and the run.
        least_norm: False gives, below full rank, any one of the fits; that of least norm takes more time.
    """
    return datasets_last(partial(_solve, ridge=ridge, eps=eps, least_norm=least_norm))(statistic, terms, penalised)


def _solve(
    statistic: Statistic, terms: Array, penalised: Array, *, ridge: float, eps: float, least_norm: bool
) -> Solution:
    p = terms.shape[0]
    G, exponents = normalised(statistic)
    plain = not isinstance(G, DoubleDouble)
    factored = factor(G, terms)
    index = jnp.arange(p)
    norms = jnp.sqrt(rounded(mapped(lambda part: part[index, index], G)))
    singular = singular_values(rounded(factored.rows)[:, :p] / jnp.where(norms > 0, norms, 1.0))
    count = jnp.sum(terms, axis=0)
    rank = jnp.sum(singular > rank_tolerance(count, eps, plain=plain) * singular[0], axis=0)
    rank = jnp.where(jnp.isnan(singular[0]), count, rank)

    fitted, root = _basic(factored, rank)
    shift = jnp.zeros((p, *terms.shape[1:])).at[0].set(statistic.shift * power_of_two(exponents[0] - exponents[-1]))
    if ridge > 0:
        penalty = jnp.where(penalised, jnp.minimum(ridge * power_of_two(-2 * exponents[:p]), _LARGEST_PENALTY), 0.0)
        diagonal = jnp.eye(p + 1).reshape(p + 1, p + 1, *(1,) * (terms.ndim - 1))
        shrunk, more = _unit_diagonal(G + diagonal * jnp.concatenate([penalty, jnp.zeros_like(penalty[:1])]))
        fitted, _ = _basic(factor(shrunk, terms), jnp.full_like(rank, p))
        fitted = times_power(fitted, power_of_two(more[-1:] - more[:p]))
        rss = squared_residual(G, fitted)
        fitted = fitted + shift
    else:
        rss = squared_residual(G, fitted) if plain else None
        fitted = fitted + shift
        if least_norm:
            fitted, root = _where_deficient(factored, rank, terms, exponents[:p], rank < count, fitted, root)
    scaled = jnp.where(terms, rounded(fitted), 0.0)
    return Solution(
        coefficients=scaled * power_of_two(exponents[-1:] - exponents[:p]),
        exponents=exponents,
        scaled=scaled,
        rank=rank,
        condition=_condition(singular, count),
        unscaled_stderr=jnp.sqrt(jnp.sum(rounded(root) ** 2, axis=1)),
        rss=squared_residual(G, fitted) if rss is None else rss,
        rss_rounding=_rss_rounding(G),
    )


def with_coefficients(solution: Solution, statistic: Statistic, coefficients: Float[Array, " p"]) -> Solution:
    """``solution`` with other coefficients, in the units of the data, and their residual sum of squares.

    ``statistic`` is of the same dataset, and may differ in precision; the rank and the condition stay.
    """

    def replaced(solution: Solution, statistic: Statistic, coefficients: Array) -> Solution:
        G, exponents = normalised(statistic)
        scaled = coefficients * power_of_two(exponents[:-1] - exponents[-1:])
        exact = DoubleDouble(scaled, jnp.zeros_like(scaled)) if isinstance(G, DoubleDouble) else scaled
        return solution._replace(
            coefficients=coefficients,
            exponents=exponents,
            scaled=scaled,
            unscaled_stderr=solution.unscaled_stderr * power_of_two(exponents[:-1] - solution.exponents[:-1]),
            rss=squared_residual(G, exact),
            rss_rounding=_rss_rounding(G),
        )

    return datasets_last(replaced)(solution, statistic, coefficients)


def _rss_rounding(G: Any) -> Array:
    """64·k·eps·Σwy² for a plain G; 0 in double-double, where nothing cancels."""
    square = rounded(G[-1, -1])
    if isinstance(G, DoubleDouble):
        return jnp.zeros_like(square)
    return 64.0 * G.shape[0] * jnp.finfo(square.dtype).eps * square


def normalised(statistic: Statistic) -> tuple[Any, Int[Array, "k ..."]]:
    """The Gram matrix rescaled to a diagonal between 1/4 and 4, and the exponents that now divide its columns.

    A column of zeros has the largest of the other columns' exponents.
    """
    G, more = _unit_diagonal(statistic.products)
    index = jnp.arange(G.shape[0])
    empty = rounded(mapped(lambda part: part[index, index], G)) == 0
    exponents = statistic.exponents + more
    largest = jnp.max(jnp.where(empty, -2 * LARGEST_EXPONENT, exponents), axis=0)
    return G, jnp.where(empty, largest, exponents)


def _unit_diagonal(G: Any) -> tuple[Any, Array]:
    index = jnp.arange(G.shape[0])
    squares = rounded(mapped(lambda part: part[index, index], G))
    exponents = (exponent_of(squares) + 1) // 2
    power = power_of_two(-exponents)
    return times_power(G, power[:, None] * power[None, :]), exponents


def _basic(factored: Factor, rank: Array) -> tuple[Any, Any]:
    """The basic solution: coefficients [p, …] of the first ``rank`` pivots' columns, others 0, and R⁻¹ [p, p, …]."""
    p = factored.taken.shape[0]
    used = factored.taken & (rows_of(p, factored.taken) < rank)
    unit = jnp.eye(p).reshape(p, p, *(1,) * (factored.taken.ndim - 1))
    identity = full_like(factored.rows[:, :p], 0.0) + unit
    right = mapped(lambda *parts: jnp.concatenate(parts, axis=1), identity, factored.rows[:, p:])
    solved = back_substitute(factored, right, used)
    return solved[:, p], solved[:, :p]


def _where_deficient(
    factored: Factor,
    rank: Array,
    terms: Array,
    exponents: Array,
    deficient: Bool[Array, "..."],
    fitted: Any,
    root: Any,
) -> tuple[Any, Any]:
    """``fitted`` and ``root``, those of least norm for deficient datasets; nothing is computed if there are none."""

    def replace(state: tuple[Array, Any, Any]) -> tuple[Array, Any, Any]:
        deficient, fitted, root = state
        least, least_root = minimum_norm(factored, rank, terms, exponents, fitted, root)
        return jnp.zeros_like(deficient), where(deficient, least, fitted), where(deficient, least_root, root)

    return lax.while_loop(lambda state: jnp.any(state[0]), replace, (deficient, fitted, root))[1:]


def _condition(singular: Array, count: Array) -> Array:
    smallest = jnp.take_along_axis(singular, jnp.maximum(count - 1, 0)[None], axis=0)[0]
    condition = jnp.where(smallest > 0, singular[0] / jnp.where(smallest > 0, smallest, 1.0), jnp.inf)
    return jnp.where(jnp.isfinite(singular[0]), condition, jnp.nan)
