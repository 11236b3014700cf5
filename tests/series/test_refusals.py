"""What cannot be expanded is refused by name, and can be taught."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Primitive
from jax.interpreters import ad, mlir

from jaxbatch.series import SeriesError, interpreter, register_rule, taylor

from . import reference


@pytest.fixture(autouse=True)
def _float64():
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def _rules(monkeypatch):
    """What a test teaches is forgotten after it."""
    monkeypatch.setattr(interpreter, "_RULES", dict(interpreter._RULES))


def quintic_primitive(*, with_derivative: bool) -> Primitive:
    """x⁵ as a primitive of the user's own."""
    primitive = Primitive("quintic")
    primitive.def_impl(lambda x: x**5)
    primitive.def_abstract_eval(lambda x: x)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: x**5, multiple_results=False))
    if with_derivative:
        ad.defjvp(primitive, lambda t, x: 5 * t * x**4)
    return primitive


def calling(primitive: Primitive):
    def quintic(x):
        return primitive.bind(x) + 1

    return quintic


def test_the_place_of_a_primitive_within_a_function_of_jax():
    with pytest.raises(SeriesError, match=r"eigh.* at \S*test_refusals\.py:\d+"):
        taylor(lambda x: jnp.linalg.eigvalsh(jnp.eye(2) * x))(jnp.float64(0.5), jnp.float64(1.0), 8)


def test_a_primitive_without_a_rule():
    def spectrum(x):
        return jax.lax.linalg.eigh(jnp.array([[2.0, 0.5], [0.5, 1.0]]) * jnp.cos(x))[0]

    one = jnp.float64(1.0)
    assert taylor(spectrum)(jnp.float64(0.5), one, 4).shape == (2, 2, 5)
    for order in (5, 20):
        with pytest.raises(SeriesError, match=r"eigh") as caught:
            taylor(spectrum)(jnp.float64(0.5), one, order)
        message = str(caught.value)
        assert f"order {order} " in message
        assert "test_refusals.py:" in message
        assert "(test_a_primitive_without_a_rule.<locals>.spectrum)" in message
        assert "highest order is 4" in message


@pytest.mark.parametrize("order", [1, 6])
def test_a_primitive_without_a_derivative(order):
    with pytest.raises(SeriesError, match=r"'quintic', at .*test_refusals\.py:\d+:\d+ \(calling\.<locals>\.quintic\)"):
        taylor(calling(quintic_primitive(with_derivative=False)))(jnp.float64(0.5), jnp.float64(1.0), order)


@pytest.mark.parametrize("order", [3, 9])
def test_a_primitive_is_taught(order):
    primitive = quintic_primitive(with_derivative=False)

    @register_rule(primitive)
    def _(arithmetic, x):
        fourth = arithmetic.product(arithmetic.product(x, x), arithmetic.product(x, x))
        return arithmetic.product(fourth, x)

    found = taylor(calling(primitive))(jnp.float64(2.0), jnp.float64(1.0), order)
    np.testing.assert_allclose(found, [33.0, 80.0, 80.0, 40.0, 10.0, 1.0, 0.0, 0.0, 0.0, 0.0][: order + 1], atol=1e-12)


@pytest.mark.parametrize("order", [3, 9])
def test_a_primitive_is_expanded_by_its_derivative(order):
    found = taylor(calling(quintic_primitive(with_derivative=True)))(jnp.float64(2.0), jnp.float64(1.0), order)
    np.testing.assert_allclose(found, [33.0, 80.0, 80.0, 40.0, 10.0, 1.0, 0.0, 0.0, 0.0, 0.0][: order + 1], atol=1e-12)


@pytest.mark.parametrize("arithmetic", ["unrolled", "looped"])
def test_a_loop_that_never_settles(arithmetic, monkeypatch):
    """Its value is at rest, at the fixed point 0 of y ↦ −y + xy²/2, but every coefficient flips its sign for ever."""
    reference.use(monkeypatch, arithmetic)

    def swinging(x):
        def step(state):
            return x - state[0], state[1] * 0.5

        return jax.lax.while_loop(lambda s: s[1] + 0 * s[0] > 1e-3, step, (0 * x + 0.5, jnp.ones_like(x)))[0]

    found = reference.computed(swinging, [1.0], 8)[0, 0]
    assert np.isfinite(found[0])
    assert np.isnan(found[1:]).all()


def test_an_error_of_the_function_itself_is_not_hidden():
    def broken(_):
        raise RuntimeError("mine")

    for order in (2, 9):
        with pytest.raises(RuntimeError, match="mine"):
            taylor(broken)(jnp.float64(1.0), jnp.float64(1.0), order)


def test_what_the_arguments_must_be():
    center, direction = jnp.ones(2), jnp.ones(3)
    with pytest.raises(ValueError, match="must be 0 or more"):
        taylor(jnp.sum)(center, center, -1)
    with pytest.raises(ValueError, match="direction"):
        taylor(jnp.sum)(center, direction, 2)


@pytest.mark.parametrize("where", ["before", "after", "beneath a jit", "in a scan"])
def test_a_loop_that_ends_on_a_value_is_not_nested(where):
    """Forward mode of Newton's iteration gives wrong coefficients without a word; here a rule is missing as well."""

    def root(x):
        return jax.lax.while_loop(lambda y: jnp.abs(y * y - x) > 1e-9, lambda y: (y + x / y) / 2, 1.0 + 0 * x)

    def spectrum(x):
        return jax.lax.linalg.eigh(jnp.array([[2.0, 0.5], [0.5, 1.0]]) * x)[1][0]

    functions = {
        "before": lambda x: spectrum(root(x)),
        "after": lambda x: root(spectrum(x) + 2),
        "beneath a jit": lambda x: jax.jit(root)(x) + spectrum(x),
        "in a scan": lambda x: jax.lax.scan(lambda c, _: (root(c), None), x, length=2)[0] + spectrum(x),
    }
    for order in (2, 6):
        with pytest.raises(SeriesError, match=r"while loop depends on the value.*highest order is 0"):
            taylor(functions[where])(jnp.float64(2.0), jnp.float64(1.0), order)


def test_a_loop_that_counts_may_be_nested():
    def counted(x, n):
        spectrum = jax.lax.linalg.eigh(jnp.array([[2.0, 0.5], [0.5, 1.0]]) * x)[1][0]
        return jax.jit(lambda n, y: jax.lax.fori_loop(0, n, lambda _, y: y * x, y))(n, spectrum)

    found = taylor(counted)(jnp.float64(2.0), jnp.float64(1.0), 3, 2)
    smallest = (3 - np.sqrt(2)) / 2
    np.testing.assert_allclose(found, smallest * np.array([8.0, 12.0, 6.0, 1.0]), rtol=1e-13)
