"""Student's t: the two-sided p value, by arithmetic whose bits depend on no processor."""

import math
from fractions import Fraction

import numpy as np
from jaxtyping import Float

from jaxbatch.least_squares.arithmetic.array_library import Array, iterated, namespace
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble, two_product
from jaxbatch.least_squares.arithmetic.elementary import as_double_double, exp, log, quotient

_STEPS = 1_000
"""The most steps of the continued fraction; it takes up to some sixty."""

_LARGEST_T = 1e150
"""A larger finite |t| counts as this, so that its square is in range."""

_BY_SERIES = 40
"""From this ν on the beta function is computed by a series."""


@np.errstate(all="ignore")  # NumPy computes where it is not wanted, too
def two_sided(t: Float[Array, "..."], dof: Float[Array, "..."]) -> Float[Array, "..."]:
    """P(|T| ≥ |t|) for T of Student's distribution with ν = ``dof`` degrees of freedom, a whole number above 0.

    It is I_x(ν/2, ½) with x = ν/(ν + t²), the regularised incomplete beta function (DLMF 8.17.4), by its continued
    fraction in the modified form of Lentz, from whichever end converges. Its factor xᵃ is computed from a logarithm in
    twice the precision, so that no digit is lost where ν is large: it is right to about 1e-14. An element no longer
    changes once it has converged, so none depends on its neighbours.
    """
    xp = namespace(t, dof)
    t, dof = xp.broadcast_arrays(xp.abs(t), dof)
    shape, t, dof = t.shape, t.ravel(), dof.ravel()
    finite = xp.isfinite(t)
    t_used = xp.where(finite, xp.minimum(t, _LARGEST_T), 0.0)
    ratio = quotient(DoubleDouble(*two_product(t_used, t_used)), dof)
    one = xp.ones_like(t)
    x = 1.0 / (1.0 + ratio.high)
    rest = ratio.high / (1.0 + ratio.high)  # 1 − x without cancellation
    a, b = dof / 2.0, xp.full_like(t, 0.5)
    excess = a * rest - b * x  # a − (a + b)x without cancellation of large numbers
    near_zero = excess > 0
    front = exp(log(ratio + one) * -a) * xp.sqrt(rest) * _inverse_beta_half(dof)
    first, second = xp.where(near_zero, a, b), xp.where(near_zero, b, a)
    near, far = xp.where(near_zero, x, rest), xp.where(near_zero, rest, x)
    of_x = _fraction(first, second, near, far, xp.abs(excess), finite & (t > 0))
    p = xp.where(near_zero, front * of_x, 1.0 - front * of_x)
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


def _fraction(a: Array, b: Array, x: Array, y: Array, excess: Array, wanted: Array) -> Array:
    """The continued fraction of I_x(a, b), without its factor xᵃyᵇ/B(a, b), converged where ``wanted``.

    It is the even part of DLMF 8.17.22 (Didonato and Morris, *Algorithm 708*, ACM TOMS 18, 1992, eq. 9), which takes
    x < a/(a + b) through ``excess`` = a − (a + b)x: where a is large, a rounded x alone would lose as many digits.
    """
    xp = namespace(x)
    epsilon = 2.0 * float(np.finfo(x.dtype).eps)
    of_a = 1.0 / a
    constants = (a, b, x, 1.0 + y, 1.0 + excess, of_a, b * of_a)

    def step(constants: tuple[Array, ...], state: tuple[Array, ...]) -> tuple[Array, ...]:
        a, b, x, y_1, excess_1, of_a, b_of_a = constants
        n, c, d, value, _ = state
        before, here = 1.0 + (n - 1.0) * of_a, 1.0 + n * of_a  # (a + n − 1)/a and (a + n)/a
        size = a + (2.0 * n - 1.0)
        w = n * (b - n) * x
        e = a / size
        alpha = before * (before + b_of_a) * (e * e) * (w * x)
        beta = n + w / size + here / (here + (n + 1.0) * of_a) * (excess_1 + n * y_1)
        d = 1.0 / (beta + alpha * d)
        c = beta + alpha / c
        change = c * d
        return n + 1.0, c, d, value * change, xp.abs(change - 1.0)

    def unfinished(state: tuple[Array, ...]) -> Array:
        return state[-1] > epsilon

    one = xp.ones_like(x)
    first = (1.0 + excess) / (1.0 + of_a)
    start = (one, first, xp.zeros_like(x), first, xp.where(wanted, 1.0, 0.0))
    return 1.0 / iterated(xp, step, unfinished, constants, start, most=_STEPS)[3]
