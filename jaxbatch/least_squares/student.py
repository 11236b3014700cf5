"""Student's t: the two-sided p value, by arithmetic whose bits depend on no processor."""

import math
from fractions import Fraction
from typing import Any

import numpy as np
from jaxtyping import Float

from jaxbatch.least_squares.array_library import Array, iterated, namespace
from jaxbatch.least_squares.double_double import DoubleDouble, two_product, where
from jaxbatch.least_squares.elementary import as_double_double, exp, log, quotient

_STEPS = 20_000
"""The most steps of the continued fraction; it takes about √ν."""

_TINY = 1e-300
"""Takes the place of denominators nearer to 0 in the continued fraction."""

_LARGEST_T = 1e300

_BY_SERIES = 40
"""From this ν on the beta function is computed by a series."""


@np.errstate(all="ignore")  # NumPy computes where it is not wanted, too
def two_sided(t: Float[Array, "..."], dof: Float[Array, "..."]) -> Float[Array, "..."]:
    """P(|T| ≥ |t|) for T of Student's distribution with ν = ``dof`` degrees of freedom, a whole number above 0.

    It is I_x(ν/2, ½) with x = ν/(ν + t²), the regularised incomplete beta function (DLMF 8.17.4), by its continued
    fraction (DLMF 8.17.22) in the modified form of Lentz, from whichever end converges. Its factor xᵃ is computed from
    a logarithm in twice the precision. An element no longer changes once it has converged, so none depends on its
    neighbours.
    """
    xp = namespace(t, dof)
    t, dof = xp.broadcast_arrays(xp.abs(t), dof)
    shape, t, dof = t.shape, t.ravel(), dof.ravel()
    finite = xp.isfinite(t)
    t_used = xp.where(finite, xp.minimum(t, _LARGEST_T), 0.0)
    large = t_used > xp.sqrt(dof) * 1e38
    moderate = xp.where(large, 0.0, t_used)
    ratio = quotient(DoubleDouble(*two_product(moderate, moderate)), dof)
    one = xp.ones_like(t)
    x = xp.where(large, dof / t_used / t_used, 1.0 / (1.0 + ratio.high))
    rest = xp.where(large, 1.0, ratio.high / (1.0 + ratio.high))  # 1 − x without cancellation
    log_x = log(where(large, as_double_double(xp.where(large, t_used, one)), ratio + one))
    log_x = where(large, log(as_double_double(dof)) - (log_x + log_x), -log_x)
    a, b = dof / 2.0, xp.full_like(t, 0.5)
    near_zero = x < (a + 1.0) / (a + b + 2.0)
    front = exp(log_x * a) * xp.sqrt(rest) * _inverse_beta_half(dof)
    fraction = _fraction(
        xp.where(near_zero, a, b), xp.where(near_zero, b, a), xp.where(near_zero, x, rest), finite & (t > 0)
    )
    p = xp.where(near_zero, front / a * fraction, 1.0 - front / b * fraction)
    p = xp.where(rest > 0, p, 1.0)
    p = xp.where(finite, p, xp.where(xp.isnan(t), xp.nan, 0.0))
    return p.reshape(shape)


def _exact_inverse_beta_half() -> np.ndarray:
    """1/B(ν/2, ½) for ν = 0 … 39, by B(a + 1, ½) = B(a, ½)·a/(a + ½) from B(½, ½) = π and B(1, ½) = 2."""
    rational = [Fraction(0), Fraction(1), Fraction(1, 2)]  # of those for odd ν without the factor 1/π
    for dof in range(3, _BY_SERIES):
        a = Fraction(dof - 2, 2)
        rational.append(rational[dof - 2] * (a + Fraction(1, 2)) / a)
    return np.array([float(each) / math.pi if dof % 2 else float(each) for dof, each in enumerate(rational)])


_INVERSE_BETA_HALF = _exact_inverse_beta_half()


def _inverse_beta_half(dof: Array) -> Array:
    """1/B(ν/2, ½); from ν = 40 on by the series of ln Γ(a+½) − ln Γ(a) (from DLMF 5.11.8)."""
    xp = namespace(dof)
    near = xp.asarray(_INVERSE_BETA_HALF)[xp.minimum(dof, _BY_SERIES - 1).astype("int32")]
    far = xp.maximum(dof / 2.0, _BY_SERIES / 2.0)
    u = 1.0 / far
    square = u * u
    series = u * (-1 / 8 + square * (1 / 192 + square * (-1 / 640 + square * (17 / 14336 - square * (31 / 18432)))))
    return xp.where(dof < _BY_SERIES, near, xp.sqrt(far * (1.0 / math.pi)) * exp(as_double_double(series)))


def _fraction(a: Array, b: Array, x: Array, wanted: Array) -> Array:
    """The continued fraction of I_x(a, b), without its factor xᵃ(1 − x)ᵇ/(a B(a, b)), converged where ``wanted``."""
    xp = namespace(x)
    one = xp.ones_like(x)
    first = _away_from_zero(1.0 - (a + b) * x / (a + 1.0))
    epsilon = 2.0 * float(np.finfo(x.dtype).eps)

    def step(constants: tuple[Array, ...], state: tuple[Array, ...]) -> tuple[Array, ...]:
        a, b, x = constants
        m, c, d, value, _ = state
        twice = a + 2.0 * m
        change: Any = None
        for numerator in (
            m * (b - m) * x / ((twice - 1.0) * twice),
            -(a + m) * (a + b + m) * x / (twice * (twice + 1.0)),
        ):
            d = 1.0 / _away_from_zero(1.0 + numerator * d)
            c = _away_from_zero(1.0 + numerator / c)
            change = c * d
            value = value * change
        return m + 1.0, c, d, value, xp.abs(change - 1.0)

    def unfinished(state: tuple[Array, ...]) -> Array:
        return state[-1] > epsilon

    start = (one, one, 1.0 / first, 1.0 / first, xp.where(wanted, 1.0, 0.0))
    return iterated(xp, step, unfinished, (a, b, x), start, most=_STEPS)[3]


def _away_from_zero(x: Array) -> Array:
    xp = namespace(x)
    return xp.where(xp.abs(x) < _TINY, _TINY, x)
