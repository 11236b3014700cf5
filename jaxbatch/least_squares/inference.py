"""What a fit says beyond its coefficients: loss, r², standard errors, t and p values."""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import betainc
from jaxtyping import Array, Bool, Float, Int

from jaxbatch.columns import Maybe
from jaxbatch.least_squares.design import Design


class Inference(NamedTuple):
    """Each field that can be undefined is a :class:`Maybe`."""

    loss: Float[Array, ""]
    r_squared: Maybe
    residual_sd: Maybe
    standard_errors: Maybe
    t_values: Maybe
    p_values: Maybe


def infer(
    problem: Design,
    coefficients: Float[Array, " p"],
    rank: Int[Array, ""],
    root: Float[Array, "p p"],
    *,
    intercept: bool,
    sampled: Bool[Array, ""] | bool = True,
) -> Inference:
    """Classical inference with n − rank degrees of freedom; undefined where n ≤ p, t and p also where the residual
    is nothing but rounding.

    Args:
        problem: the design.
        coefficients: of the fit, in the data's own coordinates.
        rank: of the design.
        root: M with M M' = (A'A)⁺.
        intercept: whether r² is about the mean (else about zero).
        sampled: whether the coefficients follow Student's t at all; those of a ridge fit do not.

    The two-sided p value is I_{ν/(ν+t²)}(ν/2, ½), the regularised incomplete beta function
    (Abramowitz and Stegun 26.7.1).
    """
    residual = jnp.where(problem.observed, problem.target - problem.matrix @ coefficients, 0.0)
    squares = residual @ residual
    n = problem.n
    mean = jnp.sum(problem.target) / jnp.maximum(n, 1) if intercept else 0.0
    deviation = jnp.where(problem.observed, problem.target - mean, 0.0)
    first = problem.target[0] if intercept else 0.0
    varies = jnp.any(problem.observed & (problem.target != first))
    total = deviation @ deviation
    freedom = jnp.maximum(n - rank, 1)
    enough = n > problem.p
    residual_sd = jnp.sqrt(squares / freedom)
    errors = residual_sd * jnp.sqrt(jnp.sum(root**2, axis=1))
    rounding = 8 * problem.p * jnp.finfo(residual.dtype).eps * jnp.linalg.norm(problem.target)
    testable = enough & sampled & varies & (squares > rounding**2)
    t = coefficients / jnp.where(errors > 0, errors, 1.0)
    return Inference(
        loss=squares / n,
        r_squared=Maybe(1.0 - squares / jnp.where(varies, total, 1.0), varies),
        residual_sd=Maybe(residual_sd, enough),
        standard_errors=Maybe(errors, enough & sampled),
        t_values=Maybe(t, testable),
        p_values=Maybe(betainc(freedom / 2.0, 0.5, freedom / (freedom + t**2)), testable),
    )
