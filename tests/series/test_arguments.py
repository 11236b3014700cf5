"""Centers and directions of every structure, arguments that do not depend on t, integers, batches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbatch.series import taylor

from . import reference


@pytest.fixture(autouse=True, params=["unrolled", "looped"])
def _arithmetic(request, monkeypatch):
    reference.use(monkeypatch, request.param)
    with jax.enable_x64(True):
        yield


def test_the_direction_of_a_vector():
    center, direction = jnp.array([0.5, 1.0, -2.0]), jnp.array([1.0, -0.5, 0.25])
    # f(center + t·direction) = (0.5 + t)(1 − t/2)(−2 + t/4), multiplied out.
    terms = np.polynomial.Polynomial([0.5, 1]) * np.polynomial.Polynomial([1, -0.5])
    terms = (terms * np.polynomial.Polynomial([-2, 0.25])).coef
    found = taylor(lambda x: x[0] * x[1] * x[2])(center, direction, 9)
    np.testing.assert_allclose(found, [*terms, *[0.0] * 6], rtol=1e-14, atol=1e-15)


def test_pytrees_in_and_out():
    center = {"a": jnp.array([1.0, 2.0]), "b": (jnp.float64(3.0),)}
    direction = {"a": jnp.array([1.0, 0.0]), "b": (jnp.float64(-1.0),)}

    def function(x, factor):
        return {"sum": jnp.sum(x["a"]) * factor, "outer": x["a"] * x["b"][0], "fixed": factor}

    found = taylor(function)(center, direction, 8, jnp.float64(2.0))
    assert set(found) == {"sum", "outer", "fixed"}
    np.testing.assert_allclose(found["sum"], [6.0, 2.0, *[0.0] * 7], atol=1e-15)
    np.testing.assert_allclose(found["outer"][:, :3], [[3.0, 2.0, -1.0], [6.0, -2.0, 0.0]], atol=1e-15)
    np.testing.assert_allclose(found["fixed"], [2.0, *[0.0] * 8])


def test_integers_become_floats():
    found = taylor(lambda x, n: x**n)(jnp.array(3), jnp.array(1), 8, jnp.array(2))
    assert found.dtype == jnp.float64
    np.testing.assert_allclose(found, [9.0, 6.0, 1.0, *[0.0] * 6], atol=1e-14)


def test_a_zero_direction():
    found = taylor(lambda x: jnp.exp(x) / x)(jnp.float64(2.0), jnp.float64(0.0), 8)
    np.testing.assert_allclose(found, [np.exp(2.0) / 2, *[0.0] * 8], rtol=1e-15)


def test_batches_are_their_rows():
    def function(x, factor):
        return jnp.where(x > 1, jnp.tanh(factor * x), jnp.sqrt(x + 2)) * x**2.5

    points, factors = jnp.linspace(0.25, 3.0, 5), jnp.linspace(-1.0, 1.0, 5)
    along = jax.jit(lambda x, factor: taylor(function)(x, jnp.ones_like(x), 9, factor))
    together = jax.jit(jax.vmap(along))(points, factors)
    for row, point, factor in zip(together, points, factors, strict=True):
        np.testing.assert_allclose(row, along(point, factor), rtol=1e-12, atol=1e-14)
