"""A fit from the statistic alone, by a Cholesky factor in the statistic's own precision.

In JAX the functions are for one dataset and for ``vmap``; in NumPy for arrays with the datasets on the last axis.
"""

from functools import partial

import numpy as np
from jaxtyping import Bool, Float

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace
from jaxbatch.least_squares.arithmetic.batched import datasets_last, each_array
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble, power_of_two
from jaxbatch.least_squares.full_form import solve_fully
from jaxbatch.least_squares.lean_form import solve_in_order
from jaxbatch.least_squares.matrices.quadratic import squared_residual
from jaxbatch.least_squares.solution import Solution, normalised, rss_rounding_of
from jaxbatch.least_squares.statistics.sufficient import Statistic

_CHUNK = 2**18
"""NumPy solves at most so many elements of Gram matrices at once: its temporaries then stay in a core's cache …"""

_SMALLEST_CHUNK, _LARGEST_CHUNK = 16, 4096
"""… but no fewer and no more datasets than these, as each operation costs a microsecond by itself."""


def solve(
    statistic: Statistic,
    terms: Bool[Array, "p ..."],
    penalised: Bool[Array, "p ..."],
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
    found = partial(_solve, ridge=ridge, eps=eps, least_norm=least_norm)
    return datasets_last(found)(statistic, terms, penalised)


def _solve(
    statistic: Statistic, terms: Array, penalised: Array, *, ridge: float, eps: float, least_norm: bool
) -> Solution:
    if namespace(terms) is not np:
        return solve_fully(statistic, terms, penalised, ridge=ridge, eps=eps, least_norm=least_norm)
    problem, datasets = (statistic, terms, penalised), terms.shape[-1]
    size = min(max(_CHUNK // len(terms) ** 2, _SMALLEST_CHUNK), _LARGEST_CHUNK)
    found = []
    for start in range(0, max(datasets, 1), size):
        chunk = each_array(lambda x, start=start: x[..., start : start + size], problem)
        solution, full = solve_in_order(*chunk, ridge=ridge, eps=eps)
        if not full.all():
            others = np.flatnonzero(~full)
            deficient = each_array(lambda x, others=others: x[..., others], chunk)
            fitted = solve_fully(*deficient, ridge=ridge, eps=eps, least_norm=least_norm)
            each_array(lambda x, new, others=others: x.__setitem__((..., others), new), solution, fitted)
        found.append(solution)
    return each_array(lambda *parts: np.concatenate(parts, axis=-1), *found)


def with_coefficients(solution: Solution, statistic: Statistic, coefficients: Float[Array, "p ..."]) -> Solution:
    """``solution`` with other coefficients, in the units of the data, and their residual sum of squares.

    ``statistic`` is of the same dataset, and may differ in precision; the rank and the condition stay.
    """

    def replaced(solution: Solution, statistic: Statistic, coefficients: Array) -> Solution:
        G, exponents = normalised(statistic)
        scaled = coefficients * power_of_two(exponents[:-1] - exponents[-1:])
        exact = DoubleDouble(scaled, 0.0 * scaled) if isinstance(G, DoubleDouble) else scaled
        return solution._replace(
            coefficients=coefficients,
            exponents=exponents,
            scaled=scaled,
            unscaled_stderr=solution.unscaled_stderr * power_of_two(exponents[:-1] - solution.exponents[:-1]),
            rss=squared_residual(G, exact),
            rss_rounding=rss_rounding_of(G),
        )

    return datasets_last(replaced)(solution, statistic, coefficients)
