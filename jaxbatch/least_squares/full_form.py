"""The fit of any statistic: complete pivoting, the rank by singular values, the solution of least norm."""

from typing import Any

import numpy as np
from jaxtyping import Bool

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace, only_if, total
from jaxbatch.least_squares.arithmetic.batched import rows_of
from jaxbatch.least_squares.arithmetic.double_double import (
    DoubleDouble,
    full_like,
    mapped,
    power_of_two,
    rounded,
    times_power,
    where,
)
from jaxbatch.least_squares.matrices.cholesky import Factor, back_substitute, factor
from jaxbatch.least_squares.matrices.minimum_norm import minimum_norm
from jaxbatch.least_squares.matrices.quadratic import squared_residual
from jaxbatch.least_squares.matrices.singular import singular_values
from jaxbatch.least_squares.solution import Solution, normalised, rank_tolerance, rss_rounding_of, unit_diagonal
from jaxbatch.least_squares.statistics.sufficient import Statistic

_NO_SINGULAR_VALUE = 2.0**-65
"""A fraction of the largest singular value that no factor of full rank leaves, but rotations of a zero row may."""

_LARGEST_PENALTY = 1e300
"""Penalties are cut here: the term comes out 0, and its pivot is still finite."""


def solve_fully(
    statistic: Statistic, terms: Array, penalised: Array, *, ridge: float, eps: float, least_norm: bool
) -> Solution:
    """See :func:`~jaxbatch.least_squares.solve.solve`; the datasets are on trailing axes."""
    xp, p = namespace(terms, statistic.exponents), terms.shape[0]
    G, exponents = normalised(statistic)
    plain = not isinstance(G, DoubleDouble)
    factored = factor(G, terms)
    index = np.arange(p)
    norms = xp.sqrt(rounded(mapped(lambda part: part[index, index], G)))
    scaled = rounded(factored.rows)[:, :p] / xp.where(norms > 0, norms, 1.0)
    singular = singular_values(scaled.swapaxes(0, 1))  # pivoting leaves rows all but orthogonal
    count = xp.sum(terms, axis=0)
    rank = xp.sum(singular > rank_tolerance(count, eps, plain=plain) * singular[0], axis=0)
    rank = xp.where(xp.isnan(singular[0]), count, rank)

    fitted, root = _basic(factored, rank)
    shift = shift_of(statistic, exponents)
    if ridge > 0:
        shrunk, more = penalised_matrix(G, penalised, exponents, ridge)
        fitted, _ = _basic(factor(shrunk, terms), xp.full_like(rank, p))
        fitted = times_power(fitted, power_of_two(more[-1:] - more[:p]))
        rss = squared_residual(G, fitted)
        fitted = fitted + shift
    else:
        rss = squared_residual(G, fitted) if plain else None
        fitted = fitted + shift
        if least_norm:
            fitted, root = _where_deficient(factored, rank, terms, exponents[:p], rank < count, fitted, root)
    scaled = xp.where(terms, rounded(fitted), 0.0)
    return Solution(
        coefficients=scaled * power_of_two(exponents[-1:] - exponents[:p]),
        exponents=exponents,
        scaled=scaled,
        rank=rank,
        condition=_condition(singular, count),
        unscaled_stderr=xp.sqrt(total((rounded(root) * rounded(root)).swapaxes(0, 1))),
        rss=squared_residual(G, fitted) if rss is None else rss,
        rss_rounding=rss_rounding_of(G),
    )


def shift_of(statistic: Statistic, exponents: Array) -> Array:
    """What a shift of y adds to the scaled coefficients, [p, …]: it is in the first, the intercept's."""
    xp = namespace(exponents)
    of_first = (statistic.shift * power_of_two(exponents[0] - exponents[-1]))[None]
    return xp.concatenate([of_first, xp.zeros((len(exponents) - 2, *of_first.shape[1:]))])


def penalised_matrix(G: Any, penalised: Array, exponents: Array, ridge: float) -> tuple[Any, Array]:
    """G with λ added for each penalised term, rescaled to a diagonal of about 1, and the exponents of the scales."""
    xp, p = namespace(exponents), len(penalised)
    penalty = xp.where(penalised, xp.minimum(ridge * power_of_two(-2 * exponents[:p]), _LARGEST_PENALTY), 0.0)
    diagonal = np.eye(p + 1).reshape(p + 1, p + 1, *(1,) * (penalised.ndim - 1))
    return unit_diagonal(G + diagonal * xp.concatenate([penalty, xp.zeros_like(penalty[:1])]))


def _basic(factored: Factor, rank: Array) -> tuple[Any, Any]:
    """The basic solution: coefficients [p, …] of the first ``rank`` pivots' columns, others 0, and R⁻¹ [p, p, …]."""
    xp, p = namespace(factored.taken), factored.taken.shape[0]
    used = factored.taken & (rows_of(p, factored.taken) < rank)
    unit = np.eye(p).reshape(p, p, *(1,) * (factored.taken.ndim - 1))
    identity = full_like(factored.rows[:, :p], 0.0) + unit
    right = mapped(lambda *parts: xp.concatenate(parts, axis=1), identity, factored.rows[:, p:])
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

    def replaced() -> tuple[Any, Any]:
        least, least_root = minimum_norm(factored, rank, terms, exponents, fitted, root)
        return where(deficient, least, fitted), where(deficient, least_root, root)

    return only_if(deficient.any(), replaced, lambda: (fitted, root))


def _condition(singular: Array, count: Array) -> Array:
    xp = namespace(singular)
    smallest = xp.take_along_axis(singular, xp.maximum(count - 1, 0)[None], axis=0)[0]
    positive = smallest > _NO_SINGULAR_VALUE * singular[0]
    condition = xp.where(positive, singular[0] / xp.where(positive, smallest, 1.0), xp.inf)
    return xp.where(xp.isfinite(singular[0]), condition, xp.nan)
