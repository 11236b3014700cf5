"""The statistic against exact sums, singular values against LAPACK, p values against mpmath, neighbours bit for bit."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

from jaxbatch import least_squares
from jaxbatch.least_squares.double_double import DoubleDouble
from jaxbatch.least_squares.singular import singular_values
from jaxbatch.least_squares.student import two_sided


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("shape", [(8, 2), (256, 5), (1024, 3), (40, 13), (64, 4), (4999, 3)])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_statistic_is_that_of_exact_sums(shape, weighted):
    rng = np.random.default_rng(sum(shape))
    n, k = shape
    Z = rng.normal(size=(8, n, k)) * 10.0 ** rng.integers(-9, 9, k)
    w = rng.uniform(0, 2, size=(8, n)) if weighted else None
    observed = jnp.ones((8, n), bool)
    found = jax.jit(jax.vmap(least_squares.statistic))(Z.swapaxes(1, 2), observed, w)
    assert isinstance(found.products, DoubleDouble)
    for d in (0, 3, 7):
        for i, j in {(0, 0), (0, k - 1), (k - 1, 0), (1, k // 2), (k - 1, k - 1)}:
            terms = [Fraction(Z[d, r, i]) * Fraction(Z[d, r, j]) for r in range(n)]
            if w is not None:
                terms = [term * Fraction(w[d, r]) for r, term in enumerate(terms)]
            scale = Fraction(2) ** int(found.exponents[d, i] + found.exponents[d, j])
            sum_found = (
                Fraction(float(found.products.high[d, i, j])) + Fraction(float(found.products.low[d, i, j]))
            ) * scale
            assert abs(sum_found - sum(terms)) <= sum(map(abs, terms)) / 2**100


@pytest.mark.parametrize("p", [1, 2, 3, 6, 24, 40])
def test_singular_values(p):
    rng = np.random.default_rng(p)
    A = np.triu(rng.normal(size=(9, p, p)))
    A[1] = 0
    A[2, :, -1] = A[2, :, 0]
    A[3] *= 1e-150
    A[4, 0, 0] = np.nan
    found = np.moveaxis(np.asarray(jax.jit(singular_values)(jnp.moveaxis(A, 0, -1))), -1, 0)
    good = [d for d in range(9) if d != 4]
    expected = np.linalg.svd(A[good], compute_uv=False)
    np.testing.assert_allclose(found[good], expected, atol=1e-14 * max(p, 4) * expected.max(axis=1).max(), rtol=1e-9)
    assert np.isnan(found[4]).all()


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 39, 40, 41, 244, 10_000, 2_000_000])
def test_p_values(freedom):
    t = [0.0, 1e-8, 1e-3, 0.1, 0.7, 1.0, 1.5, 2.0, 3.0, 10.0, 40.0, 1e6]
    found = jax.jit(two_sided)(jnp.asarray(t), jnp.full(len(t), float(freedom)))
    with mpmath.workdps(40):
        for value, p in zip(t, found, strict=True):
            x = mpmath.mpf(freedom) / (freedom + mpmath.mpf(value) ** 2)
            exact = mpmath.betainc(mpmath.mpf(freedom) / 2, 0.5, 0, x, regularized=True) if value else mpmath.mpf(1)
            assert float(p) == pytest.approx(float(exact), rel=1e-12 * max(1.0, freedom / 1000), abs=1e-300), value


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
    beside = jax.tree.leaves(jax.device_get(fit(spoilt, y)))
    for before, after in zip(alone, beside, strict=True):
        same = [0, *range(7, 16)]
        assert np.asarray(before)[same].tobytes() == np.asarray(after)[same].tobytes()
