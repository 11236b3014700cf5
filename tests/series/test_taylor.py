"""Taylor coefficients along a line against mpmath, and against nested ``jax.jvp`` where a value is a convention."""

import math

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxbatch.series import MAX_NESTED_ORDER, SeriesError, coefficients


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


def along(function, x: float, order: int) -> np.ndarray:
    center = jnp.float64(x)
    return np.asarray(jax.jit(lambda c: coefficients(function, c, jnp.ones_like(c), order))(center))


def nested(function, x: float, order: int) -> list[float]:
    """c_k by ``jax.grad`` of ``jax.grad`` …: what JAX itself takes for the derivative at a tie."""
    values, f, factorial = [], function, 1.0
    for k in range(order + 1):
        factorial *= max(k, 1)
        values.append(float(f(jnp.float64(x))) / factorial)
        f = jax.grad(f)
    return values


@pytest.mark.parametrize(
    ("function", "exact", "x"),
    [
        (jnp.sqrt, mpmath.sqrt, 49.0),
        (jnp.exp, mpmath.exp, -0.7),
        (jnp.sin, mpmath.sin, 0.0),
        (jnp.log1p, lambda x: mpmath.log(1 + x), 0.3),
        (lambda x: x**2.5, lambda x: x ** mpmath.mpf("2.5"), 1.3),
        (lambda x: x**5 / (1 + x**2), lambda x: x**5 / (1 + x**2), 0.0),
        (jax.scipy.special.erf, mpmath.erf, 0.4),
        (jax.nn.sigmoid, lambda x: 1 / (1 + mpmath.exp(-x)), 0.8),
        (lambda x: jnp.where(x > 0, jnp.cos(x), x), mpmath.cos, 0.5),
        (lambda x: jnp.full_like(x, 3.0), lambda _: mpmath.mpf(3), 2.0),
    ],
)
@pytest.mark.parametrize("order", [0, 4, 12])  # nested forward mode, then power series
def test_coefficients(function, exact, x, order):
    with mpmath.workdps(50):
        expected = [float(term) for term in mpmath.taylor(exact, mpmath.mpf(x), order)]
    found = along(function, x, order)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15)


def test_the_direction_of_a_vector():
    center, direction = jnp.array([0.5, 1.0, -2.0]), jnp.array([1.0, -0.5, 0.25])
    # f(center + t·direction) = (0.5 + t)(1 − t/2)(−2 + t/4), multiplied out.
    expected = np.polynomial.Polynomial([0.5, 1]) * np.polynomial.Polynomial([1, -0.5])
    expected = (expected * np.polynomial.Polynomial([-2, 0.25])).coef
    for order in (3, 6):
        found = coefficients(lambda x: x[0] * x[1] * x[2], center, direction, order)
        np.testing.assert_allclose(found, [*expected, *[0.0] * (order - 3)], rtol=1e-14, atol=1e-15)


@pytest.mark.parametrize("order", [4, 5])  # 5: a custom_jvp function has no series rule
@pytest.mark.parametrize(
    "function",
    [
        jax.nn.relu,
        jax.nn.softplus,
        jnp.sinc,
        jnp.abs,
        lambda x: jnp.maximum(x, 0.0),
        lambda x: jnp.logaddexp(x, 2 * x),
    ],
    ids=["relu", "softplus", "sinc", "abs", "maximum", "logaddexp"],
)
def test_ties_are_those_of_grad(function, order):
    np.testing.assert_allclose(along(function, 0.0, order), nested(function, 0.0, order), rtol=1e-12, atol=1e-13)


def test_softplus_and_sinc_at_zero():
    np.testing.assert_allclose(along(jax.nn.softplus, 0.0, 4), [math.log(2), 1 / 2, 1 / 8, 0, -1 / 192], atol=1e-16)
    np.testing.assert_allclose(along(jnp.sinc, 0.0, 4), [1, 0, -(math.pi**2) / 6, 0, math.pi**4 / 120], rtol=1e-14)


def test_without_a_series_rule_orders_are_bounded():
    with mpmath.workdps(50):
        expected = [float(term) for term in mpmath.taylor(mpmath.asin, mpmath.mpf(0.25), MAX_NESTED_ORDER)]
    np.testing.assert_allclose(along(jnp.arcsin, 0.25, MAX_NESTED_ORDER), expected, rtol=1e-12)
    with pytest.raises(SeriesError, match=f"up to {MAX_NESTED_ORDER}"):
        along(jnp.arcsin, 0.25, MAX_NESTED_ORDER + 1)


def test_an_error_of_the_function_itself_is_not_hidden():
    def broken(_):
        raise RuntimeError("mine")

    for order in (2, 6):
        with pytest.raises(RuntimeError, match="mine"):
            along(broken, 1.0, order)
