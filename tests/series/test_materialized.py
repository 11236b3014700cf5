"""Functions that a chain shares are computed once, whatever the order."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbatch.series import taylor


def chain(x):
    for _ in range(6):
        x = jnp.tanh(x) * jnp.exp(-(x**2)) + jnp.sin(x)
    return x


@pytest.mark.parametrize("order", [2, 4, 6])
def test_no_function_of_a_chain_is_computed_again_in_the_next(order):
    program = jax.jit(jax.vmap(lambda x: taylor(chain)(x, 1.0, order))).lower(np.linspace(-1, 1, 1000)).compile()
    text = program.as_text() or ""
    calls = {name: text.count(f" {name}(") for name in ("tanh", "cosine", "exponential", "sine")}
    # tanh takes an exponential besides, for its slope; a sine may be computed again where it is added to something
    assert calls["tanh"] == calls["cosine"] == 6
    assert calls["exponential"] == 12
    assert calls["sine"] <= 12


def test_a_series_of_a_series():
    """d/dt of e^x's own coefficients, through the calls that keep them apart."""
    found = taylor(lambda x: taylor(jnp.exp)(x, 1.0, 3))(0.5, 1.0, 3)
    inverse = 1 / np.array([1, 1, 2, 6])
    np.testing.assert_allclose(found, np.exp(0.5) * np.outer(inverse, inverse), rtol=1e-6)
