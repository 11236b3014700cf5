"""High orders far from 1: coefficients are right wherever they can be represented."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxbatch.series import expand, taylor


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
