"""Student's t, and the exp and log that it needs, against mpmath at 40 digits."""

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxbatch.least_squares.arithmetic import elementary
from jaxbatch.least_squares.arithmetic.double_double import DoubleDouble
from jaxbatch.least_squares.student import two_sided

FREEDOMS = [1, 2, 3, 4, 7, 38, 39, 40, 41, 244, 10_000, 2_000_000, 1_000_000_000]
T = [0.0, 1e-8, 1e-3, 0.1, 0.7, 0.9, 1.0, 1.05, 1.13, 1.37, 1.5, 2.0, 3.0, 10.0, 40.0, 1e6, 1e39, 1e150]


def exact(t: float, freedom: float) -> float:
    """By the lower tail, which mpmath can sum for a large ν too, with the digits that 1 minus it takes."""
    with mpmath.workdps(450 if freedom > 244 else 40):
        square, a = mpmath.mpf(t) ** 2, mpmath.mpf(freedom) / 2
        if freedom > 244:
            if t > 40.0:
                return 0.0  # below 1e-300
            return float(1 - mpmath.betainc(0.5, a, 0, square / (freedom + square), regularized=True))
        return float(mpmath.betainc(a, 0.5, 0, freedom / (freedom + square), regularized=True))


@pytest.mark.parametrize("freedom", FREEDOMS)
def test_p_values(freedom):
    found = two_sided(np.array(T), np.array(float(freedom)))
    for t, p in zip(T, found, strict=True):
        assert p == pytest.approx(exact(t, freedom), rel=1e-14, abs=1e-300), t


def test_p_values_by_jax():
    t, freedom = np.meshgrid(T, [1.0, 4.0, 39.0, 244.0])
    found = jax.jit(two_sided)(jnp.asarray(t), jnp.asarray(freedom))
    np.testing.assert_allclose(found, two_sided(t, freedom), rtol=1e-13, atol=1e-300)


def test_what_is_no_number():
    np.testing.assert_array_equal(
        two_sided(np.array([np.nan, np.inf, -np.inf, -0.0]), np.array(5.0)), [np.nan, 0.0, 0.0, 1.0]
    )


def pairs(high: np.ndarray, rng: np.random.Generator) -> DoubleDouble:
    return DoubleDouble(high, high * rng.uniform(-(2.0**-54), 2.0**-54, len(high)))


def test_logarithms_have_58_bits():
    rng = np.random.default_rng(0)
    x = pairs(np.r_[10.0 ** rng.uniform(-300, 300, 200), 1 + 10.0 ** rng.uniform(-16, 0, 100)], rng)
    found = elementary.log(x)
    with mpmath.workdps(40):
        for high, low, log, rest in zip(x.high, x.low, found.high, found.low, strict=True):
            true = mpmath.log(mpmath.mpf(float(high)) + mpmath.mpf(float(low)))
            assert abs(mpmath.mpf(float(log)) + mpmath.mpf(float(rest)) - true) <= 2.0**-58 * max(abs(true), 1 / 3)


def test_exponentials_are_right_to_an_ulp():
    rng = np.random.default_rng(1)
    x = pairs(np.r_[rng.uniform(-708, 709, 300), 10.0 ** rng.uniform(-20, 0, 50)], rng)
    found = elementary.exp(x)
    with mpmath.workdps(40):
        for high, low, value in zip(x.high, x.low, found, strict=True):
            true = mpmath.exp(mpmath.mpf(float(high)) + mpmath.mpf(float(low)))
            assert abs(mpmath.mpf(float(value)) / true - 1) <= 2.0**-52
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(elementary.exp(DoubleDouble(np.array([-1e9, 1e9]), np.zeros(2))), [0.0, np.inf])
