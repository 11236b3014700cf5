"""Classical inference: loss, r², residual standard deviation, standard errors, t and p values of a fit."""

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxbatch.columns import Maybe
from jaxbatch.least_squares.arithmetic.array_library import Array, namespace
from jaxbatch.least_squares.arithmetic.batched import datasets_last
from jaxbatch.least_squares.arithmetic.double_double import full_like, inverse, power_of_two, rounded, where
from jaxbatch.least_squares.solution import Solution, normalised
from jaxbatch.least_squares.statistics.sufficient import Statistic
from jaxbatch.least_squares.student import two_sided

_DIGITS = 1000.0
"""A squared residual is known, to three digits, if it is this many times what rounding may have left of it."""


class ResponseMoments(NamedTuple):
    """Moments of the response y, in the units of the solution: y divided by 2^exponents[-1]."""

    n: Int[Array, "..."]
    """n, the number of observations."""
    weight: Float[Array, "..."]
    """Σw, the sum of their weights; n without weights."""
    tss: Float[Array, "..."]
    """The total sum of squares: Σw(y − ȳ)², or Σwy² without an intercept."""
    uncentered_tss: Float[Array, "..."]
    """Σwy²."""
    varies: Bool[Array, "..."]
    """Whether y has two different values; without an intercept, whether any is not 0."""


class Inference(NamedTuple):
    """Inference of one fit; each field that can be undefined is a :class:`Maybe`. Arrays of p have one per term."""

    loss: Float[Array, "..."]
    """Σwr²/Σw, in squared units of y."""
    r_squared: Maybe
    """1 − Σwr²/Σw(y − ȳ)²; without an intercept 1 − Σwr²/Σwy²."""
    residual_sd: Maybe
    """s = √(Σwr²/(n − rank)), in the units of y."""
    standard_errors: Maybe
    """s·√diag (A'WA)⁺ [p]."""
    t_values: Maybe
    """Coefficients over their standard errors [p]."""
    p_values: Maybe
    """Two-sided p values of Student's t with n − rank degrees of freedom [p]."""


def response_moments(statistic: Statistic, *, intercept: bool) -> ResponseMoments:
    """The moments of y, from the statistic alone."""

    tss, uncentered = datasets_last(partial(_sums_of_squares, intercept=intercept))(statistic)
    same = statistic.y_min == statistic.y_max if intercept else (statistic.y_min == 0) & (statistic.y_max == 0)
    return ResponseMoments(statistic.n, statistic.weight, tss, uncentered, ~same)


def _sums_of_squares(statistic: Statistic, *, intercept: bool) -> tuple[Array, Array]:
    G, _ = normalised(statistic)
    square = total = G[-1, -1]
    if intercept:
        has_weight = rounded(G[0, 0]) > 0
        total = total - G[0, -1] * G[0, -1] * inverse(where(has_weight, G[0, 0], full_like(G[0, 0], 1.0)))
    return namespace(rounded(total)).maximum(rounded(total), 0.0), rounded(square)


def response_moments_of_data(
    Z: Float[Array, "k n"],
    observed: Bool[Array, " n"],
    weights: Float[Array, " n"] | None,
    exponent: Int[Array, "..."],
    *,
    intercept: bool,
) -> ResponseMoments:
    """The moments of y, from the columns of [1 X y]; the solution divides y by 2^``exponent``."""
    xp = namespace(Z)
    used = observed.astype(Z.dtype) if weights is None else xp.where(observed, weights, 0.0)
    y, n, weight = Z[-1] * power_of_two(-exponent), observed.sum(), used.sum()
    mean = used @ y / xp.where(weight > 0, weight, 1.0) if intercept else 0.0
    first = y[xp.argmax(observed)] if intercept else 0.0
    return ResponseMoments(n, weight, used @ (y - mean) ** 2, used @ y**2, xp.any(observed & (y != first)))


@np.errstate(all="ignore")  # NaN and infinity show in the results
def infer(
    solution: Solution,
    moments: ResponseMoments,
    p: Int[Array, "..."],
    *,
    sampled: Bool[Array, "..."] | bool = True,
) -> Inference:
    """Classical inference with n − rank degrees of freedom.

    Where cancellation left no digits of the squared residual, all but the loss is undefined. So are r² where y does not
    vary, the others where n ≤ p, and t and p values also where the residual is nothing but rounding of y.

    Args:
        solution: of the fit.
        moments: of y.
        p: the number of terms.
        sampled: whether the coefficients follow Student's t at all; those of a ridge fit do not.
    """
    xp = namespace(solution.rss, moments.n)
    n, rss, exponents = moments.n, solution.rss, solution.exponents
    dof: Any = xp.maximum(n - solution.rank, 1)
    known = ~(rss < _DIGITS * solution.rss_rounding)  # NaN is a value as computed
    enough = (n > p) & known
    unit = power_of_two(exponents[-1])
    residual_sd = xp.sqrt(rss / dof)
    errors = residual_sd * solution.unscaled_stderr
    rounding = 8 * p * 2.0**-52 * xp.sqrt(moments.uncentered_tss)
    testable = enough & sampled & moments.varies & (rss > rounding * rounding)
    t = solution.scaled / xp.where(errors > 0, errors, 1.0)
    varies = moments.varies & (moments.tss > 0)
    return Inference(
        loss=rss * unit / moments.weight * unit,
        r_squared=Maybe(1.0 - rss / xp.where(varies, moments.tss, 1.0), varies & known),
        residual_sd=Maybe(residual_sd * unit, enough),
        standard_errors=Maybe(errors * power_of_two(exponents[-1:] - exponents[:-1]), enough & sampled),
        t_values=Maybe(t, testable),
        p_values=Maybe(two_sided(t, dof.astype(t.dtype)), testable),
    )
