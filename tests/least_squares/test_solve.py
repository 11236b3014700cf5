"""Solving from the statistic: neighbours in a batch change no bit; other coefficients get the residual they leave."""

from fractions import Fraction
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxbatch import least_squares
from tests.compiling import BY_OLDER_EMITTERS


def test_neighbours_change_no_bit():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(16, 32, 3)), rng.normal(size=(16, 32))

    @jax.jit
    @jax.vmap
    def fit(X, y):
        observed = jnp.ones(32, bool)
        terms, penalised = least_squares.terms(jnp.ones(3, bool), True)
        found = least_squares.statistic(least_squares.columns(X.T, y, observed, intercept=True), observed)
        solution = least_squares.solve(found, terms, penalised, ridge=0.0, eps=2.0**-52)
        inference = least_squares.infer(solution, least_squares.response_moments(found, intercept=True), terms.sum())
        return solution, inference

    alone = jax.tree.leaves(jax.device_get(fit(X, y)))
    spoilt = X.copy()
    spoilt[1, :, 2] = 3 * spoilt[1, :, 0]  # deficient
    spoilt[2] = np.nan
    spoilt[3] = np.inf
    spoilt[4] = 0
    spoilt[5] *= 1e-160
    spoilt[6, :, 1] = spoilt[6, :, 0] * (1 + 1e-9)
    spoilt_neighbours = jax.tree.leaves(jax.device_get(fit(spoilt, y)))
    for before, after in zip(alone, spoilt_neighbours, strict=True):
        same = [0, *range(7, 16)]
        assert np.asarray(before)[same].tobytes() == np.asarray(after)[same].tobytes()


@pytest.mark.parametrize("plain", [False, True])
def test_the_residual_of_other_coefficients(plain):
    rng = np.random.default_rng(4)
    X, y = 1e3 * rng.normal(size=(20, 2)), 1e-2 * rng.normal(size=20)
    observed = jnp.ones(20, bool)
    terms, penalised = least_squares.terms(jnp.ones(2, bool), False)
    Z = least_squares.columns(jnp.asarray(X.T), jnp.asarray(y), observed, intercept=False)
    found = least_squares.statistic(Z, observed, plain=plain)
    solve = jax.jit(partial(least_squares.solve, ridge=0.0, eps=2.0**-52), compiler_options=BY_OLDER_EMITTERS)
    fitted = solve(found, terms, penalised)
    coefficients = np.array([0.25, -1.5])
    other = least_squares.with_coefficients(fitted, found, jnp.asarray(coefficients))

    exact = sum(
        (Fraction(target) - sum(Fraction(b) * Fraction(x) for b, x in zip(coefficients, row, strict=True))) ** 2
        for row, target in zip(X, y, strict=True)
    )
    unit = Fraction(2) ** int(other.exponents[-1])
    assert float(Fraction(float(other.rss)) * unit**2 / exact) == pytest.approx(1.0, rel=1e-14)
    assert (float(other.rss_rounding) > 0) == plain
    unscaled = (np.sqrt(np.diag(np.linalg.inv(X.T @ X))), np.ldexp(other.unscaled_stderr, -other.exponents[:-1]))
    np.testing.assert_allclose(unscaled[1], unscaled[0], rtol=1e-10)
