"""High orders far from 1: coefficients are right wherever they can be represented."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxbatch.series import expand, taylor
from jaxbatch.series.scaling import _rough_log2


def derivatives(function, point: float, order: int, dtype) -> np.ndarray:
    with jax.enable_x64(dtype == np.float64):
        center = jnp.asarray(point, dtype)
        found = jax.jit(lambda c: expand(function, c, jnp.ones_like(c), order).derivatives())(center)
        assert found.dtype == dtype
        return np.asarray(found)


def coefficients(function, point: float, order: int, dtype) -> np.ndarray:
    with jax.enable_x64(dtype == np.float64):
        center = jnp.asarray(point, dtype)
        return np.asarray(jax.jit(lambda c: taylor(function)(c, jnp.ones_like(c), order))(center))


def power_of(point: float, exponent: float, order: int) -> list[float]:
    """The coefficients of x^exponent."""
    with mpmath.workdps(50):
        start = mpmath.mpf(point)
        return [float(mpmath.binomial(exponent, n) * start ** (exponent - n)) for n in range(order + 1)]


def logarithm(point: float, order: int) -> list[float]:
    with mpmath.workdps(50):
        start = mpmath.mpf(point)
        return [float(mpmath.log(start)), *(float(-((-1 / start) ** n) / n) for n in range(1, order + 1))]


def test_exp_in_float32():
    found = coefficients(jnp.exp, 0.0, 64, np.float32)
    wanted = np.array([1 / math.factorial(n) for n in range(65)])
    normal = wanted > float(np.finfo(np.float32).tiny)
    np.testing.assert_allclose(found[normal], wanted[normal], rtol=2e-5)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(derivatives(jnp.exp, 0.0, 64, np.float32), 1.0, rtol=2e-5)  # 1/40! is 0 in float32


@pytest.mark.parametrize("point", [0.5, 1000.0])
def test_log_in_float32(point):
    found = coefficients(jnp.log, point, 64, np.float32)
    wanted = np.array(logarithm(point, 64))
    limits = np.finfo(np.float32)
    normal = (np.abs(wanted) > float(limits.tiny)) & (np.abs(wanted) < float(limits.max))
    np.testing.assert_allclose(found[normal], wanted[normal], rtol=2e-5)
    assert (np.abs(found[~normal]) <= float(limits.tiny)).all()


def test_derivatives_of_log_far_out():
    found = derivatives(jnp.log, 1e6, 64, np.float64)
    wanted = [math.log(1e6)]
    with mpmath.workdps(50):
        wanted += [float((-1) ** (n - 1) * mpmath.factorial(n - 1) / mpmath.mpf(10) ** (6 * n)) for n in range(1, 65)]
    assert wanted[64] != 0
    np.testing.assert_allclose(found, wanted, rtol=1e-12)


@pytest.mark.parametrize("point", [1e-6, 43.0, 49.0, 1e9])
def test_sqrt(point):
    found = coefficients(jnp.sqrt, point, 30, np.float64)
    np.testing.assert_allclose(found, power_of(point, 0.5, 30), rtol=1e-12)


def test_a_sum_of_terms():
    """√43 from the expansion about 49, whose terms are those of the step."""
    with jax.enable_x64(True):
        expansion = expand(jnp.sqrt, jnp.float64(49.0), jnp.float64(1.0), 30)
        terms = np.asarray(expansion.terms(jnp.float64(-6.0)))
    assert abs(math.fsum(terms) - math.sqrt(43)) < 1e-14


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_the_logarithm_by_the_bits_is_within_its_bound_of_the_logarithm(kind):
    limits = np.finfo(kind)
    with jax.enable_x64(True):
        x = 2.0 ** np.linspace(limits.minexp, limits.maxexp, 2001)[:-1]
        x = np.append(x.astype(kind), [limits.tiny, limits.max, 1, 2]).astype(kind)
        found = np.asarray(_rough_log2(jnp.asarray(x))).astype(np.float64)
        exact = np.log2(x.astype(np.float64))
        rounding = 2 * float(limits.eps) * limits.maxexp
        assert (found <= exact + rounding).all()
        assert (exact - found).max() == pytest.approx(0.0861, abs=1e-3 + rounding)  # log2(1 + m) − m at m = 1/ln 2 − 1
        assert np.asarray(_rough_log2(jnp.asarray([0.0, np.inf, np.nan], kind))).tolist()[:2] == [-np.inf, np.inf]
        assert np.isnan(_rough_log2(jnp.asarray(np.nan, kind)))


@pytest.mark.parametrize("order", [16, 17, 24, 32, 33])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_written_out_and_looped_the_coefficients_are_right_at_many_points(order, dtype):
    """√x, one product, is written out to order 32, scaled above 16; the slope of a coefficient is the next one."""
    with jax.enable_x64(dtype == np.float64):
        x = jnp.asarray([0.02, 0.3, 1.0, 7.0, 40.0], dtype)

        def last(x):
            return taylor(jnp.sqrt)(x, jnp.ones_like(x), order)[order]

        found = jax.jit(jax.vmap(lambda x: taylor(jnp.sqrt)(x, jnp.ones_like(x), order)))(x)
        slopes = jax.jit(jax.vmap(lambda x: jax.jvp(last, (x,), (jnp.ones_like(x),))[1]))(x)
    wanted = np.array([power_of(float(point), 0.5, order + 1) for point in x])
    limits = np.finfo(dtype)
    inside = (np.abs(wanted) > float(limits.tiny)) & (np.abs(wanted) < float(limits.max))
    rtol = 100 * float(limits.eps)
    np.testing.assert_allclose(np.asarray(found)[inside[:, :-1]], wanted[:, :-1][inside[:, :-1]], rtol=rtol)
    sloped = inside[:, -1] & inside[:, -2]
    np.testing.assert_allclose(np.asarray(slopes)[sloped], (order + 1) * wanted[sloped, -1], rtol=rtol)
    assert sloped.sum() >= 2
