"""A fit from the statistic alone, by a Cholesky factor in the statistic's own precision.

In JAX the functions are for one dataset and for ``vmap``; in NumPy for arrays with the datasets on the last axis.
"""

from functools import partial

from jaxtyping import Bool, Float

from jaxbatch.least_squares.array_library import Array
from jaxbatch.least_squares.batched import datasets_last
from jaxbatch.least_squares.double_double import DoubleDouble, power_of_two
from jaxbatch.least_squares.full_form import solve_fully
from jaxbatch.least_squares.quadratic import squared_residual
from jaxbatch.least_squares.solution import Solution, normalised, rss_rounding_of
from jaxbatch.least_squares.sufficient import Statistic


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
    return datasets_last(partial(solve_fully, ridge=ridge, eps=eps, least_norm=least_norm))(statistic, terms, penalised)


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
