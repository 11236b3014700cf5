"""Student's t, against mpmath at 40 digits."""

import jax
import jax.numpy as jnp
import mpmath
import pytest

from jaxbatch.least_squares.student import two_sided


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 39, 40, 41, 244, 10_000, 2_000_000])
def test_p_values(freedom):
    t = [0.0, 1e-8, 1e-3, 0.1, 0.7, 1.0, 1.5, 2.0, 3.0, 10.0, 40.0, 1e6]
    found = jax.jit(two_sided)(jnp.asarray(t), jnp.full(len(t), float(freedom)))
    with mpmath.workdps(40):
        for value, p in zip(t, found, strict=True):
            x = mpmath.mpf(freedom) / (freedom + mpmath.mpf(value) ** 2)
            exact = mpmath.betainc(mpmath.mpf(freedom) / 2, 0.5, 0, x, regularized=True) if value else mpmath.mpf(1)
            assert float(p) == pytest.approx(float(exact), rel=1e-12 * max(1.0, freedom / 1000), abs=1e-300), value
