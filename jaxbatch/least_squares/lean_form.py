"""The fit of many statistics of full rank at once, by NumPy; the others are left to ``full_form.py``."""

from typing import Any

import numpy as np

from jaxbatch.least_squares.arithmetic.array_library import total
from jaxbatch.least_squares.arithmetic.double_double import (
    DoubleDouble,
    mapped,
    power_of_two,
    rounded,
    times_power,
)
from jaxbatch.least_squares.full_form import penalised_matrix, shift_of
from jaxbatch.least_squares.matrices.extreme import largest_eigenvalue
from jaxbatch.least_squares.matrices.quadratic import squared_residual
from jaxbatch.least_squares.matrices.triangles import factor_in_order, inverse_in_order
from jaxbatch.least_squares.solution import Solution, normalised, rank_tolerance, rss_rounding_of
from jaxbatch.least_squares.statistics.sufficient import Statistic


def solve_in_order(
    statistic: Statistic, terms: np.ndarray, penalised: np.ndarray, *, ridge: float, eps: float
) -> tuple[Solution, np.ndarray]:
    """The solution by a Cholesky factor without pivoting, and for which datasets it holds: those of full rank.

    The condition number is that of the column-scaled design S: its square is the product of the largest eigenvalues of
    S'S and (S'S)⁻¹, each of which is found to full accuracy from the inverse of the factor in twice the precision.
    """
    p = len(terms)
    G, exponents = normalised(statistic)
    index = np.arange(p)
    used = _with_unit_padding(G, terms)
    rows, inverses, sound = factor_in_order(used, p)
    found = inverse_in_order(rows, inverses)
    root = found.high[:, :p]
    squares = np.where(terms, rounded(mapped(lambda part: part[index, index], G)), 0.0)
    condition = _condition(rounded(G[:p, :p]), root, squares)
    count = np.sum(terms, axis=0)
    tolerance = rank_tolerance(count, eps, plain=not isinstance(G, DoubleDouble))
    full = sound & (condition * tolerance < 1.0)

    fitted: Any = found.high[:, p]
    if isinstance(G, DoubleDouble):
        fitted = DoubleDouble(fitted, found.low[:, p])
    if ridge > 0:
        shrunk, more = penalised_matrix(G, penalised, exponents, ridge)
        rows, inverses, sound = factor_in_order(_with_unit_padding(shrunk, terms), p)
        found = inverse_in_order(rows, inverses)
        fitted = found.high[:, p]
        if isinstance(G, DoubleDouble):
            fitted = DoubleDouble(fitted, found.low[:, p])
        fitted = times_power(fitted, power_of_two(more[-1:] - more[:p]))
        full &= sound
    rss = squared_residual(G, fitted)
    scaled = np.where(terms, rounded(fitted + shift_of(statistic, exponents)), 0.0)
    return (
        Solution(
            coefficients=scaled * power_of_two(exponents[-1:] - exponents[:p]),
            exponents=exponents,
            scaled=scaled,
            rank=count,
            condition=condition,
            unscaled_stderr=np.where(terms, np.sqrt(total((root * root).swapaxes(0, 1))), 0.0),
            rss=rss,
            rss_rounding=rss_rounding_of(G),
        ),
        full,
    )


def _with_unit_padding(G: Any, terms: np.ndarray) -> Any:
    """``G`` with 1 on the diagonal of columns that are not used, which are 0 otherwise."""
    if terms.all():
        return G
    i = np.arange(len(terms))

    def padded(part: np.ndarray, value: float) -> np.ndarray:
        part = part.copy()
        part[i, i] = np.where(terms, part[i, i], value)
        return part

    return DoubleDouble(padded(G.high, 1.0), padded(G.low, 0.0)) if isinstance(G, DoubleDouble) else padded(G, 1.0)


def _condition(G: np.ndarray, root: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """κ of a column-scaled design from its Gram matrix G [p, p, B], R⁻¹ [p, p, B] and the diagonal of G [p, B]."""
    norms = np.sqrt(squares)
    down = np.where(norms > 0, 1.0 / norms, 0.0)
    p = len(G)
    both = np.zeros((p, p, 2, G.shape[-1]))
    both[:, :, 0] = G * down[:, None] * down
    scaled = root * norms[:, None]
    for column in range(p):
        part = scaled[: column + 1, column]
        both[: column + 1, : column + 1, 1] += part[:, None] * part
    largest = largest_eigenvalue(both.reshape(p, p, -1)).reshape(2, -1)
    return np.sqrt(largest[0]) * np.sqrt(largest[1])
