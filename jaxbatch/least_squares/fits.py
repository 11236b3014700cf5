"""One fit of arrays, by the method that the kernel ``regression`` takes by default."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxbatch.least_squares.arithmetic.array_library import Array, namespace
from jaxbatch.least_squares.design import columns, terms
from jaxbatch.least_squares.inference import infer, response_moments
from jaxbatch.least_squares.solve import solve
from jaxbatch.least_squares.statistics.sufficient import Statistic


class Fit(NamedTuple):
    """A fit of n observations by p terms, the intercept first; every field is float64 but ``rank``.

    NaN marks what is undefined: where n ≤ p all inference but r², and standard errors, t and p values of a ridge fit.
    """

    coefficients: Float[Array, "p ..."]
    """b̂, in the units of y by those of each feature."""
    standard_errors: Float[Array, "p ..."]
    """Of the coefficients, s·√diag (A'WA)⁺."""
    t_values: Float[Array, "p ..."]
    """Each coefficient over its standard error."""
    p_values: Float[Array, "p ..."]
    """Two-sided, of Student's t with n − rank degrees of freedom."""
    rank: Int[Array, "..."]
    """Of the design A."""
    condition: Float[Array, "..."]
    """κ of the design with columns of unit norm: its largest singular value over the smallest."""
    loss: Float[Array, "..."]
    """The mean squared residual Σr²/n; with weights Σwr²/Σw."""
    r_squared: Float[Array, "..."]
    """1 − Σwr²/Σw(y − ȳ)²; without an intercept 1 − Σwr²/Σwy²."""
    residual_sd: Float[Array, "..."]
    """s = √(Σwr²/(n − rank)), in the units of y."""


def fit(
    X: Float[Array, "n k"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    intercept: bool = True,
    ridge: float = 0.0,
    eps: float | None = None,
) -> Fit:
    """A least-squares fit by a Cholesky factor of the Gram matrix in twice the precision; for ``jit`` and ``vmap``.

    It has all digits that float64 data allow, where QR loses as many as the condition number has, and plain normal
    equations twice as many. Below full rank it is the fit of least norm. Float64 must be on; arrays of a lower
    precision are converted to it.

    Args:
        X: the features, a row per observation; any floats.
        y: the response.
        weights: w ≥ 0 of the observations; one of weight 0 does not count.
        intercept: whether a constant term is fitted; ``ridge`` does not shrink it.
        ridge: λ ≥ 0 of Σwr² + λΣb²; with λ > 0 standard errors, t and p values are NaN.
        eps: the unit roundoff of the coarsest precision that the data have had, by which the rank is judged; by default
            that of the arrays.

    Returns:
        A :class:`Fit` in float64.

    Raises:
        ValueError: float64 is off.
    """
    import jax
    import jax.numpy as jnp

    from jaxbatch.least_squares.statistics.gram import statistic

    eps = float(max(jnp.finfo(x.dtype).eps for x in (X, y))) if eps is None else eps
    if jax.dtypes.canonicalize_dtype("float64") != jnp.float64:
        raise ValueError('Float64 is off: jax.config.update("jax_enable_x64", True) turns it on.')
    observed: Bool[Array, " n"] = jnp.ones(len(y), bool) if weights is None else weights != 0
    Z = columns(X.T.astype("float64"), y.astype("float64"), observed, intercept=intercept)
    found = statistic(Z, observed, None if weights is None else weights.astype("float64"))
    used_terms, penalised = terms(jnp.ones(X.shape[1], bool), intercept)
    return fitted(found, used_terms, penalised, intercept=intercept, ridge=ridge, eps=eps)


@np.errstate(all="ignore")  # NaN and infinity show in the results
def fitted(
    statistic: Statistic,
    terms: Bool[Array, "p ..."],
    penalised: Bool[Array, "p ..."],
    *,
    intercept: bool,
    ridge: float = 0.0,
    eps: float = 2.0**-52,
    least_norm: bool = True,
) -> Fit:
    """The fit of a statistic: in JAX of one, for ``jit`` and ``vmap``; in NumPy of many, the datasets on the last axis.

    Args:
        statistic: of the data.
        terms: which columns of a padded design are used.
        penalised: the terms that ``ridge`` shrinks.
        intercept: whether the first column is one of ones.
        ridge: λ ≥ 0 of Σwr² + λΣb².
        eps: the unit roundoff of the coarsest precision that the data have had.
        least_norm: whether below full rank it must be the fit of least norm, which takes more time.
    """
    solution = solve(statistic, terms, penalised, ridge=ridge, eps=eps, least_norm=least_norm)
    moments = response_moments(statistic, intercept=intercept)
    inference = infer(solution, moments, terms.sum(axis=0), sampled=ridge == 0)
    xp = namespace(solution.rss)
    optional = {
        name: xp.where(maybe.present, maybe.value, xp.nan)
        for name, maybe in inference._asdict().items()
        if name != "loss"
    }
    return Fit(solution.coefficients, rank=solution.rank, condition=solution.condition, loss=inference.loss, **optional)
