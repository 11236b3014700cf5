"""What a fit says beyond its coefficients: loss, r², standard errors, t and p values."""

from functools import partial
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxbatch.columns import Maybe
from jaxbatch.least_squares.batched import datasets_last
from jaxbatch.least_squares.double_double import full_like, inverse, power_of_two, rounded, where
from jaxbatch.least_squares.gram import Statistic
from jaxbatch.least_squares.solve import Solution, normalised
from jaxbatch.least_squares.student import two_sided

_DIGITS = 1000.0
"""A squared residual is known where it is so many times what cancellation may have left of it: to three digits."""


class ResponseMoments(NamedTuple):
    """What there is to explain."""

    n: Int[Array, ""]
    """Observations."""
    weight: Float[Array, ""]
    """Their weights' sum; n without weights."""
    total: Float[Array, ""]
    """Σw(y − mean)², or Σwy² without an intercept; of y divided as the solution divides it."""
    square: Float[Array, ""]
    """Σwy², likewise."""
    varies: Bool[Array, ""]
    """Whether y is not one number everywhere (not 0, without an intercept)."""


class Inference(NamedTuple):
    """Each field that can be undefined is a :class:`Maybe`."""

    loss: Float[Array, ""]
    r_squared: Maybe
    residual_sd: Maybe
    standard_errors: Maybe
    t_values: Maybe
    p_values: Maybe


def response_moments(statistic: Statistic, *, intercept: bool) -> ResponseMoments:
    """The spread of y, from the statistic alone."""

    total, square = datasets_last(partial(_sums_of_squares, intercept=intercept))(statistic)
    same = statistic.least == statistic.most if intercept else (statistic.least == 0) & (statistic.most == 0)
    return ResponseMoments(statistic.n, statistic.weight, total, square, ~same)


def _sums_of_squares(statistic: Statistic, *, intercept: bool) -> tuple[Array, Array]:
    G, _ = normalised(statistic)
    square = total = G[-1, -1]
    if intercept:
        has_weight = rounded(G[0, 0]) > 0
        total = total - G[0, -1] * G[0, -1] * inverse(where(has_weight, G[0, 0], full_like(G[0, 0], 1.0)))
    return jnp.maximum(rounded(total), 0.0), rounded(square)


def response_moments_of_data(
    Z: Float[Array, "k n"],
    observed: Bool[Array, " n"],
    weights: Float[Array, " n"] | None,
    exponent: Int[Array, ""],
    *,
    intercept: bool,
) -> ResponseMoments:
    """The spread of y, from the columns of [1 X y] themselves; 2^``exponent`` is what the solution divides y by."""
    used = observed.astype(Z.dtype) if weights is None else jnp.where(observed, weights, 0.0)
    y, n, weight = Z[-1] * power_of_two(-exponent), observed.sum(), used.sum()
    mean = used @ y / jnp.where(weight > 0, weight, 1.0) if intercept else 0.0
    first = y[jnp.argmax(observed)] if intercept else 0.0
    return ResponseMoments(n, weight, used @ (y - mean) ** 2, used @ y**2, jnp.any(observed & (y != first)))


def infer(
    solution: Solution,
    moments: ResponseMoments,
    p: Int[Array, ""],
    *,
    sampled: Bool[Array, ""] | bool = True,
) -> Inference:
    """Classical inference with n − rank degrees of freedom; undefined where n ≤ p, t and p also where the residual
    is nothing but rounding, and all but the loss where what is left of cancellation in it is.

    Args:
        solution: of the fit; its ``rss`` are those of its coefficients.
        moments: of y.
        p: the number of terms.
        sampled: whether the coefficients follow Student's t at all; those of a ridge fit do not.
    """
    n, rss, exponents = moments.n, solution.rss, solution.exponents
    freedom: Any = jnp.maximum(n - solution.rank, 1)
    known = rss >= _DIGITS * solution.rss_rounding
    enough = (n > p) & known
    unit = power_of_two(exponents[-1])
    residual_sd = jnp.sqrt(rss / freedom)
    errors = residual_sd * solution.unscaled_stderr
    rounding = 8 * p * jnp.finfo(rss.dtype).eps * jnp.sqrt(moments.square)
    testable = enough & sampled & moments.varies & (rss > rounding**2)
    t = solution.scaled / jnp.where(errors > 0, errors, 1.0)
    varies = moments.varies & (moments.total > 0)
    return Inference(
        loss=rss * unit / moments.weight * unit,
        r_squared=Maybe(1.0 - rss / jnp.where(varies, moments.total, 1.0), varies & known),
        residual_sd=Maybe(residual_sd * unit, enough),
        standard_errors=Maybe(errors * power_of_two(exponents[-1:] - exponents[:-1]), enough & sampled),
        t_values=Maybe(t, testable),
        p_values=Maybe(two_sided(t, freedom.astype(t.dtype)), testable),
    )
