"""One fit of arrays, by the way that the kernel ``regression`` takes by default."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxbatch.least_squares.design import columns, terms
from jaxbatch.least_squares.gram import statistic
from jaxbatch.least_squares.inference import infer, response_moments
from jaxbatch.least_squares.solve import solve


class Fit(NamedTuple):
    """A fit of n observations by p terms, the intercept first; NaN where inference is undefined."""

    coefficients: Float[Array, " p"]
    standard_errors: Float[Array, " p"]
    t_values: Float[Array, " p"]
    p_values: Float[Array, " p"]
    rank: Int[Array, ""]
    condition: Float[Array, ""]
    """Of the column-scaled design."""
    loss: Float[Array, ""]
    """The mean squared residual; with weights Σwr²/Σw."""
    r_squared: Float[Array, ""]
    residual_sd: Float[Array, ""]
    """With n − rank degrees of freedom."""


def fit(
    X: Float[Array, "n k"],
    y: Float[Array, " n"],
    *,
    weights: Float[Array, " n"] | None = None,
    intercept: bool = True,
    ridge: float = 0.0,
    eps: float | None = None,
) -> Fit:
    """Least squares by Cholesky's factor of the Gram matrix in twice the precision; for ``jit`` and ``vmap``.

    To the last digit that float64 data allow, where QR loses those of the condition, and plain normal equations those
    of its square. Below full rank it is the fit of least norm. Float64 must be on; arrays of a smaller precision are
    computed in it.

    Args:
        X: the features, a row an observation.
        y: what is to be fitted.
        weights: of the observations, 0 or more; those of 0 are none.
        intercept: whether a constant term is fitted, which ``ridge`` does not shrink.
        ridge: λ of Σr² + λΣb²; standard errors, t and p are undefined with it.
        eps: the unit roundoff of the coarsest precision that the data have had, by which the rank is judged; by default
            that of the arrays.

    Raises:
        ValueError: float64 is off.
    """
    eps = float(max(jnp.finfo(x.dtype).eps for x in (X, y))) if eps is None else eps
    if jax.dtypes.canonicalize_dtype("float64") != jnp.float64:
        raise ValueError('Float64 is off: jax.config.update("jax_enable_x64", True) turns it on.')
    observed: Bool[Array, " n"] = jnp.ones(len(y), bool) if weights is None else weights != 0
    Z = columns(X.T.astype("float64"), y.astype("float64"), observed, intercept=intercept)
    found = statistic(Z, observed, None if weights is None else weights.astype("float64"))
    used_terms, penalised = terms(jnp.ones(X.shape[1], bool), intercept)
    solution = solve(found, used_terms, penalised, ridge=ridge, eps=eps)
    moments = response_moments(found, intercept=intercept)
    inference = infer(solution, moments, used_terms.sum(), sampled=ridge == 0)
    optional = {
        name: jnp.where(maybe.present, maybe.value, jnp.nan)
        for name, maybe in inference._asdict().items()
        if name != "loss"
    }
    return Fit(solution.coefficients, rank=solution.rank, condition=solution.condition, loss=inference.loss, **optional)
